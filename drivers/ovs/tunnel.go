package ovs

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/spanctl/spanctl/models"
)

// tunnelKinds are the interface types of tunnels that sessions have. Those of IPv6
// have a type of their own but for VXLAN [lab: iface_types].
var tunnelKinds = map[string]models.DestinationKind{
	"gre": models.DestinationGRE, "ip6gre": models.DestinationGRE,
	"erspan": models.DestinationERSPAN, "ip6erspan": models.DestinationERSPAN,
	"vxlan": models.DestinationVXLAN,
}

// tunnelType gives the interface type of a tunnel.
func tunnelType(d models.Destination) string {
	six := d.Tunnel.Destination.Unmap().Is6()
	switch {
	case d.Kind == models.DestinationVXLAN:
		return "vxlan"
	case d.Kind == models.DestinationGRE && six:
		return "ip6gre"
	case d.Kind == models.DestinationGRE:
		return "gre"
	case six:
		return "ip6erspan"
	default:
		return "erspan"
	}
}

// option is one of options of an Interface.
type option struct{ key, value string }

// tunnelOptions gives the options of a session's tunnel [db, Tunnel Options].
func tunnelOptions(s models.Session) []option {
	t := s.Destination.Tunnel
	out := []option{{"remote_ip", t.Destination.Unmap().String()}, {"local_ip", t.Source.Unmap().String()}}
	add := func(key string, n uint64) { out = append(out, option{key, strconv.FormatUint(n, 10)}) }
	switch s.Destination.Kind {
	case models.DestinationERSPAN:
		add("key", uint64(t.SessionID))
		if t.Version == 3 {
			add("erspan_ver", 2)
			add("erspan_dir", erspanDirection(s.Sources))
			add("erspan_hwid", 0)
		} else {
			add("erspan_ver", 1)
			add("erspan_idx", 0)
		}
	case models.DestinationVXLAN:
		add("key", uint64(t.VNI))
	default:
		if t.Key != 0 {
			add("key", uint64(t.Key))
		}
	}
	if t.TTL != 0 {
		add("ttl", uint64(t.TTL))
	}
	if t.DSCP != 0 {
		add("tos", uint64(t.DSCP)<<2)
	}
	return out
}

// erspanDirection gives what a type III header says: 1 for frames that were sent.
func erspanDirection(sources []models.Source) uint64 {
	for _, s := range sources {
		if s.Direction != models.Tx {
			return 0
		}
	}
	return 1
}

// ownTunnel reports whether a port is a tunnel that was made for a session.
func (db *database) ownTunnel(p row) bool {
	ids := all[uuid](p, "interfaces")
	if len(ids) != 1 || p.entries("external_ids")[mark] == "" {
		return false
	}
	kind, _ := one[string](db.interfaces[ids[0]], "type")
	_, ok := tunnelKinds[kind]
	return ok
}

// tunnel reads the tunnel that was made for s. Options that the session does not
// account for become lines of Extra.
func (db *database) tunnel(s *models.Session, p row) {
	i := db.interfaces[all[uuid](p, "interfaces")[0]]
	kind, _ := one[string](i, "type")
	opts := i.entries("options")
	t := &models.Tunnel{}
	t.Destination, _ = netip.ParseAddr(opts["remote_ip"])
	t.Source, _ = netip.ParseAddr(opts["local_ip"])
	number := func(key string, bits int) uint64 {
		n, err := strconv.ParseUint(opts[key], 0, bits) // 0x28 is taken as well
		if err != nil {
			return 0
		}
		return n
	}
	s.Destination = models.Destination{Kind: tunnelKinds[kind], Tunnel: t}
	switch s.Destination.Kind {
	case models.DestinationERSPAN:
		t.Version = 2
		if number("erspan_ver", 8) == 2 {
			t.Version = 3
		}
		t.SessionID = uint16(number("key", 10))
	case models.DestinationVXLAN:
		t.VNI = uint32(number("key", 24))
	default:
		t.Key = uint32(number("key", 32))
	}
	t.TTL = uint8(number("ttl", 8))
	t.DSCP = uint8(number("tos", 8) >> 2)
	want := make(map[string]string)
	for _, o := range tunnelOptions(*s) {
		want[o.key] = o.value
	}
	for key, have := range opts {
		if w, ok := want[key]; !ok && !idle(have) || ok && !sameOption(w, have) {
			s.Extra = append(s.Extra, optionPrefix+setting("options", key, have))
		}
	}
	for key, w := range want {
		if _, ok := opts[key]; !ok && !idle(w) {
			s.Extra = append(s.Extra, optionPrefix+setting("options", key, ""))
		}
	}
	slices.Sort(s.Extra)
}

// optionPrefix begins lines of Extra that are about the interface of a session's
// tunnel, not about its mirror.
const optionPrefix = "tunnel "

// idle reports whether an option says nothing that its absence does not.
func idle(v string) bool { return v == "0" }

// sameOption compares options as numbers or addresses where they are some.
func sameOption(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseUint(a, 0, 64)
	y, errY := strconv.ParseUint(b, 0, 64)
	if errX == nil && errY == nil {
		return x == y
	}
	p, errP := netip.ParseAddr(a)
	q, errQ := netip.ParseAddr(b)
	return errP == nil && errQ == nil && p == q
}
