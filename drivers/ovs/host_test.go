package ovs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/ovs"
	"github.com/spanctl/spanctl/drivers/peers/openssh"
	peer "github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// host is a real Open vSwitch behind a real OpenSSH server on loopback.
type host struct {
	t    testing.TB
	sw   *peer.Switch
	dir  string // of the wrapper and its notes
	addr string
	user string
	key  string
	keys *ssh.HostKeys
}

// newHost starts a host whose bridge br0 has the ports.
func newHost(t testing.TB, ports ...string) *host {
	t.Helper()
	why := peer.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	sw, err := peer.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sw.Close() })
	h := &host{t: t, sw: sw, dir: t.TempDir()}
	if err := sw.AddBridge("br0"); err != nil {
		t.Fatal(err)
	}
	if err := sw.AddPorts("br0", ports...); err != nil {
		t.Fatal(err)
	}
	h.serve()
	return h
}

// wrapper runs a client's command where the switch is. It notes the command, and
// refuses it, hangs, or lets the connection die behind it where a note says so.
const wrapper = `#!/bin/sh
c=$SSH_ORIGINAL_COMMAND
cd %notes%
printf '%s\000' "$c" >>wire
if [ -f hang ] && { [ ! -s hang ] || [ "$c" = "$(cat hang)" ]; }; then
	rm -f hang; sleep 600 & echo $! >>sleepers; wait; exit 1
fi
if [ -f refuse ] && [ "$c" = "$(cat refuse)" ]; then
	rm -f refuse; echo 'ovs-vsctl: refused by the test' >&2; exit 1
fi
export OVS_RUNDIR=%run% OVS_LOGDIR=%run% OVS_DBDIR=%run% OVS_SYSCONFDIR=%run%
if [ -f drop ] && [ "$c" = "$(cat drop)" ]; then
	rm -f drop; sh -c "$c" >/dev/null; kill -KILL $PPID; exit
fi
exec sh -c "$c"
`

func (h *host) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	p := filepath.Join(h.dir, name)
	if err := os.WriteFile(p, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// serve starts OpenSSH's server.
func (h *host) serve() {
	t := h.t
	t.Helper()
	why := openssh.Missing()
	require.Need(t, require.OpenSSH, why == "", why)
	text := strings.NewReplacer("%notes%", h.dir, "%run%", h.sw.Dir()).Replace(wrapper)
	srv, err := openssh.Start(h.dir, h.write("wrapper", text, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.wake()
		srv.Close()
		if t.Failed() {
			t.Log(srv.Log())
		}
	})
	key, err := os.ReadFile(srv.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	h.addr, h.user, h.key = srv.Address, srv.User, string(key)
	if h.keys, err = ssh.NewHostKeys(ssh.AcceptNew, filepath.Join(h.dir, "known_hosts")); err != nil {
		t.Fatal(err)
	}
}

// wake ends the commands that hang.
func (h *host) wake() {
	text, _ := os.ReadFile(filepath.Join(h.dir, "sleepers"))
	for _, pid := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(pid); err == nil {
			if p, err := os.FindProcess(n); err == nil {
				_ = p.Kill()
			}
		}
	}
}

func (h *host) dial(ctx context.Context) (transport.Conn, error) {
	e, err := ssh.DialExec(ctx, ssh.Options{Device: "hv1", Endpoint: ssh.Endpoint{
		Address: h.addr, User: h.user, HostKeys: h.keys,
		Auth: ssh.Auth{PrivateKey: func(context.Context) (string, error) { return h.key, nil }},
	}})
	if err != nil {
		return nil, err
	}
	return transport.Commands{Runner: e}, nil
}

func (h *host) open(ctx context.Context) (drivers.Driver, error) {
	c, err := h.dial(ctx)
	if err != nil {
		return nil, err
	}
	return drivers.Compose("hv1", ovs.Dialect{}, c), nil
}

// wire gives the commands that the host received.
func (h *host) wire() []string {
	text, _ := os.ReadFile(filepath.Join(h.dir, "wire"))
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")[:strings.Count(string(text), "\x00")]
}

func (h *host) resetWire() { _ = os.Remove(filepath.Join(h.dir, "wire")) }

func (h *host) vsctl(args ...string) string {
	h.t.Helper()
	out, err := h.sw.Vsctl(args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

func (h *host) exchange(port string, frames ...[]byte) map[string][][]byte {
	h.t.Helper()
	got, err := h.sw.Exchange(port, frames...)
	if err != nil {
		h.t.Fatal(err)
	}
	out := make(map[string][][]byte)
	for _, f := range got {
		out[f.Port] = append(out[f.Port], f.Data)
	}
	return out
}

func (h *host) purge() {
	h.t.Helper()
	if _, err := h.sw.Appctl("revalidator/purge"); err != nil {
		h.t.Fatal(err)
	}
}

// volatile are columns that change by themselves.
var volatile = []string{"statistics", "status", "cur_cfg", "next_cfg"}

// dump gives the database's tables by ovsdb-client: rows of columns in the JSON of RFC
// 7047, without those that change by themselves.
func (h *host) dump() map[string][]map[string]any {
	h.t.Helper()
	cmd := exec.Command("ovsdb-client", "--timeout=10", "--format=json", "dump", "unix:"+filepath.Join(h.sw.Dir(), "db.sock"), "Open_vSwitch")
	text, err := cmd.Output()
	if err != nil {
		h.t.Fatal(err)
	}
	out := make(map[string][]map[string]any)
	for line := range strings.Lines(string(text)) {
		var t struct {
			Caption  string
			Headings []string
			Data     [][]any
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &t); err != nil {
			h.t.Fatalf("%v in %.200s", err, line)
		}
		name := strings.TrimSuffix(t.Caption, " table")
		out[name] = []map[string]any{}
		for _, cells := range t.Data {
			r := make(map[string]any)
			for i, c := range cells {
				if !slices.Contains(volatile, t.Headings[i]) {
					r[t.Headings[i]] = c
				}
			}
			out[name] = append(out[name], r)
		}
	}
	return out
}

// config gives the whole database as text, in one order.
func (h *host) config() string {
	h.t.Helper()
	var lines []string
	for table, rows := range h.dump() {
		for _, r := range rows {
			b, err := json.Marshal(r)
			if err != nil {
				h.t.Fatal(err)
			}
			lines = append(lines, table+" "+string(b))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// set gives the values of a column that is a set: a value is ["uuid", X], and a set
// that has not exactly one is ["set", [...]].
func set(v any) []any {
	if l, ok := v.([]any); ok && len(l) == 2 && l[0] == "set" {
		return l[1].([]any)
	}
	return []any{v}
}

func ids(v any) []string {
	var out []string
	for _, x := range set(v) {
		out = append(out, x.([]any)[1].(string))
	}
	return out
}

func entries(v any) map[string]string {
	out := make(map[string]string)
	for _, p := range v.([]any)[1].([]any) {
		kv := p.([]any)
		out[kv[0].(string)] = kv[1].(string)
	}
	return out
}

// truth reads mirrors out of the database with nothing of the driver, and puts them
// into the words of the suite.
func (h *host) truth() []models.Session {
	h.t.Helper()
	db := h.dump()
	byID := make(map[string]map[string]any)
	for _, table := range []string{"Port", "Interface", "Mirror"} {
		for _, r := range db[table] {
			byID[ids(r["_uuid"])[0]] = r
		}
	}
	var out []models.Session
	for _, b := range db["Bridge"] {
		for _, id := range ids(b["mirrors"]) {
			m := byID[id]
			s := models.Session{Name: m["name"].(string)}
			var vlans []models.Range
			for _, v := range set(m["select_vlan"]) {
				vlans = append(vlans, models.One(uint16(v.(float64))))
			}
			ext := entries(m["external_ids"])
			add := func(column string, d models.Direction) {
				for _, id := range ids(m[column]) {
					name := byID[id]["name"].(string)
					kind := models.SourcePort
					if strings.HasPrefix(name, "bond") {
						kind = models.SourceLAG
					}
					s.Sources = append(s.Sources, models.Source{Kind: kind, Name: name, Direction: d})
				}
			}
			add("select_src_port", models.Rx)
			add("select_dst_port", models.Tx)
			if m["select_all"].(bool) {
				for _, v := range vlans {
					kind := models.SourceVLAN
					if ext["spanctl-rspan"] == "true" {
						kind = models.SourceRemoteVLAN
					}
					s.Sources = append(s.Sources, models.Source{Kind: kind, VLAN: v.First, Direction: models.Rx})
				}
			} else if len(vlans) > 0 {
				s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: vlans}}}
			}
			for _, n := range set(m["snaplen"]) {
				s.TruncateTo = uint16(n.(float64))
			}
			for _, v := range set(m["output_vlan"]) {
				s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: uint16(v.(float64))}
			}
			for _, id := range ids(m["output_port"]) {
				s.Destination = h.output(byID, byID[id], s.Name)
			}
			for k, v := range ext {
				if !strings.HasPrefix(k, "spanctl") {
					s.Extra = append(s.Extra, "external_ids:"+k+"="+v)
				}
			}
			slices.Sort(s.Extra)
			out = append(out, s)
		}
	}
	return out
}

func (h *host) output(byID map[string]map[string]any, p map[string]any, session string) models.Destination {
	if entries(p["external_ids"])["spanctl"] != session {
		return models.Destination{Kind: models.DestinationPort, Ports: []string{p["name"].(string)}}
	}
	i := byID[ids(p["interfaces"])[0]]
	o := entries(i["options"])
	number := func(k string) int {
		if o[k] == "" {
			return 0
		}
		n, err := strconv.Atoi(o[k])
		if err != nil {
			h.t.Fatal(err)
		}
		return n
	}
	t := &models.Tunnel{Source: netip.MustParseAddr(o["local_ip"]), Destination: netip.MustParseAddr(o["remote_ip"]),
		TTL: uint8(number("ttl")), DSCP: uint8(number("tos") >> 2)}
	d := models.Destination{Tunnel: t}
	switch kind := i["type"].(string); kind {
	case "gre", "ip6gre":
		d.Kind, t.Key = models.DestinationGRE, uint32(number("key"))
	case "erspan", "ip6erspan":
		d.Kind, t.SessionID, t.Version = models.DestinationERSPAN, uint16(number("key")), uint8(number("erspan_ver")+1)
	case "vxlan":
		d.Kind, t.VNI = models.DestinationVXLAN, uint32(number("key"))
	default:
		h.t.Fatalf("a port of type %q is marked as of session %s", kind, session)
	}
	return d
}

// frame is one from host a to host b, of n bytes, numbered.
func frame(a, b, number byte, n int) []byte {
	f := make([]byte, n)
	copy(f, []byte{2, 0, 0, 0, 0, b, 2, 0, 0, 0, 0, a, 0x88, 0xb5, number})
	return f
}

// tagged gives a frame an 802.1Q tag.
func tagged(f []byte, vlan uint16) []byte {
	return slices.Concat(f[:12], []byte{0x81, 0, byte(vlan >> 8), byte(vlan)}, f[12:])
}

func portNames(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprint(prefix, i+1))
	}
	return out
}

func lines(text string) []string { return strings.Split(text, "\n") }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
