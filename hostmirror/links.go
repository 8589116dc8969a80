package hostmirror

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// The links of a session are named after its hash, so that link and session are known
// by each other: linknl.Prefix and the first 50 bits of it in base32 without padding,
// in lower case. A session of ERSPAN III, whose header tells the direction, has a link
// for each; that of sent frames has 40 bits and "-t", which no other name ends with.
const (
	linkDigits = 10
	sentDigits = 8
	sentSuffix = "-t"
)

var linkEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

func linkName(h sessionHash, hook tcnl.Hook) string {
	text := strings.ToLower(linkEncoding.EncodeToString(h[:]))
	if hook == tcnl.Egress {
		return linknl.Prefix + text[:sentDigits] + sentSuffix
	}
	return linknl.Prefix + text[:linkDigits]
}

// twins are two links of one session, one for each direction.
func twins(received, sent string) bool {
	digits, ok := strings.CutSuffix(sent, sentSuffix)
	return ok && len(received) > len(digits) && received[:len(digits)] == digits && !strings.HasSuffix(received, sentSuffix)
}

// targetsOf gives those of a session's destinations that take what passes the hook:
// all, but of two twins the one of its direction.
func targetsOf(ports []string, hook tcnl.Hook) []string {
	var out []string
	for _, p := range ports {
		other := slices.ContainsFunc(ports, func(q string) bool {
			return hook == tcnl.Egress && twins(p, q) || hook == tcnl.Ingress && twins(q, p)
		})
		if !other {
			out = append(out, p)
		}
	}
	return out
}

// hashOfLink gives as much of the session's hash as a link's name holds, with zeros
// behind it: linkName gives the same name for it.
func hashOfLink(name string) (sessionHash, bool) {
	text := strings.TrimSuffix(strings.TrimPrefix(name, linknl.Prefix), sentSuffix)
	bits, err := linkEncoding.DecodeString(strings.ToUpper(text + strings.Repeat("a", 16-min(len(text), 16))))
	if err != nil || len(bits) < len(sessionHash{}) {
		return sessionHash{}, false
	}
	h := sessionHash(bits[:len(sessionHash{})])
	return h, linkName(h, tcnl.Ingress) == name || linkName(h, tcnl.Egress) == name
}

// defaultTTL is that of tunnels whose session asks for none.
const defaultTTL = 64

// An alias of a link names the session for people, and says what of it the link itself
// cannot tell: "spanctl sp-web ttl=64 oversize=fragment".
const aliasPrefix = "spanctl "

// asked is what an alias says beside the name.
type asked struct {
	ttl      bool // the default TTL was asked for
	oversize models.Oversize
	truncate uint16
}

func aliasOf(ses models.Session) string {
	out := aliasPrefix + ses.Name
	if t := ses.Destination.Tunnel; t != nil {
		if t.TTL == defaultTTL {
			out += fmt.Sprintf(" ttl=%d", defaultTTL)
		}
		if t.Oversize != models.OversizeRefuse {
			out += fmt.Sprintf(" oversize=%s", t.Oversize)
		}
	}
	if n := cutByLink(ses); n != 0 {
		out += fmt.Sprintf(" truncate=%d", n)
	}
	return out
}

// readAlias reads what aliasOf writes.
func readAlias(alias string) (name string, a asked, ok bool) {
	rest, ok := strings.CutPrefix(alias, aliasPrefix)
	if !ok {
		return "", asked{}, false
	}
	option := func(key string, read func(string) bool) {
		if i := strings.LastIndex(rest, " "+key+"="); i >= 0 && read(rest[i+len(key)+2:]) {
			rest = rest[:i]
		}
	}
	option("truncate", func(s string) bool {
		n, err := strconv.ParseUint(s, 10, 16)
		a.truncate = uint16(n)
		return err == nil
	})
	option("oversize", func(s string) bool { return a.oversize.UnmarshalText([]byte(s)) == nil })
	option("ttl", func(s string) bool {
		a.ttl = s == strconv.Itoa(defaultTTL)
		return a.ttl
	})
	return rest, a, true
}

// cutByLink gives the bytes that the session's link keeps of a frame, 0 where it cuts
// none: ERSPAN cuts at the MTU of its link, and says so in its header.
func cutByLink(ses models.Session) uint16 {
	if ses.Destination.Kind == models.DestinationERSPAN {
		return ses.TruncateTo
	}
	return 0
}

var erspanKinds = map[uint8]linknl.Kind{1: linknl.ERSPAN1, 2: linknl.ERSPAN2, 3: linknl.ERSPAN3}

// specOf gives the link that copies of a session go into, without what depends on the
// host: name, MTU, key on receipt. ok is false where copies go to ports.
func specOf(ses models.Session) (spec linknl.Spec, ok bool) {
	spec.Alias = aliasOf(ses)
	d := ses.Destination
	switch d.Kind {
	case models.DestinationCapture:
		spec.Kind = linknl.Dummy
		return spec, true
	case models.DestinationRemoteVLAN:
		spec.Kind, spec.VLAN = linknl.VLAN, d.VLAN
		if len(d.Ports) > 0 {
			spec.Lower = d.Ports[0]
		}
		return spec, true
	}
	t := d.Tunnel
	if t == nil {
		return linknl.Spec{}, false
	}
	spec.Local, spec.Remote, spec.TTL, spec.TOS = t.Source, t.Destination, t.TTL, linknl.TOS(t.DSCP)
	if spec.TTL == 0 {
		spec.TTL = defaultTTL
	}
	switch d.Kind {
	case models.DestinationERSPAN:
		spec.Kind, spec.Session = erspanKinds[t.Version], t.SessionID
	case models.DestinationGRE:
		spec.Kind, spec.Keyed, spec.Key = linknl.GRETap, t.Key != 0, t.Key
	case models.DestinationVXLAN:
		spec.Kind, spec.VNI, spec.Port = linknl.VXLAN, t.VNI, linknl.VXLANPort
	default:
		return linknl.Spec{}, false
	}
	return spec, true
}

// linksOf gives the links that a session needs on the host.
func (s *snapshot) linksOf(dev models.DeviceID, ses models.Session) []linknl.Spec {
	spec, ok := specOf(ses)
	if !ok {
		return nil
	}
	h := hashOf(dev, ses.Name)
	hooks := []tcnl.Hook{tcnl.Ingress}
	if spec.Kind == linknl.ERSPAN3 {
		hooks = nil
		for _, hook := range []tcnl.Hook{tcnl.Ingress, tcnl.Egress} {
			if slices.ContainsFunc(ses.Sources, func(src models.Source) bool { return slices.Contains(hooksOf(src.Direction), hook) }) {
				hooks = append(hooks, hook)
			}
		}
	}
	var out []linknl.Spec
	for _, hook := range hooks {
		l := spec
		l.Name, l.Egress = linkName(h, hook), spec.Kind == linknl.ERSPAN3 && hook == tcnl.Egress
		l.MTU = s.linkMTU(ses, l)
		l.InKey = s.inKey(h, l, out)
		out = append(out, l)
	}
	return out
}

// inKey gives the key on receipt of a link of GRE or ERSPAN, which keeps it apart from
// links that send alike; beside are such links. What the link has stays.
func (s *snapshot) inKey(h sessionHash, l linknl.Spec, beside []linknl.Spec) uint32 {
	if !l.Kind.Tunnel() || l.Kind == linknl.VXLAN {
		return 0
	}
	if have, ok := s.byName(l.Name); ok && have.as.Ours() && have.as.Kind == l.Kind && have.as.InKey != 0 {
		return have.as.InKey
	}
	most := uint32(1<<32 - 1)
	if l.Kind != linknl.GRETap && l.Kind != linknl.ERSPAN1 {
		most = 1<<10 - 1
	}
	taken := func(key uint32) bool {
		l.InKey = key
		return l.Keyed && key == l.Key || most < 1<<32-1 && key == uint32(l.Session) ||
			slices.ContainsFunc(beside, func(o linknl.Spec) bool { return sameEnds(o, l) }) ||
			slices.ContainsFunc(s.links, func(o link) bool { return o.name != l.Name && sameEnds(o.as.Spec, l) })
	}
	key := max(binary.BigEndian.Uint32(h[:])&most, 1)
	for range 1 << 10 {
		if !taken(key) {
			return key
		}
		if key++; key > most || key == 0 {
			key = 1
		}
	}
	return 0 // all are taken; the kernel refuses the link
}

// sameEnds reports whether the kernel could not tell two links of GRE apart.
func sameEnds(a, b linknl.Spec) bool {
	return a.TypeWord() == b.TypeWord() && a.Local == b.Local && a.Remote == b.Remote && receives(a) == receives(b)
}

func receives(s linknl.Spec) uint32 {
	switch {
	case s.InKey != 0:
		return s.InKey
	case s.Kind == linknl.GRETap:
		return s.Key
	default:
		return uint32(s.Session)
	}
}

// plain gives a session as the filters see it: its copies go to interfaces by their
// names, and the role of an RSPAN destination is a filter of the VLAN.
func (s *snapshot) plain(dev models.DeviceID, ses models.Session) models.Session {
	if links := s.linksOf(dev, ses); len(links) > 0 {
		if cutByLink(ses) != 0 {
			ses.TruncateTo = 0
		}
		ses.Role, ses.Destination = models.RoleLocal, models.Destination{Kind: models.DestinationPort}
		for _, l := range links {
			ses.Destination.Ports = append(ses.Destination.Ports, l.Name)
		}
	}
	return plainRemote(ses)
}

// plainRemote turns the role of an RSPAN destination into what makes it: frames of the
// VLAN that come in by the named ports.
func plainRemote(ses models.Session) models.Session {
	if ses.Role != models.RoleDestination || len(ses.Sources) == 0 {
		return ses
	}
	ses.Role, ses.Filter = models.RoleLocal, remoteFilter(ses.Sources[0].VLAN)
	ses.Sources = slices.Clone(ses.Sources)
	for i, src := range ses.Sources {
		ses.Sources[i] = models.Source{Kind: models.SourcePort, Name: src.Name, Direction: models.Rx}
	}
	return ses
}

// remoteFilter is how an RSPAN destination is known: the last rule says what happens
// anyway, and check refuses it of other sessions.
func remoteFilter(vlan uint16) []models.Rule {
	return []models.Rule{
		{Action: models.Include, Match: models.Match{VLANs: []models.Range{models.One(vlan)}}},
		{Action: models.Exclude},
	}
}

// liftRemote is the way back of plainRemote.
func liftRemote(ses models.Session) models.Session {
	if len(ses.Filter) != 2 || len(ses.Filter[0].Match.VLANs) != 1 {
		return ses
	}
	vlan := ses.Filter[0].Match.VLANs[0].First
	if !sameRules(ses.Filter, remoteFilter(vlan)) {
		return ses
	}
	ses.Filter = nil
	ses.Sources = slices.Clone(ses.Sources)
	for i, src := range ses.Sources {
		if src.Kind != models.SourcePort || src.Direction != models.Rx {
			ses.Extra = append(ses.Extra, fmt.Sprintf("%s %s: an RSPAN destination copies what comes in only", src.Name, src.Direction))
		}
		ses.Sources[i] = models.Source{Kind: models.SourceRemoteVLAN, Name: src.Name, VLAN: vlan, Direction: models.Rx}
	}
	return ses.Normalize()
}

func sameRules(a, b []models.Rule) bool {
	return models.SameConfig(models.Session{Filter: a}, models.Session{Filter: b})
}

// ourLinks gives the links of a session that are there.
func (s *snapshot) ourLinks(h sessionHash) []link {
	var out []link
	for _, hook := range []tcnl.Hook{tcnl.Ingress, tcnl.Egress} {
		if l, ok := s.byName(linkName(h, hook)); ok && l.as.Ours() {
			out = append(out, l)
		}
	}
	return out
}

// alone gives the sessions of which there is nothing but a link.
func (s *snapshot) alone(known []sessionHash, names map[sessionHash]string) []sessionHash {
	named := make(map[string]sessionHash)
	add := func(h sessionHash) {
		named[linkName(h, tcnl.Ingress)], named[linkName(h, tcnl.Egress)] = h, h
	}
	for h := range names {
		add(h)
	}
	for _, h := range known {
		add(h)
	}
	var out []sessionHash
	for _, l := range s.links {
		if !l.as.Ours() {
			continue
		}
		h, ok := named[l.name]
		if !ok {
			if h, ok = hashOfLink(l.name); !ok {
				continue // a name that we do not give
			}
		}
		if !slices.Contains(known, h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// namesInLinks gives the names of sessions that aliases of our links tell and the links'
// own names prove.
func (s *snapshot) namesInLinks(dev models.DeviceID) []string {
	var out []string
	for _, l := range s.links {
		if name, _, ok := readAlias(l.as.Alias); ok && l.as.Ours() {
			h := hashOf(dev, name)
			if l.name == linkName(h, tcnl.Ingress) || l.name == linkName(h, tcnl.Egress) {
				out = append(out, name)
			}
		}
	}
	return out
}

// lift gives a session as people mean it, from what filters show of it: copies that go
// into links of its own go to a tunnel, an RSPAN VLAN or a capture. A link that is not
// as it is made becomes a line of Extra, and so does a guard of bare, those that are
// missing.
func (s *snapshot) lift(dev models.DeviceID, h sessionHash, ses models.Session, bare []guarded) models.Session {
	links := s.ourLinks(h)
	if len(links) == 0 {
		return liftRemote(ses)
	}
	extra := func(format string, args ...any) { ses.Extra = append(ses.Extra, fmt.Sprintf(format, args...)) }
	var others []string
	used := make(map[string]bool)
	for _, p := range ses.Destination.Ports {
		if slices.ContainsFunc(links, func(l link) bool { return l.name == p }) {
			used[p] = true
		} else {
			others = append(others, p)
		}
	}
	first := links[0]
	for _, l := range links {
		if used[l.name] {
			first = l
			break
		}
	}
	if len(used) == 0 && len(others) > 0 { // copies go to ports; the links are of no use
		for _, l := range links {
			extra("link %s: no copy goes into it", l.name)
		}
		return liftRemote(ses)
	}
	for _, p := range others {
		extra("copies go to %s, too", p)
	}
	_, a, _ := readAlias(first.as.Alias)
	ses.Destination = destinationOf(first.as.Spec, a)
	if a.truncate != 0 && cutByLink(models.Session{Destination: ses.Destination, TruncateTo: 1}) != 0 {
		ses.TruncateTo = a.truncate
	}
	if why := s.wayDown(links); why != "" && ses.Status.State != models.OperDown {
		ses.Status = models.Status{State: models.OperDown, Reason: why}
	}
	ses = ses.Normalize()
	s.liftLinks(dev, ses, links, used, extra)
	for _, g := range bare {
		if slices.ContainsFunc(links, func(l link) bool { return l.as.Remote == g.to && l.as.Port == g.port }) {
			at, _ := s.byIndex(g.at.index)
			extra("%s %s: copies to %s pass it and are copied again, since a guard is missing", at.name, g.at.hook, g.to)
		}
	}
	return ses
}

// liftLinks compares the links with those that the session would have.
func (s *snapshot) liftLinks(dev models.DeviceID, ses models.Session, links []link, used map[string]bool, extra func(string, ...any)) {
	want := s.linksOf(dev, ses)
	for _, l := range links {
		if !used[l.name] {
			extra("link %s: no copy goes into it", l.name)
		}
		i := slices.IndexFunc(want, func(w linknl.Spec) bool { return w.Name == l.name })
		if i < 0 {
			continue
		}
		if _, unknown := unknownHash(ses.Name); unknown {
			want[i].Alias = l.as.Alias // it tells a name that nobody can prove
		}
		for _, d := range l.as.Differences(want[i]) {
			extra("link %s: %s", l.name, d)
		}
		if l.as.Kind == linknl.VLAN && !s.deaf(l) {
			extra("link %s: frames of VLAN %d that come in reach the host itself", l.name, l.as.VLAN)
		}
	}
}

// deaf reports whether all that a link receives is dropped before the host sees it.
func (s *snapshot) deaf(l link) bool {
	return slices.ContainsFunc(s.on(l.index, tcnl.Ingress), func(f tcnl.Filter) bool { return f.DropAll && f.Protocol == tcnl.ProtocolAll })
}

// dropPriority is that of the filter that makes a link deaf. Nobody else has filters on
// a link of ours.
const dropPriority = 1

// destinationOf reads a link as a destination.
func destinationOf(l linknl.Spec, a asked) models.Destination {
	switch l.Kind {
	case linknl.Dummy:
		return models.Destination{Kind: models.DestinationCapture}
	case linknl.VLAN:
		return models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: l.VLAN, Ports: []string{l.Lower}}
	}
	t := &models.Tunnel{Source: l.Local, Destination: l.Remote, TTL: l.TTL, DSCP: l.TOS >> 2, Oversize: a.oversize}
	if t.TTL == defaultTTL && !a.ttl {
		t.TTL = 0
	}
	d := models.Destination{Tunnel: t}
	switch l.Kind {
	case linknl.ERSPAN1, linknl.ERSPAN2, linknl.ERSPAN3:
		d.Kind, t.SessionID = models.DestinationERSPAN, l.Session
		for version, kind := range erspanKinds {
			if kind == l.Kind {
				t.Version = version
			}
		}
	case linknl.GRETap:
		d.Kind, t.Key = models.DestinationGRE, l.Key
	case linknl.VXLAN:
		d.Kind, t.VNI = models.DestinationVXLAN, l.VNI
	}
	return d
}

// checkDestination gives what is refused of a destination whatever the host looks like.
func checkDestination(ses models.Session, add func(format string, args ...any)) {
	d := ses.Destination
	switch d.Kind {
	case models.DestinationPort:
		if len(d.Ports) == 0 {
			add("the destination must be an interface")
		}
		for _, to := range d.Ports {
			if !validPort(to) {
				add("destination %q cannot be the name of an interface", to)
			}
			for _, src := range ses.Sources {
				if src.Name == to {
					add("%s would be mirrored to itself", to)
				}
			}
		}
		return
	case models.DestinationRemoteVLAN:
		if len(d.Ports) != 1 || !validName(d.Ports[0]) {
			add("a host has to be told by which interface the copies leave into RSPAN VLAN %d", d.VLAN)
			return
		}
	case models.DestinationERSPAN, models.DestinationGRE, models.DestinationVXLAN:
		if d.Tunnel == nil {
			add("a tunnel needs addresses")
			return
		}
		checkTunnel(ses, *d.Tunnel, add)
	case models.DestinationCapture:
	default:
		add("the destination must be an interface, a tunnel, an RSPAN VLAN or a capture on the host")
		return
	}
	spec, _ := specOf(ses)
	spec.Name, spec.MTU = linknl.Prefix+"x", linknl.MinTruncate
	if err := spec.Validate(); err != nil {
		add("%s", strings.TrimPrefix(err.Error(), linknl.ErrInvalid.Error()+": "))
	}
}

func checkTunnel(ses models.Session, t models.Tunnel, add func(format string, args ...any)) {
	if t.VRF != "" {
		add("%s", whyVRF)
	}
	if t.Protocol != 0 {
		add("the protocol of a GRE header is given by the kind of tunnel here, so 0x%04x cannot be chosen", t.Protocol)
	}
	erspan := ses.Destination.Kind == models.DestinationERSPAN
	if erspan && (t.Key != 0 || t.VNI != 0) || !erspan && (t.Version != 0 || t.SessionID != 0) ||
		ses.Destination.Kind == models.DestinationGRE && t.VNI != 0 || ses.Destination.Kind == models.DestinationVXLAN && t.Key != 0 {
		add("a tunnel of kind %s has numbers of other kinds", ses.Destination.Kind)
	}
	switch t.Oversize {
	case models.OversizeTruncate:
		if !erspan {
			add("only ERSPAN cuts copies that are too long for the way: choose fragment, or truncate all copies")
		}
	case models.OversizeFragment:
		if t.Destination.Is6() {
			add("over IPv6 the kernel does not fragment copies that are too long for the way: raise the way's MTU, or use ERSPAN and choose truncate")
		}
	}
	if n := cutByLink(ses); n != 0 && n < linknl.MinTruncate {
		add("%d bytes cannot be kept of a copy in ERSPAN: the kernel keeps %d or more", n, linknl.MinTruncate)
	}
}

const whyVRF = "a tunnel's packets are routed by the main table in this version: leave vrf out"

// checkRemote refuses what is not to be told from an RSPAN destination, or cannot be one.
func checkRemote(ses models.Session, add func(format string, args ...any)) {
	remote := slices.ContainsFunc(ses.Sources, func(src models.Source) bool { return src.Kind == models.SourceRemoteVLAN })
	if !remote {
		if lifted := liftRemote(models.Session{Filter: ses.Filter, Sources: []models.Source{{Kind: models.SourcePort, Name: "x", Direction: models.Rx}}}); len(ses.Filter) > 0 && len(lifted.Filter) == 0 {
			add("the last rule of the filter says what happens anyway: leave it out")
		}
		return
	}
	if len(ses.Filter) > 0 {
		add("an RSPAN destination copies all frames of the VLAN: filter where they are copied first")
	}
	for _, src := range ses.Sources {
		switch {
		case src.Kind != models.SourceRemoteVLAN || src.VLAN != ses.Sources[0].VLAN:
			add("an RSPAN destination has one VLAN and no other source")
		case src.VLAN == 0 || src.VLAN > 4094:
			add("RSPAN VLAN %d is not 1 to 4094", src.VLAN)
		case !validName(src.Name):
			add("a host has to be told by which interface the frames of RSPAN VLAN %d come in", src.VLAN)
		}
	}
}

// unsupported makes an error of what a kernel or this driver cannot do.
func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{drivers.ErrUnsupported}, args...)...)
}
