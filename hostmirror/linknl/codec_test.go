package linknl

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attrBytes is one attribute, padded.
func attrBytes(typ uint16, value ...byte) []byte {
	b := make([]byte, 4, 4+len(value)+3)
	native.PutUint16(b, uint16(4+len(value)))
	native.PutUint16(b[2:], typ)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func word(n uint32) []byte { return native.AppendUint32(nil, n) }

// linkMessage is what the kernel says of a link, with the data of its kind.
func linkMessage(kind string, data []byte) []byte {
	head := make([]byte, ifInfoSize)
	native.PutUint32(head[4:], 7)
	native.PutUint32(head[8:], flagUp)
	return join(head,
		attrBytes(iflaName, []byte("span-x\x00")...), attrBytes(iflaMTU, word(1500)...), attrBytes(iflaGroup, word(Group)...),
		attrBytes(iflaLinkInfo, join(attrBytes(infoKind, append([]byte(kind), 0)...), attrBytes(infoData, data...))...))
}

// What a link has that these links do not have is told, each in its own words.
func TestDecodeOdd(t *testing.T) {
	gre := func(more ...[]byte) []byte {
		return join(append([][]byte{
			attrBytes(greRemote, 192, 0, 2, 2), attrBytes(greLocal, 0, 0, 0, 0), attrBytes(greTTL, 61), attrBytes(greIgnoreDF, 1),
		}, more...)...)
	}
	gre6 := func(flags uint32, more ...[]byte) []byte {
		return join(append([][]byte{
			attrBytes(greRemote, peer6.AsSlice()...), attrBytes(greTTL, 61), attrBytes(greFlags, word(flags)...),
		}, more...)...)
	}
	vxlan := func(more ...[]byte) []byte {
		return join(append([][]byte{attrBytes(vxlanRemote, 192, 0, 2, 2), attrBytes(vxlanTTL, 61)}, more...)...)
	}
	tests := []struct {
		name, kind string
		give       []byte
		want       []string
	}{
		{"as made", "gretap", gre(), nil},
		{"bound", "gretap", gre(attrBytes(greLink, word(3)...)), []string{"bound to link 3"}},
		{"wrapped", "gretap", gre(attrBytes(greEncapType, 1, 0)), []string{"wrapped once more (encapsulation 1)"}},
		{"mark", "gretap", gre(attrBytes(greFWMark, word(5)...)), []string{"firewall mark 0x5"}},
		{"external", "gretap", gre(attrBytes(greMetadata)), []string{"external: it takes its headers from each packet's metadata"}},
		{"discovery", "gretap", gre(attrBytes(grePMTUDisc, 1)), []string{"path MTU discovery is on"}},
		{"two keys", "gretap", gre(attrBytes(greOFlags, 0x20, 0), attrBytes(greIFlags, 0x20, 0), attrBytes(greOKey, 0, 0, 0, 1), attrBytes(greIKey, 0, 0, 0, 2)), nil},
		{"no key on receipt", "gretap", gre(attrBytes(greOFlags, 0x20, 0), attrBytes(greOKey, 0, 0, 0, 1)), []string{"GRE flags 0x0000 on receipt, not 0x2000", "key 0 on receipt"}},
		{"a key on receipt without its flag", "gretap", gre(attrBytes(greIKey, 0, 0, 0, 2)), []string{"key 2 on receipt"}},
		{"checksum on receipt", "gretap", gre(attrBytes(greIFlags, 0x80, 0)), []string{"GRE flags 0x8000 on receipt, not 0x0000"}},
		{"version", "erspan", gre(attrBytes(erspanVer, 3), attrBytes(greOFlags, 0x30, 0), attrBytes(greIFlags, 0x30, 0)), []string{"ERSPAN version 3"}},
		{"session", "erspan", gre(attrBytes(erspanVer, 1), attrBytes(greOFlags, 0x30, 0), attrBytes(greIFlags, 0x30, 0), attrBytes(greOKey, 0, 0, 4, 0), attrBytes(greIKey, 0, 0, 4, 0)), []string{"session id 1024"}},
		{"IPv6 as made", "ip6gretap", gre6(0x70001), nil},
		{"IPv6 flow label", "ip6gretap", gre6(1, attrBytes(greFlowInfo, 0, 0, 0, 9)), []string{"flow label 0x9"}},
		{"IPv6 limit", "ip6gretap", gre6(0x70000, attrBytes(greEncapLimit, 4)), []string{"encapsulation limit 4"}},
		{"IPv6 flags", "ip6gretap", gre6(0x70041), []string{"tunnel flags 0x40"}},
		{"VXLAN as made", "vxlan", vxlan(), nil},
		{"VXLAN df", "vxlan", vxlan(attrBytes(vxlanDF, 1)), []string{"it sets don't-fragment (1)"}},
		{"VXLAN bound", "vxlan", vxlan(attrBytes(vxlanLink, word(3)...)), []string{"bound to link 3"}},
		{"VXLAN TTL", "vxlan", vxlan(attrBytes(vxlanTTLCopy, 1)), []string{"the TTL is not one of its own"}},
		{"VXLAN label", "vxlan", vxlan(attrBytes(vxlanLabel, 0, 0, 0, 9)), []string{"flow label 0x9"}},
		{"VXLAN external", "vxlan", vxlan(attrBytes(vxlanMetadata, 1)), []string{"external: it takes its headers from each packet's metadata"}},
		{"VXLAN GBP", "vxlan", vxlan(attrBytes(vxlanGBP)), []string{"a variant of the VXLAN header"}},
		{"VLAN as made", "vlan", join(attrBytes(vlanID, 132, 3), attrBytes(vlanProtocol, 0x81, 0), attrBytes(vlanFlags, join(word(1), word(0))...)), nil},
		{"VLAN 802.1ad", "vlan", join(attrBytes(vlanID, 132, 3), attrBytes(vlanProtocol, 0x88, 0xa8), attrBytes(vlanFlags, word(1)...)), []string{"tag of protocol 0x88a8"}},
		{"VLAN flags", "vlan", join(attrBytes(vlanID, 132, 3), attrBytes(vlanProtocol, 0x81, 0), attrBytes(vlanFlags, word(5)...)), []string{"VLAN flags 0x5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := DecodeLink(linkMessage(tt.kind, tt.give))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, l.Odd); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if l.Local.IsValid() || l.Name != "span-x" || l.Index != 7 || !l.Up {
				t.Errorf("%+v", l)
			}
			if unknown := strings.HasPrefix(tt.name, "version"); l.Ours() == unknown {
				t.Errorf("ours: %t", l.Ours())
			}
		})
	}
}

func TestDecodeMalformed(t *testing.T) {
	good := linkMessage("gretap", attrBytes(greTTL, 61))
	if _, err := DecodeLink(good); err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"nothing":                    nil,
		"cut header":                 good[:10],
		"cut attribute":              good[:len(good)-4],
		"attribute longer than rest": join(good[:ifInfoSize], []byte{200, 0, 3, 0}),
		"attribute without header":   join(good[:ifInfoSize], []byte{2, 0, 3, 0}),
		"short MTU":                  join(good[:ifInfoSize], attrBytes(iflaMTU, 1, 2)),
		"short address":              linkMessage("gretap", attrBytes(greRemote, 192, 0)),
		"IPv4 address in IPv6":       linkMessage("ip6gretap", attrBytes(greRemote, 192, 0, 2, 2)),
		"no TTL in its attribute":    linkMessage("vxlan", attrBytes(vxlanTTL)),
		"broken data":                linkMessage("vlan", []byte{9, 0, 1, 0}),
	}
	for name, give := range tests {
		if l, err := DecodeLink(give); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %+v; want ErrMalformed", name, err, l)
		}
	}
}

// What can be read as a link of ours without anything odd can be made: its line can be
// read, or Validate says what no link of ours has.
func FuzzDecodeLink(f *testing.F) {
	f.Add(linkMessage("gretap", attrBytes(greTTL, 61)))
	f.Add(linkMessage("ip6erspan", attrBytes(erspanVer, 2)))
	f.Add(linkMessage("vxlan", join(attrBytes(vxlanID, word(9)...), attrBytes(vxlanRemote6, peer6.AsSlice()...))))
	f.Add(linkMessage("vlan", join(attrBytes(vlanID, 132, 3), attrBytes(vlanProtocol, 0x81, 0), attrBytes(vlanFlags, word(1)...))))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := DecodeLink(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v of no kind", err)
			}
			return
		}
		if l.Ours() && l.Lookalike() {
			t.Fatal("ours, and only looks like it")
		}
		if l.Validate() != nil {
			return
		}
		if got, err := Parse(l.String()); err != nil || got != l.Spec {
			t.Fatalf("%q: %v\n%+v\n%+v", l.String(), err, got, l.Spec)
		}
	})
}
