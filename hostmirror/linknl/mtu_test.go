package linknl

import (
	"errors"
	"testing"
)

// The numbers were seen on the wire of kernels 5.10, 6.1 and 6.12 (bytes from the
// beginning of the outer IP header to the mirrored frame, and the MTU that the kernel
// gives a link on an underlay of 1500). Those over IPv6 are seen by this package's
// own kernel tests.
func TestOverhead(t *testing.T) {
	type numbers struct{ overhead, fit, whole, wholeTagged int }
	tests := []struct {
		name string
		give Spec
		want numbers
	}{
		{"ERSPAN I", Spec{Kind: ERSPAN1, Remote: peer4}, numbers{24, 1462, 1538, 1542}},
		{"ERSPAN II", Spec{Kind: ERSPAN2, Remote: peer4}, numbers{36, 1450, 1550, 1554}},
		{"ERSPAN III", Spec{Kind: ERSPAN3, Remote: peer4}, numbers{40, 1446, 1554, 1558}},
		{"GRE", Spec{Kind: GRETap, Remote: peer4}, numbers{24, 1462, 1538, 1542}},
		{"GRE with key", Spec{Kind: GRETap, Remote: peer4, Keyed: true}, numbers{28, 1458, 1542, 1546}},
		{"VXLAN", Spec{Kind: VXLAN, Remote: peer4}, numbers{36, 1450, 1550, 1554}},
		{"ERSPAN II over IPv6", Spec{Kind: ERSPAN2, Remote: peer6}, numbers{56, 1430, 1570, 1574}},
		{"ERSPAN III over IPv6", Spec{Kind: ERSPAN3, Remote: peer6}, numbers{60, 1426, 1574, 1578}},
		{"GRE over IPv6", Spec{Kind: GRETap, Remote: peer6}, numbers{44, 1442, 1558, 1562}},
		{"GRE with key over IPv6", Spec{Kind: GRETap, Remote: peer6, Keyed: true}, numbers{48, 1438, 1562, 1566}},
		{"VXLAN over IPv6", Spec{Kind: VXLAN, Remote: peer6}, numbers{56, 1430, 1570, 1574}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.give
			got := numbers{s.Overhead(), s.FitMTU(1500), s.UnderlayMTU(1500, false), s.UnderlayMTU(1500, true)}
			if got != tt.want {
				t.Errorf("overhead, MTU on 1500, underlay for 1500 without and with a tag: %v, want %v", got, tt.want)
			}
		})
	}
	vlan := Spec{Kind: VLAN}
	if got := [3]int{vlan.Overhead(), vlan.UnderlayMTU(1500, false), vlan.UnderlayMTU(1500, true)}; got != [3]int{4, 1500, 1504} {
		t.Errorf("VLAN: %v, want 4 bytes, 1500, and 1504 for frames with a tag of their own", got)
	}
	if got := (Spec{Kind: Dummy}).UnderlayMTU(1500, true); got != 0 {
		t.Errorf("dummy needs an underlay of %d", got)
	}
}

func TestTruncateMTU(t *testing.T) {
	for give, want := range map[int]int{82: 68, 128: 114, 1514: 1500} {
		if got, err := TruncateMTU(give); got != want || err != nil {
			t.Errorf("TruncateMTU(%d) = %d, %v; want %d", give, got, err, want)
		}
	}
	for _, give := range []int{-1, 0, 64, 81} {
		if _, err := TruncateMTU(give); !errors.Is(err, ErrInvalid) {
			t.Errorf("TruncateMTU(%d): %v, want ErrInvalid", give, err)
		}
	}
}

func TestDeviceMTU(t *testing.T) {
	for give, want := range map[int]int{1500: 9000, 8982: 9000, 8983: 9001, 9216: 9234} {
		if got := DeviceMTU(give); got != want {
			t.Errorf("DeviceMTU(%d) = %d, want %d", give, got, want)
		}
	}
}

// Those of a narrow underlay are in TestProductionIsUnharmed, beside what the kernel does.
func TestFate(t *testing.T) {
	short := tunnel(ERSPAN2, false)
	short.MTU = 114
	short6 := tunnel(ERSPAN2, true)
	short6.MTU = 1430
	tests := []struct {
		name             string
		give             Spec
		source, underlay int
		tagged           bool
		want             Fate
	}{
		{"wide enough", tunnel(ERSPAN2, false), 1500, 1550, false, Whole},
		{"one byte short", tunnel(ERSPAN2, false), 1500, 1549, false, Fragmented},
		{"not for tags", tunnel(ERSPAN2, false), 1500, 1550, true, Fragmented},
		{"for tags", tunnel(ERSPAN2, false), 1500, 1554, true, Whole},
		{"cut by request", short, 1500, 9000, false, Truncated},
		{"short frames are not cut", short, 100, 9000, false, Whole},
		{"cut, and in pieces", short, 1500, 100, false, Truncated},
		{"over IPv6, wide enough", tunnel(GRETap, true), 1500, 1562, false, Whole},
		{"over IPv6, one byte short", tunnel(GRETap, true), 1500, 1561, false, Harmful},
		{"over IPv6, cut to fit", short6, 1500, 1500, false, Truncated},
		{"over IPv6, cut and still too long", short6, 1500, 1499, false, Harmful},
		{"VXLAN over IPv6, one byte short", tunnel(VXLAN, true), 1500, 1569, false, Lost},
		{"VLAN", Spec{Kind: VLAN}, 1500, 1500, false, Whole},
		{"VLAN, frames with a tag of their own", Spec{Kind: VLAN}, 1500, 1500, true, Lost},
		{"dummy", Spec{Kind: Dummy}, 9000, 0, true, Whole},
		{"no kind", Spec{}, 1500, 1500, false, FateUnset},
	}
	for _, tt := range tests {
		if got := tt.give.Fate(tt.source, tt.underlay, tt.tagged); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
