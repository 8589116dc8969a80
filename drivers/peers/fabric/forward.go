package fabric

// arrival is a frame on its way to a port.
type arrival struct {
	to    *port
	frame []byte
	id    uint64 // of the frame: the same for all its floods, another for each copy
	copy  bool   // made by a mirror, so never mirrored
}

// visit is a frame having been forwarded by a switch in a VLAN.
type visit struct {
	sw   *Switch
	vlan uint16
	id   uint64
}

func (f *Fabric) newID() uint64 {
	f.frames++
	return f.frames
}

// transmit sends frame out of p and reports whether it is on the wire.
func (f *Fabric) transmit(p *port, frame []byte, id uint64, isCopy bool) bool {
	if !p.up() {
		p.drop(DropDown)
		return false
	}
	if payloadLen(frame) > p.mtu {
		p.drop(DropMTU)
		return false
	}
	p.out.count(frame)
	if !p.loses() {
		f.queue = append(f.queue, arrival{p.peer, frame, id, isCopy})
	}
	return true
}

// run lets all frames on the wire arrive, first sent first, until none is left.
// It ends: a frame is forwarded once per switch and VLAN, a copy is not mirrored.
func (f *Fabric) run() {
	for i := 0; i < len(f.queue); i++ {
		a := f.queue[i]
		a.to.in.count(a.frame)
		if a.to.node.host != nil {
			a.to.capture(a.frame)
		} else if sw := a.to.node.sw; sw.data != nil {
			f.fail(sw.receiveData(a))
		} else {
			sw.receive(a)
		}
	}
	clear(f.queue) // let go of the frames
	f.queue = f.queue[:0]
	if len(f.forwarded) > 1024 {
		f.forwarded = map[visit]struct{}{} // clearing costs the size that a map has once had
	} else {
		clear(f.forwarded)
	}
}

// firstVisit reports whether the switch has not yet forwarded the frame in vlan,
// and marks it.
func (s *Switch) firstVisit(vlan uint16, id uint64) bool {
	v := visit{s, vlan, id}
	if _, seen := s.node.f.forwarded[v]; seen {
		return false
	}
	s.node.f.forwarded[v] = struct{}{}
	return true
}

func (s *Switch) receive(a arrival) {
	in := a.to
	if in.destination {
		in.drop(DropMirrorDestination)
		return
	}
	if len(a.frame) < headerLen {
		in.drop(DropMalformed)
		return
	}
	vlan, why := in.iface.classify(s.plane, a.frame)
	if !a.copy {
		s.mirror(in.rx, a.frame, vlan, Rx)
	}
	if why != "" {
		in.drop(why)
		return
	}
	if !s.firstVisit(vlan, a.id) {
		in.drop(DropLoop)
		return
	}
	if s.plane.vlan(vlan) == vlanRSPAN {
		s.takeRSPAN(vlan, a.frame)
		s.floodRSPAN(vlan, a.frame, a.id, a.copy, in.iface)
		return
	}
	if src := srcMAC(a.frame); !src.group() {
		s.macs[macKey{vlan, src}] = in.iface
	}
	w := wireFrame{frame: a.frame, vlan: vlan}
	if dst := dstMAC(a.frame); !dst.group() {
		if out := s.macs[macKey{vlan, dst}]; out != nil && out.pick(a.frame) != nil {
			if out != in.iface {
				s.send(out, &w, a.id, a.copy)
			}
			return
		}
	}
	for _, out := range s.plane.ifaces {
		if out != in.iface {
			s.send(out, &w, a.id, a.copy)
		}
	}
}

// floodRSPAN sends a frame, tagged with vlan or of it natively, to the trunks that
// carry the VLAN, and reports whether there was one. Access ports do not carry an
// RSPAN VLAN. from may be nil.
func (s *Switch) floodRSPAN(vlan uint16, frame []byte, id uint64, isCopy bool, from *iface) bool {
	sent := false
	w := wireFrame{frame: frame, vlan: vlan}
	for _, out := range s.plane.ifaces {
		if out != from {
			sent = s.send(out, &w, id, isCopy) || sent
		}
	}
	return sent
}

// classify finds the VLAN of a frame that was received on the interface. With a
// reason to drop it, vlan is 0.
func (i *iface) classify(pl *plane, frame []byte) (vlan uint16, why Drop) {
	tci, tagged := tag(frame)
	if tagged && tci&0x0fff == 0 {
		tagged = false // a priority tag names no VLAN
	}
	switch i.config.Mode {
	case Access:
		if tagged {
			return 0, DropVLAN
		}
		vlan = i.config.accessVLAN()
		if pl.vlan(vlan) == vlanRSPAN {
			return 0, DropVLAN
		}
	case Trunk:
		vlan = i.config.NativeVLAN
		if tagged {
			vlan = tci & 0x0fff
		}
		if !i.config.TrunkVLANs.Contains(vlan) {
			return 0, DropVLAN
		}
	default:
		return 0, DropRouted
	}
	if pl.vlan(vlan) == vlanAbsent {
		return 0, DropVLAN
	}
	return vlan, ""
}

func (c PortConfig) accessVLAN() uint16 {
	if c.AccessVLAN == 0 {
		return 1
	}
	return c.AccessVLAN
}

// carries reports whether frames of vlan leave by the interface, and tagged or not.
func (i *iface) carries(pl *plane, vlan uint16) (tagged, ok bool) {
	switch i.config.Mode {
	case Access:
		return false, i.config.accessVLAN() == vlan && pl.vlan(vlan) != vlanRSPAN
	case Trunk:
		return vlan != i.config.NativeVLAN, i.config.TrunkVLANs.Contains(vlan)
	default:
		return false, false
	}
}

// wireFrame is a frame of a VLAN that is put on several wires. The two forms it
// can have there are made once.
type wireFrame struct {
	frame            []byte // as received
	vlan             uint16
	tagged, untagged []byte
}

func (w *wireFrame) on(tagged bool) []byte {
	tci, has := tag(w.frame)
	switch {
	case !tagged && !has, tagged && has && tci&0x0fff == w.vlan:
		return w.frame
	case tagged && w.tagged == nil:
		w.tagged = pushTag(popTag(w.frame), tci&0xf000|w.vlan) // the priority stays
	case !tagged && w.untagged == nil:
		w.untagged = popTag(w.frame)
	}
	if tagged {
		return w.tagged
	}
	return w.untagged
}

// send puts a frame on the wire of an interface if that carries its VLAN and is up.
func (s *Switch) send(out *iface, w *wireFrame, id uint64, isCopy bool) bool {
	tagged, ok := out.carries(s.plane, w.vlan)
	if !ok {
		return false
	}
	p := out.pick(w.frame)
	if p == nil {
		return false
	}
	frame := w.on(tagged)
	if !s.node.f.transmit(p, frame, id, isCopy) {
		return false
	}
	if !isCopy {
		s.mirror(p.tx, frame, w.vlan, Tx)
	}
	return true
}

// pick chooses the member by which a frame leaves, nil if none is up and free for
// traffic.
func (i *iface) pick(frame []byte) *port {
	if i.members[0].destination {
		return nil
	}
	return i.member(frame)
}

// member chooses by flow among the members that are up, nil if there is none.
func (i *iface) member(frame []byte) *port {
	if len(i.members) == 1 {
		if p := i.members[0]; p.up() {
			return p
		}
		return nil
	}
	var up []*port
	for _, p := range i.members {
		if p.up() {
			up = append(up, p)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[flowHash(frame)%uint32(len(up))]
}
