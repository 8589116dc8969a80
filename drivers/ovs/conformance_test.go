package ovs_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/drivers/ovs"
	"github.com/spanctl/spanctl/models"
)

// TestConformance runs the suite against the real Open vSwitch behind OpenSSH.
func TestConformance(t *testing.T) {
	drivertest.Run(t, drivertest.Subject{
		Planner: ovs.Dialect{}, Dialect: ovs.Dialect{}, Start: startHost,
		Ask: func(f models.Feature, s *models.Session) {
			if f == models.FeatureFilterVLAN { // there is no filter by address beside it
				s.Filter = []models.Rule{{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(10)}}}}
			}
		},
	})
}

// perSide is how many ports there are for sources, and for destinations. The limit of
// 32 mirrors, less those of strangers, needs as many and one more; the rest of the
// suite fewer, which start faster.
func perSide(t testing.TB) int {
	if strings.HasSuffix(t.Name(), "/sessions") {
		return 31
	}
	return 4
}

// startHost is a host on which strangers have mirrors: one with marks of their own, one
// of all ports, one of a VLAN into a tunnel, which is theirs as well.
func startHost(t testing.TB) *drivertest.Peer {
	t.Helper()
	sources, destinations := portNames("s", perSide(t)), portNames("d", perSide(t))
	h := newHost(t, slices.Concat(sources, destinations, []string{"t1", "t2", "far"})...)
	h.vsctl("--", "add-bond", "br0", "bond0", "b1", "b2", "--", "set", "Interface", "b1", "type=dummy", "--", "set", "Interface", "b2", "type=dummy",
		"--", "add-port", "br0", "er0", "--", "set", "Interface", "er0", "type=erspan", "options:remote_ip=203.0.113.9", "options:key=5", "options:erspan_ver=1", "external_ids:owner=ids",
		"--", "add-br", "fake0", "br0", "100", // a bridge of ovs-vsctl's only
		"--", "set", "Bridge", "br0", "external_ids:owner=cloud", "other_config:mac-table-size=4096")
	h.vsctl("--", "--id=@t1", "get", "Port", "t1", "--", "--id=@t2", "get", "Port", "t2", "--", "--id=@er", "get", "Port", "er0",
		"--", "--id=@a", "create", "Mirror", "name=theirs", "select_src_port=@t1", "select_dst_port=@t1", "output_port=@t2", "snaplen=100", "external_ids:owner=ids",
		"--", "--id=@b", "create", "Mirror", "name=tap", "select_all=true", "select_vlan=77", "output_port=@er",
		"--", "set", "Bridge", "br0", "mirrors=@a,@b")
	note := func(name, text string) { h.write(name, text, 0o600) }
	return &drivertest.Peer{
		Device: "hv1",
		Ports: drivertest.Ports{
			Sources: sources, Destinations: destinations, LAG: "bond0", VLAN: 10, RemoteVLAN: 900,
			Tunnel: &models.Tunnel{Source: netip.MustParseAddr("198.51.100.1"), Destination: netip.MustParseAddr("198.51.100.9")},
		},
		Foreign:   h.truth(),
		Open:      h.open,
		Dial:      h.dial,
		Truth:     h.truth,
		Config:    h.config,
		Wire:      h.wire,
		ResetWire: h.resetWire,
		Lapse:     func(time.Duration) {},
		Refuse:    func(step string) { note("refuse", step) },
		Hang: func(text string) {
			note("hang", text)
			t.Cleanup(func() { _ = os.Remove(filepath.Join(h.dir, "hang")) })
		},
		Frames: func(t testing.TB, port string, rx, tx int, to string) int {
			// Both are learned, and no flow is cached that floods.
			h.exchange("far", frame(1, 2, 0, 60))
			h.exchange(port, frame(2, 1, 0, 60))
			h.exchange("far", frame(1, 2, 0, 60))
			h.purge()
			n := 0
			for i := range rx {
				n += len(h.exchange(port, frame(2, 1, byte(i), 60))[to])
			}
			for i := range tx {
				n += len(h.exchange("far", frame(1, 2, byte(i), 60))[to])
			}
			return n
		},
	}
}
