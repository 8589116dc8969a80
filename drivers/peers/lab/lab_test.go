package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

// frontEnd says its name to everybody who connects.
type frontEnd struct {
	name string
	fail error // of Serve

	mu     sync.Mutex
	faults string
	wire   []string
}

func (f *frontEnd) Wire() []string { return f.wire }
func (f *frontEnd) ResetWire()     { f.wire = nil }

func (f *frontEnd) Serve(ctx context.Context, l net.Listener) error {
	if f.fail != nil {
		l.Close()
		return f.fail
	}
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		fmt.Fprintln(c, f.name)
		c.Close()
	}
}

func (f *frontEnd) Close() {}

func (f *frontEnd) RunningConfig() string { return "hostname " + f.name + "\n" }

func (f *frontEnd) SetFaults(spec json.RawMessage) error {
	if strings.Contains(string(spec), "bad") {
		return errors.New("no such fault")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = string(spec)
	return nil
}

// small is a lab of one switch with hosts h1 (with an address), h2 and probe, that
// mirrors what h1 sends to the probe.
func small(t *testing.T, edit ...func(*frontEnd)) (*lab.Lab, *frontEnd) {
	t.Helper()
	f := fabric.New()
	sw, err := f.AddSwitch("sw")
	must(t, err)
	fe := &frontEnd{name: "sw"}
	for _, e := range edit {
		e(fe)
	}
	nodes := []lab.Node{{Name: "sw", Kind: "test_switch", Fabric: f, Switch: sw, FrontEnd: fe}}
	for i, name := range []string{"h1", "h2", "probe"} {
		h, err := f.AddHost(name)
		must(t, err)
		var addrs []netip.Prefix
		if name == "h1" {
			addrs = append(addrs, netip.MustParsePrefix("10.0.0.1/24"))
		}
		must(t, h.AddPort("eth1", addrs...))
		port := fmt.Sprintf("e%d", i+1)
		must(t, sw.AddPort(port))
		must(t, f.Connect(fabric.Link{A: fabric.End{Node: name, Port: "eth1"}, B: fabric.End{Node: "sw", Port: port}}))
		nodes = append(nodes, lab.Node{Name: name, Kind: "linux", Fabric: f, Host: h})
	}
	must(t, sw.Configure(fabric.Config{Mirrors: []fabric.Mirror{{
		Name:         "m",
		Sources:      []fabric.MirrorSource{{Kind: fabric.SourcePort, Name: "e1", Direction: fabric.Rx}},
		Destinations: []fabric.MirrorDestination{{Kind: fabric.DestinationPort, Name: "e3"}},
	}}}))
	l, err := lab.New(nodes)
	must(t, err)
	return l, fe
}

func started(t *testing.T) (*lab.Lab, *frontEnd, lab.Client) {
	t.Helper()
	l, fe := small(t)
	must(t, l.Start(t.Context(), lab.Options{}))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, fe, lab.Client{Address: l.ControlAddress().String()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestManagement(t *testing.T) {
	l, _, c := started(t)
	addr, ok := l.Address("sw")
	if !ok {
		t.Fatal("the switch has no address")
	}
	if _, ok := l.Address("h1"); ok {
		t.Error("a host has a management address")
	}
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", addr.String())
	must(t, err)
	defer conn.Close()
	said, err := io.ReadAll(conn)
	must(t, err)
	if string(said) != "sw\n" {
		t.Errorf("the server said %q", said)
	}
	r, err := c.Nodes(t.Context())
	must(t, err)
	want := lab.NodesReply{
		Nodes: []lab.NodeInfo{
			{Name: "sw", Kind: "test_switch", Role: "switch", Management: addr.String(), Ports: []lab.PortInfo{
				{Name: "e1", MAC: "02:00:00:00:00:00", Up: true}, {Name: "e2", MAC: "02:00:00:00:00:01", Up: true},
				{Name: "e3", MAC: "02:00:00:00:00:02", Up: true, MirrorDestination: true}}},
			{Name: "h1", Kind: "linux", Role: "host", Ports: []lab.PortInfo{{Name: "eth1", MAC: "02:00:00:01:00:00", Up: true, Addresses: []string{"10.0.0.1/24"}}}},
			{Name: "h2", Kind: "linux", Role: "host", Ports: []lab.PortInfo{{Name: "eth1", MAC: "02:00:00:02:00:00", Up: true}}},
			{Name: "probe", Kind: "linux", Role: "host", Ports: []lab.PortInfo{{Name: "eth1", MAC: "02:00:00:03:00:00", Up: true}}},
		},
		Links: []lab.LinkInfo{
			{A: lab.EndInfo{Node: "h1", Port: "eth1"}, B: lab.EndInfo{Node: "sw", Port: "e1"}, MTU: fabric.DefaultMTU},
			{A: lab.EndInfo{Node: "h2", Port: "eth1"}, B: lab.EndInfo{Node: "sw", Port: "e2"}, MTU: fabric.DefaultMTU},
			{A: lab.EndInfo{Node: "probe", Port: "eth1"}, B: lab.EndInfo{Node: "sw", Port: "e3"}, MTU: fabric.DefaultMTU},
		},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestControl(t *testing.T) {
	_, fe, c := started(t)
	ctx := t.Context()
	ready := []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x01\x00\x00\x88\xb5ready")
	sent, err := c.Send(ctx, lab.SendRequest{Host: "h1", Frames: [][]byte{ready, ready}})
	must(t, err)
	if sent != 2 {
		t.Errorf("sent %d, want 2", sent)
	}
	sent, err = c.Send(ctx, lab.SendRequest{Generate: &lab.Generator{From: "h2", To: "h1", Count: 3, Marker: "made"}})
	must(t, err)
	if sent != 3 {
		t.Errorf("generated %d, want 3", sent)
	}
	count := func(host, contains string, reset bool) int {
		t.Helper()
		r, err := c.Captures(ctx, host, "", contains, reset)
		must(t, err)
		if r.Count != len(r.Frames) || r.Host != host || r.Port != "eth1" {
			t.Errorf("captures say %d of %s %s, and hold %d", r.Count, r.Host, r.Port, len(r.Frames))
		}
		return r.Count
	}
	r, err := c.Captures(ctx, "probe", "eth1", "ready", false)
	must(t, err)
	if diff := cmp.Diff([]lab.CapturedFrame{{Seq: 1, Frame: ready}, {Seq: 3, Frame: ready}}, r.Frames); diff != "" {
		t.Errorf("probe (-want +got):\n%s", diff)
	}
	have := []int{count("h1", "made", true), count("h1", "", false), count("h2", "ready", false), count("probe", "made", false)}
	if diff := cmp.Diff([]int{3, 0, 2, 0}, have); diff != "" {
		t.Errorf("captured (-want +got):\n%s", diff)
	}
	must(t, c.ResetCaptures(ctx, "h2"))
	have = []int{count("h2", "", false), count("probe", "", false)}
	must(t, c.ResetCaptures(ctx, ""))
	have = append(have, count("probe", "", false))
	if diff := cmp.Diff([]int{0, 2, 0}, have); diff != "" {
		t.Errorf("after resets (-want +got):\n%s", diff)
	}

	must(t, c.SetFaults(ctx, "sw", json.RawMessage(`{"delay":"1s"}`)))
	if fe.faults != `{"delay":"1s"}` {
		t.Errorf("faults passed on: %s", fe.faults)
	}
	fe.wire = []string{"show version", "exit"}
	lines, err := c.Wire(ctx, "sw", true)
	must(t, err)
	left, err := c.Wire(ctx, "sw", false)
	must(t, err)
	if diff := cmp.Diff([][]string{{"show version", "exit"}, {}}, [][]string{lines, left}); diff != "" {
		t.Errorf("wire, and again after a reset (-want +got):\n%s", diff)
	}
	config, err := c.Config(ctx, "sw")
	must(t, err)
	if config != "hostname sw\n" {
		t.Errorf("configuration %q", config)
	}
	must(t, c.SetLink(ctx, lab.LinkRequest{Node: "sw", Port: "e2", Up: true, LoseOneIn: 2}))
	_, err = c.Send(ctx, lab.SendRequest{Generate: &lab.Generator{From: "h1", To: "h2", Count: 4}})
	must(t, err)
	if have := count("h2", "", true); have != 2 {
		t.Errorf("%d of 4 frames arrived, want every second", have)
	}
	must(t, c.SetLink(ctx, lab.LinkRequest{Node: "h2", Port: "eth1"}))
	_, err = c.Send(ctx, lab.SendRequest{Generate: &lab.Generator{From: "h2", To: "h1"}})
	must(t, err)
	counters, err := c.Counters(ctx, "h2")
	must(t, err)
	if counters.Ports["eth1"].Drops[fabric.DropDown] != 1 || counters.Ports["eth1"].OutFrames != 3 {
		t.Errorf("counters of h2 %+v", counters)
	}
	counters, err = c.Counters(ctx, "sw")
	must(t, err)
	if diff := cmp.Diff(map[string]lab.MirrorCounters{"m": {Matched: 6, Copied: 6}}, counters.Mirrors); diff != "" {
		t.Errorf("mirrors (-want +got):\n%s", diff)
	}
	if p := counters.Ports["e1"]; p.InFrames != 6 || p.OutFrames != 3 {
		t.Errorf("e1 %+v", p)
	}
}

func TestControlRefuses(t *testing.T) {
	l, _, _ := started(t)
	base := "http://" + l.ControlAddress().String()
	tests := []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		want                     string
	}{
		{name: "unknown path", method: "GET", path: "/v2/nodes", status: 404, want: "no GET /v2/nodes"},
		{name: "wrong method", method: "POST", path: "/v1/nodes", body: "{}", status: 405, want: "no POST /v1/nodes"},
		{name: "unknown parameter", method: "GET", path: "/v1/captures?host=h1&colour=red", status: 400, want: `colour`},
		{name: "parameter twice", method: "GET", path: "/v1/captures?host=h1&host=h2", status: 400, want: `given twice`},
		{name: "unknown member", method: "POST", path: "/v1/frames", body: `{"host":"h1","frame":[]}`, status: 400, want: `unknown field \"frame\"`},
		{name: "unknown member of the generator", method: "POST", path: "/v1/frames", body: `{"generate":{"from":"h1","to":"h2","length":3}}`, status: 400, want: `unknown field \"length\"`},
		{name: "two values", method: "POST", path: "/v1/frames", body: `{} {}`, status: 400, want: "more than one"},
		{name: "no JSON", method: "POST", path: "/v1/frames", body: `frames`, status: 400, want: "invalid character"},
		{name: "no content type", method: "POST", path: "/v1/frames", body: `{}`, header: map[string]string{"Content-Type": "text/plain"}, status: 415, want: "application/json"},
		{name: "another site's page", method: "GET", path: "/v1/nodes", header: map[string]string{"Host": "evil.example"}, status: 403, want: "not loopback"},
		{name: "host and generator", method: "POST", path: "/v1/frames", body: `{"host":"h1","generate":{"from":"h1","to":"h2"}}`, status: 400, want: "or generate"},
		{name: "neither", method: "POST", path: "/v1/frames", body: `{}`, status: 400, want: "or generate"},
		{name: "no frames", method: "POST", path: "/v1/frames", body: `{"host":"h1"}`, status: 400, want: "no frames"},
		{name: "a stump of a frame", method: "POST", path: "/v1/frames", body: `{"host":"h1","frames":["AAAA"]}`, status: 400, want: "3 bytes"},
		{name: "no host", method: "POST", path: "/v1/frames", body: `{"host":"h9","frames":["AAAA"]}`, status: 404, want: `no node \"h9\"`},
		{name: "no port", method: "GET", path: "/v1/captures?host=h1&port=eth9", status: 404, want: `no port \"eth9\"`},
		{name: "switch as host", method: "GET", path: "/v1/captures?host=sw", status: 400, want: "is a switch"},
		{name: "host as switch", method: "GET", path: "/v1/config?node=h1", status: 400, want: "is a host"},
		{name: "no switch", method: "GET", path: "/v1/counters?node=nope", status: 404, want: "nope"},
		{name: "reset", method: "GET", path: "/v1/captures?host=h1&reset=perhaps", status: 400, want: "perhaps"},
		{name: "wire of a host", method: "GET", path: "/v1/wire?node=h1", status: 400, want: "is a host"},
		{name: "reset of a wire", method: "GET", path: "/v1/wire?node=sw&reset=x", status: 400, want: "neither 1 nor 0"},
		{name: "fault refused", method: "POST", path: "/v1/faults", body: `{"node":"sw","faults":{"bad":1}}`, status: 400, want: "no such fault"},
		{name: "no fault", method: "POST", path: "/v1/faults", body: `{"node":"sw"}`, status: 400, want: "must be an object"},
		{name: "reset of a switch", method: "POST", path: "/v1/captures/reset", body: `{"host":"sw"}`, status: 400, want: "is a switch"},
		{name: "link of nothing", method: "POST", path: "/v1/links", body: `{"node":"sw","port":"e9","up":true}`, status: 400, want: "e9"},
		{name: "generator: size", method: "POST", path: "/v1/frames", body: `{"generate":{"from":"h1","to":"h2","size":49}}`, status: 400, want: "from 50 to 65535"},
		{name: "generator: count", method: "POST", path: "/v1/frames", body: `{"generate":{"from":"h1","to":"h2","count":1000000}}`, status: 400, want: "count 1000000"},
		{name: "generator: VLAN", method: "POST", path: "/v1/frames", body: `{"generate":{"from":"h1","to":"h2","vlan":4095}}`, status: 400, want: "VLAN 4095"},
		{name: "generator: to nobody", method: "POST", path: "/v1/frames", body: `{"generate":{"from":"h1","to":""}}`, status: 404, want: "to: no node"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, base+tt.path, strings.NewReader(tt.body))
			must(t, err)
			req.Header.Set("Content-Type", "application/json")
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			req.Host = tt.header["Host"]
			res, err := http.DefaultClient.Do(req)
			must(t, err)
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			must(t, err)
			var e struct{ Error string }
			if json.Unmarshal(text, &e) != nil || e.Error == "" || res.StatusCode != tt.status || !strings.Contains(string(text), tt.want) {
				t.Errorf("got %d %s, want %d and an error with %s", res.StatusCode, text, tt.status, tt.want)
			}
		})
	}
}

func TestGeneratedFrames(t *testing.T) {
	_, _, c := started(t)
	tests := []struct {
		name string
		give lab.Generator
		size int
		src  string
		dst  string
		mac  string
	}{
		{"smallest", lab.Generator{From: "h1", To: "h2"}, 60, "10.0.0.1", "198.18.2.0", "02:00:00:02:00:00"},
		{"sized", lab.Generator{From: "h1:eth1", To: "h2:eth1", Size: 1514, Marker: "mark-é", Count: 2}, 1514, "10.0.0.1", "198.18.2.0", "02:00:00:02:00:00"},
		{"odd, long marker", lab.Generator{From: "h1", To: "h2", Marker: strings.Repeat("m", 101)}, 14 + 20 + 8 + 101 + 8, "10.0.0.1", "198.18.2.0", "02:00:00:02:00:00"},
		{"tagged", lab.Generator{From: "h1", To: "broadcast", VLAN: 10, Priority: 5, Size: 100}, 100, "10.0.0.1", "255.255.255.255", "ff:ff:ff:ff:ff:ff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			must(t, c.ResetCaptures(t.Context(), ""))
			_, err := c.Send(t.Context(), lab.SendRequest{Generate: &tt.give})
			must(t, err)
			r, err := c.Captures(t.Context(), "probe", "", "", true) // copies of what h1 sent
			must(t, err)
			if r.Count != max(tt.give.Count, 1) {
				t.Fatalf("%d copies", r.Count)
			}
			for i, f := range r.Frames {
				if len(f.Frame) != tt.size {
					t.Errorf("frame of %d bytes, want %d", len(f.Frame), tt.size)
				}
				p := gopacket.NewPacket(f.Frame, layers.LayerTypeEthernet, gopacket.Default)
				if e := p.ErrorLayer(); e != nil {
					t.Fatal(e.Error())
				}
				eth := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
				ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
				udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
				have := []string{ip.SrcIP.String(), ip.DstIP.String(), eth.DstMAC.String()}
				if diff := cmp.Diff([]string{tt.src, tt.dst, tt.mac}, have); diff != "" {
					t.Errorf("addresses (-want +got):\n%s", diff)
				}
				if want := tt.give.Marker + fmt.Sprintf("%08d", i); !strings.HasPrefix(string(udp.Payload), want) {
					t.Errorf("payload %q, want it to begin with %q", udp.Payload, want)
				}
				tag, _ := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q)
				if (tag != nil) != (tt.give.VLAN != 0) || tag != nil && (tag.VLANIdentifier != tt.give.VLAN || tag.Priority != tt.give.Priority) {
					t.Errorf("tag %+v", tag)
				}
				tail := len(ip.Contents) + len(ip.Payload)
				if diff := cmp.Diff(rebuilt(t, ip, udp), f.Frame[len(f.Frame)-tail:]); diff != "" {
					t.Errorf("lengths and checksums (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// rebuilt has gopacket write the packet with lengths and checksums of its own.
func rebuilt(t *testing.T, ip *layers.IPv4, udp *layers.UDP) []byte {
	t.Helper()
	payload := append([]byte{}, udp.Payload...)
	must(t, udp.SetNetworkLayerForChecksum(ip))
	b := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(payload)))
	return b.Bytes()
}

func TestStartRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	port := busy.Addr().(*net.TCPAddr).AddrPort().Port()
	tests := []struct {
		name string
		give lab.Options
		want string
	}{
		{"control not on loopback", lab.Options{Control: "0.0.0.0:0"}, "not on loopback"},
		{"control by name", lab.Options{Control: "example.com:80"}, "not on loopback"},
		{"control without port", lab.Options{Control: "127.0.0.1"}, "control address"},
		{"port in use", lab.Options{BasePort: port}, "node sw: listen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := small(t)
			err := l.Start(t.Context(), tt.give)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			must(t, l.Close())
		})
	}
	l, _, _ := started(t)
	if err := l.Start(t.Context(), lab.Options{}); err == nil {
		t.Error("started twice")
	}
}

func TestEnds(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, _ := small(t)
		must(t, l.Start(ctx, lab.Options{}))
		cancel()
		must(t, l.Wait())
	})
	t.Run("a server fails", func(t *testing.T) {
		l, _ := small(t, func(f *frontEnd) { f.fail = errors.New("broken") })
		must(t, l.Start(t.Context(), lab.Options{}))
		done := make(chan error, 1)
		go func() { done <- l.Wait() }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "node sw: broken") {
				t.Errorf("got %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the lab goes on without its switch")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	f := fabric.New()
	h, err := f.AddHost("h")
	must(t, err)
	good := lab.Node{Name: "h", Fabric: f, Host: h}
	both := good
	both.FrontEnd = &frontEnd{}
	for name, give := range map[string][]lab.Node{
		"twice":     {good, good},
		"neither":   {{Name: "x", Fabric: f}},
		"both":      {both},
		"no fabric": {{Name: "h", Host: h}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := lab.New(give); err == nil {
				t.Error("no error")
			}
		})
	}
}
