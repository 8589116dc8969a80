package hostmirror

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// Hosts on which the commands are not what they should be.
func TestRemoteTools(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	ns := kerneltest.NewNS(t)
	// bin gives a PATH with some commands only. The script adds folders of its own to it,
	// which hold the machine's own commands: where one is to be missing or another, the
	// folder has one of its name that says so.
	bin := func(t *testing.T, scripts map[string]string) []string {
		dir := t.TempDir()
		for name, text := range scripts {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return []string{"PATH=" + dir + ":/usr/bin:/bin"}
	}
	const absent = `echo "sh: $(basename "$0"): not found" >&2; exit 127`
	busybox := func(applet string) string { return `exec busybox ` + applet + ` "$@"` }
	tests := []struct {
		name    string
		scripts map[string]string
		prepare string
		kind    transport.Kind
		text    string
	}{
		{"no tc", map[string]string{"tc": absent}, "", drivers.Unsupported, "there is no tc command"},
		{"no ip", map[string]string{"ip": absent}, "", drivers.Unsupported, "install iproute2"},
		{"tc of busybox", map[string]string{"tc": busybox("tc")}, "", drivers.Unsupported, "not that of iproute2"},
		{"ip of busybox", map[string]string{"ip": busybox("ip")}, "", drivers.Unsupported, "install iproute2"},
		{"tc that knows no cookies", map[string]string{"tc": "echo tc utility, iproute2-ss160111"}, "", drivers.Unsupported, "4.12 or later"},
		{"no bridge command, and a bridge", map[string]string{"bridge": absent}, "ip link add br0 type bridge", drivers.Unsupported, "bridge command"},
		{"ip that prints something else", map[string]string{"ip": "echo '[{'"}, "", transport.Protocol, "ip -j -d addr show"},
		{"tc that fails", map[string]string{"tc": `case "$*" in *qdisc*) echo Dump terminated >&2; exit 2;; esac; exec /sbin/tc "$@"`}, "", transport.Rejected, "Dump terminated"},
		{"tc that says nothing of filters", map[string]string{"tc": `case "$*" in *filter*) exit 1;; esac; exec /sbin/tc "$@"`}, "tc qdisc add dev lo clsact", transport.Rejected, "tc -s filter show"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "busybox") {
				_, err := os.Stat("/bin/busybox")
				require.Need(t, "busybox", err == nil, "the tc and ip of small systems")
			}
			at := ns
			if tt.prepare != "" {
				at = kerneltest.NewNS(t)
				at.Run(tt.prepare)
			}
			m, err := OpenRemote(t.Context(), Options{Device: host}, &localShell{ns: at, env: bin(t, tt.scripts)})
			if err != nil {
				t.Fatal(err)
			}
			st, err := m.Observe(t.Context())
			wantKind(t, err, tt.kind, tt.text)
			if st.Ports != nil || st.Facts.Hostname != "" {
				t.Errorf("a state with the error: %+v", st)
			}
		})
	}
	t.Run("no bridge command, and no bridge", func(t *testing.T) {
		m, err := OpenRemote(t.Context(), Options{Device: host}, &localShell{ns: ns, env: bin(t, map[string]string{"bridge": absent})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Observe(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A login that is not root sees everything and changes nothing; with sudo it does both.
func TestRemoteRights(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	const nobody = 65534
	sudo := func(t *testing.T, text string) []string {
		dir := t.TempDir()
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return []string{"PATH=" + dir + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	wanted := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	t.Run("neither root nor sudo", func(t *testing.T) {
		b := newBed(t)
		m, err := OpenRemote(t.Context(), Options{Device: host}, &localShell{ns: b.host, as: nobody, env: []string{"PATH=/usr/bin:/bin"}})
		if err != nil {
			t.Fatal(err)
		}
		before := b.objects()
		wantKind(t, m.Apply(t.Context(), b.plan(m, wanted)), transport.Auth, "become: sudo")
		if d := cmp.Diff(before, b.objects()); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
	})
	t.Run("sudo asks for a password", func(t *testing.T) {
		b := newBed(t)
		env := sudo(t, `echo "sudo: a password is required" >&2; exit 1`)
		m, err := OpenRemote(t.Context(), Options{Device: host, Sudo: true}, &localShell{ns: b.host, as: nobody, env: env})
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, m.Apply(t.Context(), b.plan(m, wanted)), transport.Auth, "without a password")
	})
	t.Run("sudo", func(t *testing.T) {
		b := newBed(t)
		// What stands for sudo here cannot give rights; the login has them already.
		l := &localShell{ns: b.host, env: sudo(t, `[ "$1" = -n ] && [ "$2" = tc ] || { echo "sudo: $* is not allowed" >&2; exit 1; }; shift; exec "$@"`)}
		m, err := OpenRemote(t.Context(), Options{Device: host, Sudo: true}, l)
		if err != nil {
			t.Fatal(err)
		}
		cp := b.to(m, wanted)
		back := b.to(m)
		var sent []string
		for _, c := range l.log {
			if at := strings.Index(c, "sudo -n "); at >= 0 && !strings.HasPrefix(c[at:], "sudo -n tc filter del dev r0 ingress pref 21328 protocol all u32") {
				sent = append(sent, strings.TrimPrefix(c[at:], "sudo -n "))
			}
		}
		if d := cmp.Diff(slices.Concat(texts(cp.Script), texts(back.Script)), sent); d != "" {
			t.Errorf("by sudo (-plan +sent):\n%s", d)
		}
	})
}

// A shell that greets, and one that runs nothing.
func TestRemoteShells(t *testing.T) {
	needSSH(t)
	b := newBed(t)
	h := startSSH(t, b.host)
	enter := filepath.Join(h.dir, "enter")
	text, err := os.ReadFile(enter)
	if err != nil {
		t.Fatal(err)
	}
	greeting := strings.Replace(string(text), "#!/bin/sh\n", "#!/bin/sh\necho 'Welcome to OpenWrt'; echo '[{}]'; echo 'low on disk' >&2\n", 1)
	if err := os.WriteFile(enter, []byte(greeting), 0o755); err != nil {
		t.Fatal(err)
	}
	m := b.remote(h)
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	b.to(m)
	if err := os.WriteFile(enter, []byte("#!/bin/sh\necho 'This account is currently not available.'; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = m.Observe(t.Context())
	wantKind(t, err, transport.Protocol, "This account is currently not available.")
}

// Options of another host's namespace cannot be, and those that are no options neither.
func TestOpenRemoteRefuses(t *testing.T) {
	for name, o := range map[string]Options{"namespace": {Device: host, Namespace: "/run/netns/x"}, "no device": {}} {
		if m, err := OpenRemote(t.Context(), o, &localShell{}); err == nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// Where the host lets nobody have a namespace, Apply finds out what the kernel lacks, and
// the next plan takes another classifier.
func TestRemoteFindsOut(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	b := newBed(t)
	prober := &remoteAccess{run: &localShell{ns: b.host}, mark: "@test"}
	have := prober.probe(t.Context(), []string{tcnl.MatchAll})
	require.Need(t, "a kernel without cls_matchall", len(have.usable) == 0, "a kernel that turns out to lack something")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "unshare"), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := OpenRemote(t.Context(), Options{Device: host}, &localShell{ns: b.host, env: []string{"PATH=" + dir + ":/usr/sbin:/usr/bin:/sbin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	wanted := session("sp-a", []string{"m0"}, port("r0", models.Rx))
	cp := b.plan(m, wanted)
	if !strings.Contains(strings.Join(texts(cp.Script), "\n"), "matchall") {
		t.Fatalf("the first plan is %q", texts(cp.Script))
	}
	err = m.Apply(t.Context(), cp)
	wantKind(t, err, drivers.Unsupported, "plan again")
	if left := b.host.Run("tc filter show dev r0 ingress"); left != "" {
		t.Errorf("left: %s", left)
	}
	b.to(m, wanted)
	if got := b.host.Run("tc filter show dev r0 ingress"); !strings.Contains(got, "u32") {
		t.Errorf("the second plan made: %s", got)
	}
}
