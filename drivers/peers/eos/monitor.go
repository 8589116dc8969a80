package eos

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// monitor is one mirror session. Sources are kept as the lines that were typed;
// effective says what they come to.
type monitor struct {
	group        group // of the whole session
	sources      []source
	destinations []destination
	truncate     bool
	size         int // of truncate; 0 = the platform's
	sample       int
	rates        map[string]string // "per-ingress-chip" → "100 kbps"
	strip        int               // header remove size
	metadata     bool              // encapsulation gre metadata tx
}

// group is an access-group. The zero value is none.
type group struct {
	kind     string // ip, ipv6, mac
	name     string
	priority int // 0 = none
}

func (g group) String() string {
	if g.kind == "" {
		return ""
	}
	s := g.kind + " access-group " + g.name
	if g.priority != 0 {
		s += " priority " + strconv.Itoa(g.priority)
	}
	return s
}

// source is one source line.
type source struct {
	names []string // full names, sorted
	text  string   // the names as printed
	dir   string   // rx, tx, both
	said  bool     // the direction was typed
	group group
}

type destination struct {
	kind   string // "Cpu", "tunnel", or "" for an interface
	name   string
	tunnel tunnel
}

type tunnel struct {
	src, dst  netip.Addr
	ttl, dscp int // -1 = not written
	protocol  int // 0 = not written
	vrf       string
	key       int64 // -1 = none
}

func (m *monitor) empty() bool {
	return m.group.kind == "" && len(m.sources) == 0 && len(m.destinations) == 0 && !m.truncate &&
		m.sample == 0 && len(m.rates) == 0 && m.strip == 0 && !m.metadata
}

// editMonitor returns a copy that belongs to c alone, making it if need be.
func (c *config) editMonitor(name string) *monitor {
	n := &monitor{}
	if old := c.monitors[name]; old != nil {
		*n = *old
		n.sources = slices.Clone(old.sources)
		n.destinations = slices.Clone(old.destinations)
		n.rates = maps.Clone(old.rates)
	}
	c.monitors[name] = n
	return n
}

// effective says for each source interface what holds: the last line that
// names it (unverified: that a later direction replaces an earlier one).
func (m *monitor) effective() map[string]source {
	out := map[string]source{}
	for _, s := range m.sources {
		for _, n := range s.names {
			out[n] = s
		}
	}
	return out
}

// addSource appends a line. Repeating a line changes nothing.
func (m *monitor) addSource(s source) {
	m.sources = slices.DeleteFunc(m.sources, func(o source) bool { return slices.Equal(o.names, s.names) })
	m.sources = append(m.sources, s)
}

// removeSources takes interfaces out of all lines; it reports whether any was
// there.
func (m *monitor) removeSources(names []string) bool {
	found := false
	var out []source
	for _, s := range m.sources {
		rest := slices.DeleteFunc(slices.Clone(s.names), func(n string) bool { return slices.Contains(names, n) })
		if len(rest) != len(s.names) {
			found = true
			if len(rest) == 0 {
				continue
			}
			s.names, s.text = rest, formatInterfaces(rest)
		}
		out = append(out, s)
	}
	m.sources = out
	return found
}

// lines prints the session. Order: the vendor's generator
// (aristanetworks/avd monitor-sessions.j2): session access-group, sources,
// destinations, truncate, sample, rate-limit, header, encapsulation.
//
// A source line without direction is "both": a 7150 prints
// "monitor session 1 source Ethernet47" for a session that it shows as Both.
// That interfaces with equal attributes share one line is unverified; keep prints
// the lines as typed instead, as the vendor's generator does.
func (m *monitor) lines(name string, keep bool) []string {
	p := "monitor session " + name + " "
	var out []string
	add := func(s string, when bool) {
		if when {
			out = append(out, p+s)
		}
	}
	add(m.group.String(), m.group.kind != "")
	for _, s := range m.printed(keep) {
		add(strings.TrimRight(strings.Join([]string{"source", s.text, s.dirText(keep), s.group.String()}, " "), " "), true)
	}
	for _, d := range m.destinations {
		add("destination "+d.String(), true)
	}
	add("truncate", m.truncate && m.size == 0)
	add("truncate size "+strconv.Itoa(m.size), m.truncate && m.size != 0)
	add("sample "+strconv.Itoa(m.sample), m.sample != 0)
	for _, k := range slices.Backward(slices.Sorted(maps.Keys(m.rates))) { // ingress before egress
		add("rate-limit "+k+" "+m.rates[k], true)
	}
	add("header remove size "+strconv.Itoa(m.strip), m.strip != 0)
	add("encapsulation gre metadata tx", m.metadata)
	for i := range out {
		out[i] = strings.Join(strings.Fields(out[i]), " ")
	}
	return out
}

func (s source) dirText(keep bool) string {
	if s.dir == "both" && !(keep && s.said) {
		return ""
	}
	return s.dir
}

// printed are the source lines of the running configuration.
func (m *monitor) printed(keep bool) []source {
	if keep {
		out := slices.Clone(m.sources)
		slices.SortStableFunc(out, func(a, b source) int { return naturalCompare(a.text, b.text) })
		return out
	}
	type key struct {
		dir string
		g   group
	}
	sets := map[key][]string{}
	for n, s := range m.effective() {
		k := key{s.dir, s.group}
		sets[k] = append(sets[k], n)
	}
	var out []source
	for k, names := range sets {
		slices.SortFunc(names, compareNames)
		out = append(out, source{names: names, text: formatInterfaces(names), dir: k.dir, group: k.g})
	}
	slices.SortFunc(out, func(a, b source) int {
		return cmp.Or(compareNames(a.names[0], b.names[0]), cmp.Compare(a.dir, b.dir))
	})
	return out
}

func (d destination) String() string {
	switch d.kind {
	case "Cpu":
		return "Cpu"
	case "tunnel":
		return "tunnel mode gre " + d.tunnel.String()
	}
	return d.name
}

// The order of the options is that of the generator's tunnel destinations
// (avd, queue-monitor length mirror): ttl, dscp, protocol, vrf. The place of key is
// unverified.
func (t tunnel) String() string {
	s := "source " + t.src.String() + " destination " + t.dst.String()
	if t.ttl >= 0 {
		s += " ttl " + strconv.Itoa(t.ttl)
	}
	if t.dscp >= 0 {
		s += " dscp " + strconv.Itoa(t.dscp)
	}
	if t.protocol != 0 {
		s += " protocol 0x" + strconv.FormatInt(int64(t.protocol), 16)
	}
	if t.vrf != "" {
		s += " vrf " + t.vrf
	}
	if t.key >= 0 {
		s += " key " + strconv.FormatInt(t.key, 10)
	}
	return s
}

// addDestination adds one; equal ones are one. Sorted as the generator sorts
// them: naturally, so that Cpu comes before Ethernet.
func (m *monitor) addDestination(d destination) {
	if !slices.Contains(m.destinations, d) {
		m.destinations = append(m.destinations, d)
	}
	slices.SortFunc(m.destinations, func(a, b destination) int { return naturalCompare(a.String(), b.String()) })
}
