package linknl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// String gives the commands of iproute2, as one line for a shell, that make the link
// as Create does: added with its marks, then named for people and kept from sending
// by itself, then up. It is a valid line of a valid Spec only.
//
// Options are those of ip-link(8). The two later steps cannot be in the first: the
// kernel ignores an alias on creation, and "up" in the same request would come before
// the address generation mode. With an MTU below 1280 a link has no IPv6, and the
// kernel refuses a mode.
func (s Spec) String() string {
	var b strings.Builder
	word := func(words ...string) {
		for _, w := range words {
			b.WriteByte(' ')
			b.WriteString(w)
		}
	}
	b.WriteString("ip link add")
	if s.Kind == VLAN {
		word("link", quote(s.Lower))
	}
	word("name", quote(s.Name), "mtu", strconv.Itoa(s.MTU), "group", fmt.Sprintf("%#x", uint32(Group)), "type", s.TypeWord())
	switch s.Kind {
	case ERSPAN2, ERSPAN3:
		word("seq")
		s.keyWords(word)
	case ERSPAN1, GRETap:
		s.keyWords(word)
	case VXLAN:
		word("id", strconv.FormatUint(uint64(s.VNI), 10))
	case VLAN:
		word("protocol", "802.1Q", "id", strconv.Itoa(int(s.VLAN)))
	}
	if s.Kind.Tunnel() {
		s.tunnelWords(word)
	}
	b.WriteString(" && ip link set dev " + quote(s.Name))
	if s.Alias != "" {
		word("alias", quote(s.Alias))
	}
	if s.MTU >= minIPv6MTU {
		word("addrgenmode", "none")
	}
	if s.Alias != "" || s.MTU >= minIPv6MTU {
		b.WriteString(" && ip link set dev " + quote(s.Name))
	}
	word("up")
	return b.String()
}

func (s Spec) keyWords(word func(...string)) {
	flags, key := s.greOut()
	out := strconv.FormatUint(uint64(key), 10)
	switch keyed := flags&greKeyFlag != 0; {
	case s.InKey == 0 && keyed:
		word("key", out)
	case s.InKey != 0:
		word("ikey", strconv.FormatUint(uint64(s.InKey), 10))
		if keyed {
			word("okey", out)
		}
	}
}

func (s Spec) tunnelWords(word func(...string)) {
	if s.Local.IsValid() {
		word("local", s.Local.String())
	}
	word("remote", s.Remote.String())
	gre6 := s.V6() && s.Kind != VXLAN
	ttl, tos := "ttl", "tos"
	if gre6 {
		ttl, tos = "hoplimit", "tclass"
	}
	// A TOS in hexadecimal: iproute2 reads it so with or without 0x.
	word(ttl, strconv.Itoa(int(s.TTL)), tos, fmt.Sprintf("%#02x", s.TOS))
	switch {
	case s.Kind == VXLAN:
		word("dstport", strconv.Itoa(int(s.Port)), "nolearning")
	case gre6:
		word("encaplimit", "none")
	default:
		word("nopmtudisc", "ignore-df")
	}
	switch s.Kind {
	case ERSPAN1:
		word("erspan_ver", "0")
	case ERSPAN2:
		word("erspan_ver", "1")
		if s.PortIndex != 0 { // iproute2 refuses to be told of 0, which is what it takes without
			word("erspan", strconv.FormatUint(uint64(s.PortIndex), 10))
		}
	case ERSPAN3:
		word("erspan_ver", "2", "erspan_dir", directionWord(s.Egress), "erspan_hwid", strconv.Itoa(int(s.HWID)))
	}
}

func directionWord(egress bool) string {
	if egress {
		return "egress"
	}
	return "ingress"
}

// ErrSyntax means a line that String does not write.
var ErrSyntax = errors.New("not a line that makes a link")

// Parse reads what String writes of a valid Spec, and nothing else. The error wraps
// ErrSyntax or ErrInvalid.
func Parse(line string) (Spec, error) {
	s, err := read(line)
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %q: %w", ErrSyntax, line, err)
	}
	if err := s.Validate(); err != nil {
		return Spec{}, err
	}
	if again := s.String(); again != line {
		return Spec{}, fmt.Errorf("%w: %q would be written as %q", ErrSyntax, line, again)
	}
	return s, nil
}

// read takes the options of a line in whatever order; Parse sees to the order, and
// to the words that say nothing of the Spec, by writing the line again.
func read(line string) (Spec, error) {
	words, err := split(line)
	if err != nil {
		return Spec{}, err
	}
	r := &reader{words: words}
	r.expect("ip", "link", "add")
	var s Spec
	kernelKind, version := "", ""
	for r.err == nil && len(r.words) > 0 && r.words[0] != "&&" {
		switch option := r.next(); option {
		case "link":
			s.Lower = r.next()
		case "name":
			s.Name = r.next()
		case "mtu":
			s.MTU = int(r.number(32))
		case "type":
			kernelKind = r.next()
		case "seq", "nopmtudisc", "ignore-df", "nolearning":
		case "group", "protocol", "encaplimit":
			r.next()
		case "ikey":
			s.InKey = uint32(r.number(32))
		case "key", "okey":
			s.Key = uint32(r.number(32))
			s.Keyed = true
		case "id":
			s.VNI = uint32(r.number(24))
		case "local":
			s.Local = r.address()
		case "remote":
			s.Remote = r.address()
		case "ttl", "hoplimit":
			s.TTL = uint8(r.number(8))
		case "tos", "tclass":
			s.TOS = uint8(r.number(8))
		case "dstport":
			s.Port = uint16(r.number(16))
		case "erspan_ver":
			version = r.next()
		case "erspan":
			s.PortIndex = uint32(r.number(20))
		case "erspan_dir":
			s.Egress = r.next() == "egress"
		case "erspan_hwid":
			s.HWID = uint8(r.number(6))
		default:
			r.fail("%q is no option of these links", option)
		}
	}
	for i, w := range r.words {
		if w == "alias" && i+1 < len(r.words) {
			s.Alias = r.words[i+1]
			break
		}
	}
	if r.err != nil {
		return Spec{}, r.err
	}
	return s, s.setKind(kernelKind, version)
}

// setKind sorts out what the words mean for the kind.
func (s *Spec) setKind(kernelKind, version string) error {
	switch strings.TrimPrefix(kernelKind, "ip6") {
	case "erspan":
		kind, ok := map[string]Kind{"0": ERSPAN1, "1": ERSPAN2, "2": ERSPAN3}[version]
		if !ok {
			return fmt.Errorf("erspan_ver %q is none of 0, 1, 2", version)
		}
		if s.Key > maxSession {
			return fmt.Errorf("session id %d is above %d", s.Key, maxSession)
		}
		s.Kind, s.Session, s.Key, s.Keyed = kind, uint16(s.Key), 0, false
	case "gretap":
		s.Kind = GRETap
	case "vxlan":
		s.Kind = VXLAN
	case "vlan":
		if s.VNI > 4094 {
			return fmt.Errorf("VLAN %d is above 4094", s.VNI)
		}
		s.Kind, s.VLAN, s.VNI = VLAN, uint16(s.VNI), 0
	case "dummy":
		s.Kind = Dummy
	default:
		return fmt.Errorf("type %q is none of these links", kernelKind)
	}
	return nil
}

// reader takes words one by one and keeps the first error.
type reader struct {
	words []string
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) next() string {
	if len(r.words) == 0 {
		r.fail("ends too early")
		return ""
	}
	w := r.words[0]
	r.words = r.words[1:]
	return w
}

func (r *reader) expect(words ...string) {
	for _, w := range words {
		if got := r.next(); got != w {
			r.fail("has %q where %q belongs", got, w)
		}
	}
}

func (r *reader) number(bits int) uint64 {
	w := r.next()
	n, err := strconv.ParseUint(w, 0, bits)
	if err != nil {
		r.fail("%q is not a number of %d bits", w, bits)
	}
	return n
}

func (r *reader) address() netip.Addr {
	w := r.next()
	a, err := netip.ParseAddr(w)
	if err != nil {
		r.fail("%q is not an address", w)
	}
	return a
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:@+-/,="

// quote writes a word for a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, plainRunes) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// split takes apart what quote and single spaces put together.
func split(s string) ([]string, error) {
	var words []string
	for s != "" {
		var word strings.Builder
		for s != "" && s[0] != ' ' {
			switch s[0] {
			case '\'':
				text, rest, ok := strings.Cut(s[1:], "'")
				if !ok {
					return nil, errors.New("has an open quote")
				}
				word.WriteString(text)
				s = rest
			case '\\':
				if len(s) == 1 {
					return nil, errors.New("ends with a backslash")
				}
				word.WriteByte(s[1])
				s = s[2:]
			default:
				word.WriteByte(s[0])
				s = s[1:]
			}
		}
		words = append(words, word.String())
		s = strings.TrimPrefix(s, " ")
	}
	return words, nil
}
