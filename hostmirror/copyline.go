package hostmirror

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/models"
)

// Verbs of steps that tc has no words for, since the kernel takes them as programs:
//
//	bpf copy add dev eth0 ingress session host1/a to m0 include proto tcp dport 443 sample 10 truncate 128 because 'copies are cut'
//	bpf copy change dev eth0 ingress session host1/a to m0 to m1 because 'copies are cut'
//	bpf copy del dev eth0 ingress session host1/a
//	bpf copy forget dev eth0 index 7 ingress
//	bpf guard add dev eth0 egress gre 192.0.2.9
//	bpf guard del dev eth0 egress vxlan 192.0.2.9
//
// A person cannot type them. The first word of a session's name is the device's name.
// All copies of a port and direction are one program, which package bpfcopy makes; steps
// that follow each other are done by one change of it. Forget takes away the program of
// an interface that is gone from the namespace.
const (
	addCopy    verb = "bpf copy add"
	changeCopy verb = "bpf copy change"
	delCopy    verb = "bpf copy del"
	forgetCopy verb = "bpf copy forget"
	addGuard   verb = "bpf guard add"
	delGuard   verb = "bpf guard del"
)

var programVerbs = []verb{addCopy, changeCopy, delCopy, forgetCopy, addGuard, delGuard}

// program reports whether o is about one of our BPF programs.
func (v verb) program() bool { return slices.Contains(programVerbs, v) }

// programText is String for verbs of programs.
func (o operation) programText() string {
	words := []string{string(o.Verb), "dev", quote(o.Dev)}
	add := func(w ...string) { words = append(words, w...) }
	if o.Verb == forgetCopy {
		add("index", strconv.Itoa(o.Index))
	}
	add(o.Hook.String())
	switch o.Verb {
	case addGuard, delGuard:
		kind := "gre"
		if o.Tunnel.VXLAN {
			kind = "vxlan"
		}
		add(kind, o.Tunnel.Destination.String())
	case delCopy:
		add("session", quote(o.Copy.Name))
	case addCopy, changeCopy:
		add("session", quote(o.Copy.Name))
		for _, to := range o.Copy.Destinations {
			add("to", quote(to.Name))
		}
		for _, r := range o.Copy.Filter {
			add(ruleWords(r)...)
		}
		if o.Copy.SampleOneIn > 1 {
			add("sample", strconv.FormatUint(uint64(o.Copy.SampleOneIn), 10))
		}
		if o.Copy.TruncateTo != 0 {
			add("truncate", strconv.FormatUint(uint64(o.Copy.TruncateTo), 10))
		}
		add("because", quote(o.Copy.Reason))
	}
	return strings.Join(words, " ")
}

func ruleWords(r models.Rule) []string {
	out := []string{r.Action.String()}
	add := func(key, value string) {
		if value != "" {
			out = append(out, key, quote(value))
		}
	}
	prefix := func(p models.Prefix) string {
		if !p.IsValid() {
			return ""
		}
		return p.String()
	}
	add("proto", r.Match.Proto)
	add("src", prefix(r.Match.Src))
	add("dst", prefix(r.Match.Dst))
	add("sport", rangesText(r.Match.Sport))
	add("dport", rangesText(r.Match.Dport))
	add("vlan", rangesText(r.Match.VLANs))
	return out
}

func rangesText(rs []models.Range) string {
	var out []string
	for _, r := range rs {
		out = append(out, r.String())
	}
	return strings.Join(out, ",")
}

// readProgram reads what programText writes. The caller compares, so that it may be
// lenient with order.
func (r *reader) readProgram() (operation, error) {
	o := operation{Verb: verb(strings.Join([]string{r.next(), r.next(), r.next()}, " "))}
	if !o.Verb.program() {
		return operation{}, fmt.Errorf("%q is not one of bpf copy add, change, del, forget, bpf guard add, del", o.Verb)
	}
	r.expect("dev")
	o.Dev = r.next()
	if o.Verb == forgetCopy {
		r.expect("index")
		o.Index = int(r.number(31))
	}
	o.Hook = r.hook()
	switch o.Verb {
	case addGuard, delGuard:
		o.Tunnel = r.tunnel()
	case delCopy:
		r.expect("session")
		o.Copy.Name = r.next()
	case addCopy, changeCopy:
		r.expect("session")
		o.Copy.Name = r.next()
		for r.peek() == "to" {
			r.next()
			o.Copy.Destinations = append(o.Copy.Destinations, bpfcopy.Device{Name: r.next()})
		}
		if len(o.Copy.Destinations) == 0 {
			r.fail("has no destination")
		}
		for r.peek() == models.Include.String() || r.peek() == models.Exclude.String() {
			o.Copy.Filter = append(o.Copy.Filter, r.rule())
		}
		if r.peek() == "sample" {
			r.next()
			o.Copy.SampleOneIn = uint32(r.number(32))
		}
		if r.peek() == "truncate" {
			r.next()
			o.Copy.TruncateTo = uint16(r.number(16))
		}
		r.expect("because")
		o.Copy.Reason = r.next()
	}
	return o, r.end()
}

func (r *reader) tunnel() bpfcopy.Tunnel {
	var t bpfcopy.Tunnel
	switch kind := r.next(); kind {
	case "gre":
	case "vxlan":
		t.VXLAN = true
	default:
		r.fail("%q is neither gre nor vxlan", kind)
	}
	var err error
	if t.Destination, err = netip.ParseAddr(r.next()); err != nil {
		r.fail("%w", err)
	}
	return t
}

func (r *reader) rule() models.Rule {
	var out models.Rule
	if err := out.Action.UnmarshalText([]byte(r.next())); err != nil {
		r.fail("%w", err)
	}
	m := &out.Match
	for {
		switch r.peek() {
		case "proto":
			r.next()
			m.Proto = r.next()
		case "src":
			r.prefix(&m.Src)
		case "dst":
			r.prefix(&m.Dst)
		case "sport":
			r.ranges(&m.Sport)
		case "dport":
			r.ranges(&m.Dport)
		case "vlan":
			r.ranges(&m.VLANs)
		default:
			return out
		}
	}
}

var errWord = errors.New("needs a word behind it")

func (r *reader) prefix(to *models.Prefix) {
	key, w := r.next(), r.next()
	err := to.UnmarshalText([]byte(w))
	if err == nil && w == "" {
		err = errWord
	}
	if err != nil {
		r.fail("%s: %w", key, err)
	}
}

func (r *reader) ranges(to *[]models.Range) {
	key := r.next()
	for text := range strings.SplitSeq(r.next(), ",") {
		var one models.Range
		if err := one.UnmarshalText([]byte(text)); err != nil {
			r.fail("%s: %w", key, err)
			return
		}
		*to = append(*to, one)
	}
}

// copyName is the name of a session in a program. What it is the hash of is the
// same text as in a cookie.
func copyName(dev models.DeviceID, session string) string { return string(dev) + "/" + session }
