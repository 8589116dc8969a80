package hostmirror

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

func prefix(s string) models.Prefix { return models.Prefix{Prefix: netip.MustParsePrefix(s)} }

var programOperationTests = []struct {
	name, text string
	op         operation
}{
	{
		"copy added",
		"bpf copy add dev r0 ingress session host1/sp-web to m0 because 'copies are cut'",
		operation{Verb: addCopy, Dev: "r0", Hook: tcnl.Ingress, Copy: bpfcopy.Session{
			Name: "host1/sp-web", Destinations: []bpfcopy.Device{{Name: "m0"}}, Reason: "copies are cut",
		}},
	},
	{
		"copy with everything",
		"bpf copy add dev 'a$b' egress session 'host1/it'\\''s' to include to m1" +
			" include proto tcp src 10.0.0.0/8 dst 192.0.2.1/32 sport 1-5,7 dport 443 vlan 10,20-30 exclude include proto 99 dst 2001:db8::/32" +
			" sample 10 truncate 128 because ''",
		operation{Verb: addCopy, Dev: "a$b", Hook: tcnl.Egress, Copy: bpfcopy.Session{
			Name: "host1/it's", Destinations: []bpfcopy.Device{{Name: "include"}, {Name: "m1"}},
			Filter: []models.Rule{
				{Action: models.Include, Match: models.Match{
					Proto: "tcp", Src: prefix("10.0.0.0/8"), Dst: prefix("192.0.2.1/32"),
					Sport: []models.Range{{First: 1, Last: 5}, models.One(7)}, Dport: []models.Range{models.One(443)},
					VLANs: []models.Range{models.One(10), {First: 20, Last: 30}},
				}},
				{Action: models.Exclude},
				{Action: models.Include, Match: models.Match{Proto: "99", Dst: prefix("2001:db8::/32")}},
			},
			SampleOneIn: 10, TruncateTo: 128,
		}},
	},
	{
		"copy changed",
		"bpf copy change dev r0 ingress session host1/sp-web to m0 to m1 because x",
		operation{Verb: changeCopy, Dev: "r0", Hook: tcnl.Ingress, Copy: bpfcopy.Session{
			Name: "host1/sp-web", Destinations: []bpfcopy.Device{{Name: "m0"}, {Name: "m1"}}, Reason: "x",
		}},
	},
	{
		"copy deleted", "bpf copy del dev r0 egress session host1/sp-web",
		operation{Verb: delCopy, Dev: "r0", Hook: tcnl.Egress, Copy: bpfcopy.Session{Name: "host1/sp-web"}},
	},
	{
		"program of an interface that is gone", "bpf copy forget dev r0 index 7 ingress",
		operation{Verb: forgetCopy, Dev: "r0", Index: 7, Hook: tcnl.Ingress},
	},
	{
		"guard", "bpf guard add dev r0 egress gre 192.0.2.9",
		operation{Verb: addGuard, Dev: "r0", Hook: tcnl.Egress, Tunnel: bpfcopy.Tunnel{Destination: netip.MustParseAddr("192.0.2.9")}},
	},
	{
		"guard taken away", "bpf guard del dev r0 egress vxlan 2001:db8::9",
		operation{Verb: delGuard, Dev: "r0", Hook: tcnl.Egress, Tunnel: bpfcopy.Tunnel{Destination: netip.MustParseAddr("2001:db8::9"), VXLAN: true}},
	},
}

func TestParseProgramRefuses(t *testing.T) {
	add := programOperationTests[1].text
	tests := map[string]string{
		"other verb":             strings.Replace(add, "copy add", "copy replace", 1),
		"no verb":                "bpf",
		"no destination":         "bpf copy add dev r0 ingress session host1/a because x",
		"no session":             "bpf copy add dev r0 ingress to m0 because x",
		"no reason":              "bpf copy add dev r0 ingress session host1/a to m0",
		"no hook":                "bpf copy del dev r0 session host1/a",
		"address with host bits": strings.Replace(add, "10.0.0.0/8", "10.0.0.1/8", 1),
		"address without length": strings.Replace(add, "192.0.2.1/32", "192.0.2.1", 1),
		"empty address":          strings.Replace(add, "10.0.0.0/8", "''", 1),
		"range backwards":        strings.Replace(add, "1-5", "5-1", 1),
		"range too large":        strings.Replace(add, "443", "65536", 1),
		"key twice":              strings.Replace(add, "proto tcp", "proto tcp proto tcp", 1),
		"keys in another order":  strings.Replace(add, "sport 1-5,7 dport 443", "dport 443 sport 1-5,7", 1),
		"one in one":             strings.Replace(add, "sample 10", "sample 1", 1),
		"truncate to nothing":    strings.Replace(add, "truncate 128", "truncate 0", 1),
		"truncate too large":     strings.Replace(add, "truncate 128", "truncate 65536", 1),
		"something behind":       add + " x",
		"delete with more":       "bpf copy del dev r0 egress session host1/sp-web to m0",
		"forget without index":   "bpf copy forget dev r0 ingress",
		"guard of another kind":  "bpf guard add dev r0 egress ipip 192.0.2.9",
		"guard of no address":    "bpf guard add dev r0 egress gre any",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if o, err := parseOperation(text); err == nil {
				t.Errorf("%q was read as %+v", text, o)
			}
		})
	}
}
