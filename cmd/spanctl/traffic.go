package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/spanctl/spanctl/models"
)

// TrafficCheck is what frames say of one mirrored port: marked frames were sent
// through it in both directions, and their copies counted at the sensor.
type TrafficCheck struct {
	Intent    string           `json:"intent"`
	Device    models.DeviceID  `json:"device"`
	Port      string           `json:"port"`
	Direction models.Direction `json:"direction"` // what the session asks for
	Frames    string           `json:"frames"`    // which way they went: "received" or "sent" by the port
	From      string           `json:"from"`      // hosts of the lab
	To        string           `json:"to"`
	Sensor    string           `json:"sensor"`
	Sizes     []int            `json:"sizes"`     // of the frames, bytes
	Sent      int              `json:"sent"`      // frames
	Delivered int              `json:"delivered"` // of them, to where they were going, unchanged
	Want      int              `json:"want"`      // copies
	Copies    int              `json:"copies"`    // that arrived, whole or truncated as asked
	Lost      int              `json:"lost"`      // copies that did not
	Doubled   int              `json:"doubled"`   // copies too many
	Damaged   int              `json:"damaged"`   // copies that are not what was sent
	Note      string           `json:"note,omitempty"`
}

// OK reports whether the frames prove the mirror.
func (t TrafficCheck) OK() bool {
	return t.Note == "" && t.Delivered == t.Sent && t.Copies == t.Want && t.Lost == 0 && t.Doubled == 0 && t.Damaged == 0
}

// sizes of test frames: small, middle and full, without the frame check sequence.
var trafficSizes = []int{64, 512, 1514}

// perSize is how many frames of each size go each way.
const perSize = 5

// trafficTest sends frames through a lab.
type trafficTest struct {
	lab   *labClient
	nodes labNodes
	hosts map[labEnd]labEnd // by switch port
}

func newTrafficTest(ctx context.Context, lab *labClient) (*trafficTest, error) {
	n, err := lab.nodes(ctx)
	if err != nil {
		return nil, err
	}
	return &trafficTest{lab: lab, nodes: n, hosts: n.attached()}, nil
}

// check proves the sessions of one intent.
func (t *trafficTest) check(ctx context.Context, intent string, sessions []models.Session) ([]TrafficCheck, error) {
	var out []TrafficCheck
	for _, s := range sessions {
		if s.Role == models.RoleDestination {
			continue
		}
		sensor, note := t.sensor(s, sessions)
		for _, src := range s.Sources {
			end := labEnd{string(s.Device), src.Name}
			base := TrafficCheck{Intent: intent, Device: s.Device, Port: src.Name, Direction: src.Direction, Sizes: trafficSizes, Sensor: sensor.Node, Note: note}
			host, ok := t.hosts[end]
			switch {
			case note != "":
			case src.Kind != models.SourcePort:
				base.Port, base.Note = src.Kind.String(), "only ports with a host of the lab behind them can be tested"
			case !ok:
				base.Note = "no host of the lab hangs on this port"
			}
			if base.Note != "" {
				out = append(out, base)
				continue
			}
			both, err := t.port(ctx, base, sessions, s, end, host, sensor)
			if err != nil {
				return out, err
			}
			out = append(out, both...)
		}
	}
	return out, nil
}

// sensor finds the host that receives the copies of s.
func (t *trafficTest) sensor(s models.Session, all []models.Session) (labEnd, string) {
	if tun := s.Destination.Tunnel; tun != nil {
		if h, ok := t.nodes.owner(tun.Destination); ok {
			return h, ""
		}
		return labEnd{}, fmt.Sprintf("no host of the lab has the address %s", tun.Destination)
	}
	at := s
	if s.Role == models.RoleSource {
		i := slices.IndexFunc(all, func(o models.Session) bool { return o.Role == models.RoleDestination })
		if i < 0 {
			return labEnd{}, "the intent has no destination session"
		}
		at = all[i]
	}
	if len(at.Destination.Ports) == 0 {
		return labEnd{}, "the session has no destination port"
	}
	if h, ok := t.hosts[labEnd{string(at.Device), at.Destination.Ports[0]}]; ok {
		return h, ""
	}
	return labEnd{}, fmt.Sprintf("no host of the lab hangs on the destination %s %s", at.Device, at.Destination.Ports[0])
}

// port sends frames from the host behind a mirrored port to another one, and back.
func (t *trafficTest) port(ctx context.Context, base TrafficCheck, all []models.Session, s models.Session, end, host, sensor labEnd) ([]TrafficCheck, error) {
	peer, err := t.peer(ctx, end, host, sensor)
	if err != nil {
		return nil, err
	}
	if peer == (labEnd{}) {
		base.Note = fmt.Sprintf("no other host of the lab answers %s", host.Node)
		return []TrafficCheck{base}, nil
	}
	far := t.switchEnd(peer)
	var out []TrafficCheck
	for _, dir := range []models.Direction{models.Rx, models.Tx} {
		c := base
		c.Frames, c.From, c.To = "received", host.Node, peer.Node
		from, to, in, leaves := host, peer, end, far
		if dir == models.Tx {
			c.Frames, c.From, c.To = "sent", peer.Node, host.Node
			from, to, in, leaves = peer, host, far, end
		}
		per := copiesOf(all, in, leaves)
		if err := t.frames(ctx, &c, from, to, sensor, s, per); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// switchEnd gives the switch port on which a host hangs.
func (t *trafficTest) switchEnd(host labEnd) labEnd {
	for sw, h := range t.hosts {
		if h == host {
			return sw
		}
	}
	return labEnd{}
}

// copiesOf counts the copies that sessions make of one frame that enters the
// network at in and leaves it at out.
func copiesOf(sessions []models.Session, in, out labEnd) int {
	n := 0
	for _, s := range sessions {
		for _, src := range s.Sources {
			if src.Kind != models.SourcePort {
				continue
			}
			at := labEnd{string(s.Device), src.Name}
			if at == in && src.Direction.Has(models.Rx) {
				n++
			}
			if at == out && src.Direction.Has(models.Tx) {
				n++
			}
		}
	}
	return n
}

// peer finds a host that frames from host reach, on the same switch if there is
// one, so that as few other mirrored ports as possible lie between. It also makes
// the switches learn where both are: a frame to an unknown address goes
// everywhere, and is copied everywhere.
func (t *trafficTest) peer(ctx context.Context, end, host, sensor labEnd) (labEnd, error) {
	var near, far []labEnd
	for sw, h := range t.hosts {
		switch {
		case h == host || h.Node == sensor.Node || h.Node == host.Node:
		case sw.Node == end.Node:
			near = append(near, h)
		default:
			far = append(far, h)
		}
	}
	byName := func(a, b labEnd) int { return models.CompareNatural(a.Node+" "+a.Port, b.Node+" "+b.Port) }
	slices.SortFunc(near, byName)
	slices.SortFunc(far, byName)
	for _, h := range slices.Concat(near, far) {
		marker := newMarker()
		there := labFrames{From: host.Node + ":" + host.Port, To: h.Node + ":" + h.Port, Count: 1, Size: 64, Marker: marker}
		back := there
		back.From, back.To = there.To, there.From
		reached := 0
		for _, f := range []struct {
			frames labFrames
			at     labEnd
		}{{there, h}, {back, host}} {
			if err := t.lab.send(ctx, f.frames); err != nil {
				return labEnd{}, err
			}
			got, err := t.lab.take(ctx, f.at, marker)
			if err != nil {
				return labEnd{}, err
			}
			if len(got) == 1 {
				reached++
			}
		}
		if reached == 2 {
			return h, nil
		}
	}
	return labEnd{}, nil
}

// frames sends frames one way and counts. per is how many copies each frame makes
// where the filter lets it through.
func (t *trafficTest) frames(ctx context.Context, c *TrafficCheck, from, to, sensor labEnd, s models.Session, per int) error {
	if _, err := t.lab.take(ctx, sensor, "-"); err != nil { // forget what is old
		return err
	}
	filtered := false
	for _, size := range c.Sizes {
		marker := newMarker()
		if err := t.lab.send(ctx, labFrames{From: from.Node + ":" + from.Port, To: to.Node + ":" + to.Port, Count: perSize, Size: size, Marker: marker}); err != nil {
			return err
		}
		c.Sent += perSize
		originals, err := t.lab.take(ctx, to, marker)
		if err != nil {
			return err
		}
		copies, err := t.lab.take(ctx, sensor, marker)
		if err != nil {
			return err
		}
		want := per
		if len(originals) > 0 && !passes(s.Filter, originals[0]) {
			want, filtered = 0, true
		}
		c.count(marker, originals, copies, want, int(s.TruncateTo), s.SampleOneIn > 1)
	}
	if s.SampleOneIn > 1 && !filtered && per > 0 {
		c.sampled(per, int(s.SampleOneIn))
	}
	return nil
}

// count adds the frames of one size.
func (c *TrafficCheck) count(marker string, originals, copies [][]byte, per, truncate int, sampled bool) {
	sent := make(map[string][]byte)
	for _, f := range originals {
		if n, ok := numberOf(f, marker); ok {
			if _, twice := sent[n]; twice {
				c.Doubled++ // the original itself arrived twice
			}
			sent[n] = f
		}
	}
	c.Delivered += len(sent)
	c.Want += per * perSize
	seen := make(map[string]int)
	for _, f := range copies {
		n, ok := numberOf(f, marker)
		if !ok || !sameFrame(f, sent[n], marker, truncate) {
			c.Damaged++
			continue
		}
		c.Copies++
		seen[n]++
	}
	if sampled {
		return
	}
	for i := range perSize {
		got := seen[fmt.Sprintf("%08d", i)]
		c.Lost += max(0, per-got)
		c.Doubled += max(0, got-per)
	}
}

// sampled judges a sample of the frames: one in n, give or take one.
func (c *TrafficCheck) sampled(per, n int) {
	ideal := c.Sent * per / n
	c.Want = ideal
	switch {
	case c.Copies < ideal-1:
		c.Lost = ideal - c.Copies
	case c.Copies > ideal+1:
		c.Doubled = c.Copies - ideal
	default:
		c.Want = c.Copies
	}
}

// numberOf reads the number of a test frame, wherever in the frame its marker is.
func numberOf(frame []byte, marker string) (string, bool) {
	i := bytes.Index(frame, []byte(marker))
	if i < 0 || len(frame) < i+len(marker)+8 {
		return "", false
	}
	return string(frame[i+len(marker):][:8]), true
}

// sameFrame reports whether a copy holds the original from its IP header on: whole,
// or cut to truncate bytes. What stands before it, tags and tunnel headers, may
// differ.
func sameFrame(copied, original []byte, marker string, truncate int) bool {
	o := bytes.Index(original, []byte(marker))
	c := bytes.Index(copied, []byte(marker))
	const before = 20 + 8 // IPv4 and UDP header, without options
	if o < before || c < before {
		return false
	}
	want, have := original[o-before:], copied[c-before:]
	if truncate == 0 {
		return bytes.Equal(want, have)
	}
	return len(have) <= truncate && len(have) <= len(want) && bytes.Equal(want[:len(have)], have)
}

// passes reports whether a filter copies an IPv4 UDP frame.
func passes(rules []models.Rule, frame []byte) bool {
	for _, r := range rules {
		if ok, err := matches(r.Match, frame); err == nil && ok {
			return r.Action == models.Include
		}
	}
	return models.DefaultAction(rules) == models.Include
}

var errNotIPv4 = errors.New("not IPv4")

func matches(m models.Match, frame []byte) (bool, error) {
	vlan := uint16(0)
	ip := 14
	if len(frame) > 18 && binary.BigEndian.Uint16(frame[12:]) == 0x8100 {
		vlan, ip = binary.BigEndian.Uint16(frame[14:])&0xfff, 18
	}
	if len(frame) < ip+28 || binary.BigEndian.Uint16(frame[ip-2:]) != 0x0800 {
		return false, errNotIPv4
	}
	src, _ := netip.AddrFromSlice(frame[ip+12 : ip+16])
	dst, _ := netip.AddrFromSlice(frame[ip+16 : ip+20])
	if n, ok := models.ProtocolNumber(m.Proto); m.Proto != "" && (!ok || n != frame[ip+9]) {
		return false, nil
	}
	in := func(p models.Prefix, a netip.Addr) bool { return !p.IsValid() || p.Contains(a) }
	ports := func(rs []models.Range, at int) bool {
		return len(rs) == 0 || models.RangesContain(rs, binary.BigEndian.Uint16(frame[ip+20+at:]))
	}
	return in(m.Src, src) && in(m.Dst, dst) && ports(m.Sport, 0) && ports(m.Dport, 2) &&
		(len(m.VLANs) == 0 || models.RangesContain(m.VLANs, vlan)), nil
}

// newMarker makes a text that no other frame has.
func newMarker() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return "sp" + hex.EncodeToString(b[:])
}
