package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// with runs spanctl inside of the namespace as root with these capabilities only.
func (b *hostBed) with(caps string, args ...string) ended {
	b.t.Helper()
	_, err := exec.LookPath("setpriv")
	require.Need(b.t, "setpriv", err == nil, "a process with few capabilities")
	set := "-all"
	if caps != "" {
		set += ",+" + caps
	}
	line := append([]string{"netns", "exec", b.ns, "setpriv", "--bounding-set", set, "--inh-caps", set, "spanctl"}, args...)
	p := &process{cmd: exec.Command("ip", line...)}
	p.cmd.Dir, p.cmd.Env = b.dir, b.env
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	return p.wait()
}

func (b *hostBed) status() HostStatus {
	b.t.Helper()
	var st HostStatus
	if err := json.Unmarshal([]byte(b.must(b.host("status", "-o", "json")...).out), &st); err != nil {
		b.t.Fatal(err)
	}
	return st
}

// TestHostStatus: frames that were delivered, that were lost, and strangers; what is
// said of the kernel is what tc finds.
func TestHostStatus(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{
		"tap.yaml":  hostIntent("tap", "in0", "out0", "1h"),
		"tap2.yaml": hostIntent("tap2", "in1", "spare0", "never"),
	})
	b.veth("spare0", "spare1")
	b.veth("strange0", "strange1")
	b.must(b.host("apply", "--yes", "--intents", "tap.yaml,tap2.yaml")...)
	b.in("tc qdisc add dev strange0 clsact")
	b.in("tc filter add dev strange0 ingress pref 9 protocol all u32 match u32 0 0 action mirred egress mirror dev strange1")
	b.copied("out1", 1)
	b.copied("out1", 1)
	b.in("ip link set out0 down")
	b.copied("spare1", 0)
	st := b.status()
	if len(st.Sessions) != 2 || len(st.Sessions[0].Copies) != 1 {
		t.Fatalf("sessions: %+v", st.Sessions)
	}
	c := st.Sessions[0].Copies[0]
	if c.Method == "" {
		t.Error("no method")
	}
	c.Method, c.Status = "", models.Status{}
	want := hostmirror.CopyReport{Session: "sp-tap", Source: "in0", Direction: models.Rx, Destinations: []string{"out0"}, Offered: 3, Delivered: 2, Lost: 1}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("copy (-want +got):\n%s", d)
	}
	if s := st.Sessions[0]; s.Intent != "tap" || s.State.State != models.OperDown || !strings.Contains(s.State.Reason, "out0 is down") || s.Delivered != 2 {
		t.Errorf("session: %+v", s)
	}
	if len(st.Strangers) != 1 || !strings.HasPrefix(st.Strangers[0].Name, "tc/strange0/ingress") {
		t.Errorf("strangers: %+v", st.Strangers)
	}
	if release := strings.TrimSpace(command(t, "uname", "-r")); st.Kernel != release {
		t.Errorf("kernel %q, want %q", st.Kernel, release)
	}
	// tc's opinion of each classifier.
	if len(st.Filters) != 3 {
		t.Errorf("filters: %+v", st.Filters)
	}
	b.in("tc qdisc add dev spare1 clsact")
	for _, f := range st.Filters {
		words := map[string][]string{"matchall": {"matchall"}, "u32": {"u32", "match", "u32", "0", "0"}, "bpf": {"bpf", "bytecode", "1,6 0 0 4294967295,"}}[f.Name]
		err := exec.Command("ip", append([]string{"netns", "exec", b.ns, "tc", "filter", "add", "dev", "spare1", "ingress", "protocol", "all"}, words...)...).Run()
		if (err == nil) != (f.Has == hostmirror.Present) || f.Has == hostmirror.Absent && f.Why == "" {
			t.Errorf("%+v; tc says %v", f, err)
		}
	}

	text := b.must(b.host("status")...).out
	says(t, text, "filters: ", "sp-tap", "destination out0 is down", "not spanctl's: tc/strange0/ingress", "segmentation offload")
	b.in("ip link delete in0")
	says(t, b.must(b.host("status")...).out, "not there", "recorded, and the host has nothing of it")
	// Another store knows the mark, not the name; another device not even that.
	b.must(b.host("status", "--store", "other.db")...)
	if e := b.run("host", "status", "tap"); e.status != exitError {
		t.Error("host status takes an argument")
	}
}

// TestHostPrivileges: CAP_NET_ADMIN is enough for filters in the namespace that spanctl
// is in, also where the kernel lacks the best classifier and nobody could ask it
// before. Without it the refusal says what to do, and nothing is left.
func TestHostPrivileges(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{"tap.yaml": hostIntent("tap", "in0", "out0", "1h")})
	e := b.with("", "host", "apply", "--yes", "--intents", "tap.yaml", "--device", "probe")
	if e.status != exitError {
		t.Errorf("status %d", e.status)
	}
	says(t, e.out+e.err, "intent tap", "probe: apply", "sp-tap", "tc qdisc add dev in0 clsact", "CAP_NET_ADMIN")
	if got := b.filters("in0", "out0"); got != "" {
		t.Errorf("left: %s", got)
	}
	e = b.with("", "host", "status", "--device", "probe")
	says(t, e.out, "missing CAP_NET_ADMIN: making and taking away mirrors", "missing CAP_BPF", "filters: matchall, u32, bpf: not asked")
	if e.status != exitOK {
		t.Errorf("status %d: %s", e.status, e.err)
	}
	e = b.with("net_admin", "host", "apply", "--yes", "--intents", "tap.yaml", "--device", "probe")
	if e.status != exitOK {
		t.Errorf("with CAP_NET_ADMIN: %+v", e)
	}
	b.copied("out1", 1)
	e = b.with("net_admin", "host", "status", "--device", "probe")
	says(t, e.out, "missing CAP_BPF: mirrors that are made by BPF programs", "sp-tap")
	if strings.Contains(e.out, "missing CAP_NET_ADMIN") {
		t.Errorf("CAP_NET_ADMIN is there: %s", e.out)
	}
}
