package ovs

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

func portSource(name string) models.Source {
	return models.Source{Kind: models.SourcePort, Name: name, Direction: models.Rx}
}

func wanted(f func(*models.Session)) models.Session {
	s := models.Session{Name: "sp-x", Role: models.RoleLocal, Sources: []models.Source{portSource("e1")},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"e2"}}}
	f(&s)
	return s.Normalize()
}

func render(s models.Session, op models.Op, traits ...string) (string, error) {
	c := models.Change{Op: op, After: &s}
	if op == models.Delete {
		c = models.Change{Op: op, Before: &s}
	}
	sc, err := Dialect{}.Render(models.ChangeSet{Changes: []models.Change{c}}, drivers.RenderOptions{Facts: models.Facts{Traits: traits}})
	if err != nil {
		return "", err
	}
	return sc.Steps[0].Text, nil
}

// TestBridge: the bridge follows from the ports, and from where a mirror is.
func TestBridge(t *testing.T) {
	two := []string{"bridge br0", "bridge br1", "mirror sp-x br1", "port e1 br0", "port e2 br0", "port f1 br1"}
	vlan := func(s *models.Session) {
		s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx}}
	}
	gre := models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9")}}
	tests := []struct {
		name   string
		give   func(*models.Session)
		op     models.Op
		traits []string
		want   string // the bridge, or a part of the refusal
	}{
		{"nothing is known", func(*models.Session) {}, models.Create, nil, "br0"},
		{"the only one", func(*models.Session) {}, models.Create, []string{"bridge ovs-lan"}, "ovs-lan"},
		{"none", func(*models.Session) {}, models.Create, []string{"x"}, "no bridge"},
		{"by its ports", func(s *models.Session) { s.Name = "sp-y" }, models.Create, two, "br0"},
		{"by its destination", func(s *models.Session) { vlan(s); s.Name, s.Destination.Ports = "sp-y", []string{"f1"} }, models.Create, two, "br1"},
		{"of two", func(s *models.Session) { s.Name, s.Destination.Ports = "sp-y", []string{"f1"} }, models.Create, two, "of the bridges br1 and br0"},
		{"of a port of none", func(s *models.Session) { s.Name, s.Destination.Ports = "sp-y", []string{"g1"} }, models.Create, two, "g1 is of no bridge"},
		{"without a port", func(s *models.Session) { vlan(s); s.Name, s.Destination = "sp-y", gre }, models.Create, two, "br0, br1"},
		{"where it is", func(*models.Session) {}, models.Delete, two, "br1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := render(wanted(tt.give), tt.op, tt.traits...)
			if err != nil {
				if !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("refused: %v; want %q", err, tt.want)
				}
				return
			}
			if !strings.Contains(text, " Bridge "+tt.want+" mirrors ") {
				t.Errorf("want the bridge %s in\n%s", tt.want, text)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	a, z := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	tunnel := func(kind models.DestinationKind, t models.Tunnel) func(*models.Session) {
		return func(s *models.Session) {
			if !t.Source.IsValid() {
				t.Source, t.Destination = a, z
			}
			s.Destination = models.Destination{Kind: kind, Tunnel: &t}
		}
	}
	tests := []struct {
		name string
		give func(*models.Session)
		want string
	}{
		{"ports and VLANs", func(s *models.Session) {
			s.Sources = append(s.Sources, models.Source{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx})
		}, "not of either"},
		{"VLAN tx", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Both}}
		}, "ask for rx"},
		{"VLAN and VLAN filter", func(s *models.Session) {
			s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: 10, Direction: models.Rx}}
			s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(10)}}}}
		}, "leave one of them out"},
		{"VLAN excluded", func(s *models.Session) {
			s.Filter = []models.Rule{{Action: models.Exclude, Match: models.Match{VLANs: []models.Range{models.One(10)}}}}
		}, "one list"},
		{"short", func(s *models.Session) { s.TruncateTo = 13 }, "at least 14"},
		{"blank in a name", func(s *models.Session) { s.Name = "a b" }, "session name"},
		{"option as a name", func(s *models.Session) { s.Name = "--all" }, "session name"},
		{"row as a name", func(s *models.Session) { s.Name = "00000000-0000-0000-0000-000000000001" }, "no name of its own"},
		{"option as a port", func(s *models.Session) { s.Destination.Ports = []string{"--if-exists"} }, "no name of a port"},
		{"id too large", tunnel(models.DestinationERSPAN, models.Tunnel{Version: 2, SessionID: 1024}), "1023"},
		{"key of ERSPAN", tunnel(models.DestinationERSPAN, models.Tunnel{Version: 2, Key: 5}), "session id of ERSPAN"},
		{"VNI too large", tunnel(models.DestinationVXLAN, models.Tunnel{VNI: 1 << 24}), "VNI"},
		{"VNI of GRE", tunnel(models.DestinationGRE, models.Tunnel{VNI: 5}), "of VXLAN"},
		{"protocol", tunnel(models.DestinationGRE, models.Tunnel{Protocol: 0x88be}), "protocol"},
		{"two IP versions", tunnel(models.DestinationGRE, models.Tunnel{Source: a, Destination: netip.MustParseAddr("2001:db8::1")}), "one IP version"},
		{"shut down", func(s *models.Session) { s.Shutdown = true }, "switch a mirror off"},
		{"foreign line", func(s *models.Session) { s.Extra = []string{"; rm -rf /"} }, "none of a mirror"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := wanted(tt.give)
			if got := strings.Join((Dialect{}).Check(s), "; "); !strings.Contains(got, tt.want) {
				t.Errorf("Check gives %q; want %q", got, tt.want)
			}
			if text, err := render(s, models.Create); !errors.Is(err, drivers.ErrUnsupported) {
				t.Errorf("it renders, %v:\n%s", err, text)
			}
		})
	}
}

// TestShell: what a shell makes of a script are the arguments that were meant, also
// where names are full of what it acts on.
func TestShell(t *testing.T) {
	evil := "it's$(touch${IFS}x)`x`;&|<>*?\"\\"
	s := wanted(func(s *models.Session) {
		s.Name, s.Sources[0].Name, s.Destination.Ports = evil, evil, []string{`a"b`}
		s.Extra = []string{setting("external_ids", "k", "v $x 'y'")}
	})
	text, err := render(s, models.Create)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"ovs-vsctl", "ovs-appctl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", text)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	quoted := `"it's$(touch${IFS}x)` + "`x`" + `;&|<>*?\"\\"`
	quoted = strings.NewReplacer("&", `\u0026`, "<", `\u003c`, ">", `\u003e`).Replace(quoted)
	want := []string{"--timeout=10", "--", "--id=@p0", "get", "Port", evil, "--", "--id=@p1", "get", "Port", `a"b`,
		"--", "--id=@m2", "create", "Mirror", "name=" + quoted, "select_src_port=@p0", "output_port=@p1", "external_ids:spanctl=" + quoted, `external_ids:k="v $x 'y'"`,
		"--", "add", "Bridge", "br0", "mirrors", "@m2", "--timeout=10", "revalidator/purge"}
	if d := cmp.Diff(want, strings.Split(strings.TrimSpace(string(out)), "\n")); d != "" {
		t.Errorf("the shell's arguments (-want +got):\n%s", d)
	}
}
