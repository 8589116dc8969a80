package sonic_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/fault"
	peer "github.com/spanctl/spanctl/drivers/peers/sonic"
	"github.com/spanctl/spanctl/drivers/sonic"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
	"github.com/spanctl/spanctl/models"
)

// TestConformance runs the suite against the simulated switch, over SSH.
func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Subject{Planner: sonic.Dialect{}, Dialect: sonic.Dialect{}, Ask: ask,
		Start: func(t testing.TB) *drivertest.Peer { return startSwitch(t).Peer }})
}

var tunnel = &models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("198.51.100.9")}

// ask truncates and samples copies that are sent in GRE: others are whole and all.
func ask(f models.Feature, s *models.Session) {
	if f == models.FeatureTruncate || f == models.FeatureSample {
		s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: tunnel.Source, Destination: tunnel.Destination}}
	}
}

func port(n int) string { return "Ethernet" + strconv.Itoa(4*n) }

func ports(from, to int) []string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, port(n))
	}
	return out
}

// configDB has sessions of strangers, some with fields that the neutral model has no
// field for, and ports in a VLAN, so that frames flow.
func configDB() string {
	var members []string
	for _, p := range append(ports(1, 4), port(13), port(15), "PortChannel0001") {
		members = append(members, fmt.Sprintf("%q: {\"tagging_mode\": \"untagged\"}", "Vlan10|"+p))
	}
	return `{
	"VLAN": {"Vlan10": {"vlanid": "10"}},
	"PORTCHANNEL": {"PortChannel0001": {"admin_status": "up", "mtu": "9100"}},
	"PORTCHANNEL_MEMBER": {"PortChannel0001|Ethernet44": {"NULL": "NULL"}, "PortChannel0001|Ethernet48": {"NULL": "NULL"}},
	"VLAN_MEMBER": {` + strings.Join(members, ",\n") + `},
	"INTERFACE": {"Ethernet64": {}, "Ethernet64|198.51.100.1/24": {}},
	"POLICER": {"slow": {"meter_type": "packets"}},
	"MIRROR_SESSION": {
		"theirs": {"type": "SPAN", "src_port": "Ethernet52", "dst_port": "Ethernet56", "direction": "RX"},
		"tap": {"type": "ERSPAN", "src_ip": "198.51.100.1", "dst_ip": "198.51.100.77", "dscp": "8", "ttl": "100", "gre_type": "0x6558",
			"queue": "3", "policer": "slow", "src_port": "Ethernet52", "direction": "TX"},
		"everflow": {"type": "ERSPAN", "src_ip": "198.51.100.1", "dst_ip": "198.51.100.78", "dscp": "0", "ttl": "64"}
	},
	"ACL_RULE": {"EVERFLOW|RULE_1": {"PRIORITY": "9999", "MIRROR_INGRESS_ACTION": "everflow", "SRC_IP": "10.0.0.0/8"}}
	}`
}

// bed is a simulated switch with a host on every port, and the suite's view of it.
type bed struct {
	*drivertest.Peer
	dev   *peer.Device
	hosts map[string]*fabric.Host
}

// startSwitch makes a switch, and SSH on loopback.
func startSwitch(t testing.TB, edits ...func(*peer.Options)) *bed {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fab := fabric.New()
	sw, err := fab.AddSwitch("leaf1")
	must(err)
	hosts := make(map[string]*fabric.Host)
	for i, name := range ports(1, 16) {
		must(sw.AddPort(name))
		h, err := fab.AddHost("host" + strconv.Itoa(i+1))
		must(err)
		must(h.AddPort("eth0"))
		must(fab.Connect(fabric.Link{A: fabric.End{Node: "leaf1", Port: name}, B: fabric.End{Node: h.Name(), Port: "eth0"}}))
		hosts[name] = h
	}
	o := peer.Options{Hostname: "leaf1", Switch: sw, Users: map[string]string{"admin": "right"}, ConfigDB: configDB(),
		Neighbor: func(e fabric.End) (string, string, bool) {
			return e.Node, e.Port, e.Node == "host15" || e.Node == "host16"
		}}
	for _, e := range edits {
		e(&o)
	}
	dev, err := peer.New(o)
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	wg.Go(func() { _ = dev.Serve(ctx, l) })
	t.Cleanup(func() { stop(); dev.Close(); wg.Wait() })
	keys, err := ssh.NewHostKeys(ssh.AcceptNew, filepath.Join(t.TempDir(), "known_hosts"))
	must(err)
	dial := func(ctx context.Context) (transport.Conn, error) {
		return ssh.Dial(ctx, ssh.Options{Device: "leaf1", Profile: sonic.Dialect{}.Profile(), Endpoint: ssh.Endpoint{
			Address: l.Addr().String(), User: "admin", HostKeys: keys,
			Auth: ssh.Auth{Password: func(context.Context) (string, error) { return "right", nil }},
		}})
	}
	trouble := func(line string, a fault.Action) {
		t.Helper()
		if line != "" {
			line = "^" + regexp.QuoteMeta(line) + "$"
		}
		must(dev.AddFault(fault.Fault{Line: line, Action: a, Times: 1}))
	}
	b := &bed{dev: dev, hosts: hosts}
	b.Peer = &drivertest.Peer{
		Device:  "leaf1",
		Ports:   drivertest.Ports{Sources: ports(1, 4), Destinations: ports(5, 6), LAG: "PortChannel0001", Tunnel: tunnel},
		Foreign: truth(t, dev),
		Open: func(ctx context.Context) (drivers.Driver, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return drivers.Compose("leaf1", sonic.Dialect{}, c), nil
		},
		Dial:   dial,
		Truth:  func() []models.Session { return truth(t, dev) },
		Config: dev.RunningConfig,
		Saved:  func() bool { return dev.StartupConfig() == dev.RunningConfig() },
		Wire: func() []string {
			p := sonic.Dialect{}.Profile()
			return slices.DeleteFunc(dev.Wire(), func(l string) bool { return strings.TrimSpace(l) == "" || slices.Contains(p.Open, l) })
		},
		ResetWire: dev.ResetWire,
		Lapse:     func(time.Duration) {}, // there is no timer
		Refuse:    func(step string) { trouble(step, fault.Refuse) },
		Hang:      func(text string) { trouble(text, fault.Hang) },
		Frames: func(t testing.TB, port string, rx, tx int, to string) int {
			return b.frames(t, port, rx, tx, to)
		},
	}
	return b
}

// truth puts CONFIG_DB into the words of the suite.
func truth(t testing.TB, dev *peer.Device) []models.Session {
	t.Helper()
	var out []models.Session
	for _, name := range dev.Keys("MIRROR_SESSION") {
		row := dev.Row("MIRROR_SESSION", name)
		s := models.Session{Name: name}
		number := func(key string) uint64 {
			if row[key] == "" {
				return 0
			}
			n, err := strconv.ParseUint(row[key], 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for _, p := range strings.Split(row["src_port"], ",") {
			if p == "" {
				continue
			}
			src := models.Source{Kind: models.SourcePort, Name: p,
				Direction: map[string]models.Direction{"RX": models.Rx, "TX": models.Tx, "BOTH": models.Both}[row["direction"]]}
			if strings.HasPrefix(p, "PortChannel") {
				src.Kind = models.SourceLAG
			}
			s.Sources = append(s.Sources, src)
		}
		if row["type"] == "SPAN" {
			s.Destination = models.Destination{Kind: models.DestinationPort, Ports: []string{row["dst_port"]}}
		} else {
			tun := &models.Tunnel{Source: netip.MustParseAddr(row["src_ip"]), Destination: netip.MustParseAddr(row["dst_ip"]),
				TTL: uint8(number("ttl")), DSCP: uint8(number("dscp")), Protocol: uint16(number("gre_type"))}
			if tun.TTL == 64 {
				tun.TTL = 0
			}
			if tun.Protocol == 0x88be {
				tun.Protocol = 0
			}
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: tun}
			if row["gre_type"] == "" {
				s.Extra = append(s.Extra, "gre_type of the switch")
			}
		}
		s.SampleOneIn, s.TruncateTo = uint32(number("sample_rate")), uint16(number("truncate_size"))
		if row["policer"] != "" {
			s.Extra = append(s.Extra, "policer "+row["policer"])
		}
		if number("queue") != 0 {
			s.Extra = append(s.Extra, "queue "+row["queue"])
		}
		for _, key := range dev.Keys("ACL_RULE") {
			if dev.Row("ACL_RULE", key)["MIRROR_INGRESS_ACTION"] == name {
				s.Extra = append(s.Extra, "ACL_RULE "+key+" mirrors what it matches on ingress")
			}
		}
		out = append(out, s)
	}
	return out
}

// frames lets the host on port and one elsewhere learn each other, sends rx frames
// from the one and tx frames to it, and counts what the host on to receives.
func (b *bed) frames(t testing.TB, from string, rx, tx int, to string) int {
	t.Helper()
	near, far, sensor := b.hosts[from], b.hosts[port(15)], b.hosts[to]
	send := func(from, dst *fabric.Host, n int) {
		t.Helper()
		d, s := dst.MAC("eth0"), from.MAC("eth0")
		frame := slices.Concat(d[:], s[:], []byte{0x88, 0xb5}, make([]byte, 60))
		for range n {
			if err := from.Send("eth0", frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(far, near, 1)
	send(near, far, 1)
	sensor.ResetCapture()
	send(near, far, rx)
	send(far, near, tx)
	return len(sensor.Captured("eth0"))
}
