package hostmirror

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

func TestAdvise(t *testing.T) {
	both := session("sp-a", []string{"m0"}, port("r0", models.Both), port("r1", models.Both))
	tests := []struct {
		name   string
		ses    models.Session
		change func(*snapshot)
		want   []string // rule and a part of the message
	}{
		{"nothing to say", session("sp-a", []string{"m0"}, port("r0", models.Both)), nil, nil},
		{"all ports of a bridge, received frames only", session("sp-a", []string{"m0"}, port("r0", models.Rx), port("r1", models.Rx)), nil, nil},
		{"both ends of a path through a bridge", both, nil, []string{"duplicate-copies: br0 forwards between r0 and r1"}},
		{
			"in and out of a bridge", session("sp-a", []string{"m0"}, port("r0", models.Tx), port("r1", models.Rx)), nil,
			[]string{"duplicate-copies: br0 forwards between r0 and r1"},
		},
		{
			"both ends of a path through the host's routing", both, func(s *snapshot) {
				s.links[0].master, s.links[1].master = 0, 0
				s.links[0].addrs, s.links[1].addrs = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/25")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.129/25")}
			},
			[]string{"duplicate-copies: this host routes between r0 and r1"},
		},
		{
			"ports that have nothing to do with each other", both,
			func(s *snapshot) { s.links[0].master, s.links[1].master = 0, 0 }, nil,
		},
		{
			"a destination in the source's bridge", session("sp-a", []string{"r1"}, port("r0", models.Rx)), nil,
			[]string{"same-bridge: destination r1 is a port of br0"},
		},
		{
			"a destination with a small MTU", session("sp-a", []string{"m0"}, port("r0", models.Rx)),
			func(s *snapshot) { s.links[2].mtu = 1400 }, []string{"small-mtu: destination m0 has MTU 1400 and source r0 1500"},
		},
		{
			"a destination that is down", session("sp-a", []string{"m0"}, port("r0", models.Rx)),
			func(s *snapshot) { s.links[2].runs = false }, []string{"destination-down: destination m0 is down"},
		},
		{
			"XDP in front", session("sp-a", []string{"m0"}, port("r0", models.Rx)),
			func(s *snapshot) { s.links[0].xdp = true }, []string{"blind: an XDP program on r0"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testHost()
			if tt.change != nil {
				tt.change(s)
			}
			cs := create(tt.ses)
			_, after, err := renderOn(host, s, kernel{kind: tcnl.MatchAll, method: MethodTC}, cs)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, f := range after.advise(host, cs) {
				text := f.Rule + ": " + f.Message
				if i < len(tt.want) {
					rule, part, _ := strings.Cut(tt.want[i], ": ")
					if f.Rule == rule && strings.Contains(f.Message, part) {
						text = tt.want[i]
					}
				}
				if !f.Warning || f.Device != host || !strings.Contains(f.Message, tt.ses.Name) {
					t.Errorf("finding %+v: want a warning about %s of %s", f, tt.ses.Name, host)
				}
				got = append(got, text)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
