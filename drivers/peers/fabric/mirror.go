package fabric

// mirror is a Mirror at work.
type mirror struct {
	config   Mirror
	counters MirrorCounters
	sequence uint32 // of the next tunnel packet
	packetID uint16 // IPv4 identification of the next tunnel packet
}

// tap is a mirror hanging on a port in one direction, or on an RSPAN VLAN, with
// the sources that put it there.
type tap struct {
	mirror  *mirror
	sources []*MirrorSource
}

// mirror makes the copies of a frame that passes the taps of a port. vlan is 0
// if the frame belongs to none.
func (s *Switch) mirror(taps []tap, frame []byte, vlan uint16, dir Direction) {
	if len(taps) == 0 {
		return
	}
	p := parsePacket(frame)
	for _, t := range taps {
		for _, src := range t.sources {
			if src.Kind == SourceVLAN && src.VLAN != vlan || !src.Filter.copies(p, vlan) {
				continue
			}
			if t.mirror.config.Filter.copies(p, vlan) {
				s.copy(t.mirror, frame, vlan, dir)
			}
			break // one copy per mirror, whatever other sources match
		}
	}
}

// takeRSPAN gives the mirrors with an RSPAN source what arrives in the VLAN.
func (s *Switch) takeRSPAN(vlan uint16, frame []byte) (taken bool) {
	taps := s.plane.rspan[vlan]
	if len(taps) == 0 {
		return false
	}
	if tci, ok := tag(frame); ok && tci&0x0fff == vlan {
		frame = popTag(frame)
	}
	s.mirror(taps, frame, vlan, DirectionUnset)
	return true
}

// copy does what the mirror's definition says with a frame that passed its filters.
func (s *Switch) copy(m *mirror, frame []byte, vlan uint16, dir Direction) {
	m.counters.Matched++
	if n := uint64(m.config.SampleOneIn); n > 1 && m.counters.Matched%n != 0 {
		return
	}
	tci, tagged := tag(frame)
	info := copied{vlan: vlan, priority: uint8(tci >> 13), tagged: tagged, direction: dir}
	out := frame
	if m.config.StripTag {
		out = popTag(out)
		info.tagged = false
	}
	out = out[min(int(m.config.StripHeader), len(out)):]
	if n := int(m.config.TruncateTo); n > 0 && len(out) > n {
		out = out[:n]
		info.truncated = true
	}
	if len(m.config.Destinations) == 0 {
		m.counters.Dropped++
	}
	for i := range m.config.Destinations {
		if len(out) > 0 && s.deliver(m, &m.config.Destinations[i], out, info) {
			m.counters.Copied++
		} else {
			m.counters.Dropped++
		}
	}
}

// copied is what is known of the frame that a copy was made of.
type copied struct {
	vlan      uint16
	priority  uint8 // of its tag
	tagged    bool  // the copy has a tag
	truncated bool
	direction Direction
}

// deliver sends one copy to one destination and reports whether it left.
func (s *Switch) deliver(m *mirror, d *MirrorDestination, frame []byte, info copied) bool {
	f := s.node.f
	switch d.Kind {
	case DestinationPort:
		return f.transmit(s.node.named[d.Name], frame, f.newID(), true)
	case DestinationLAG:
		for _, i := range s.plane.ifaces {
			if i.name != d.Name {
				continue
			}
			p := i.members[0]
			if len(frame) >= headerLen {
				if p = i.member(frame); p == nil {
					return false
				}
			}
			return f.transmit(p, frame, f.newID(), true)
		}
		return false
	case DestinationRSPAN:
		if s.plane.vlan(d.VLAN) != vlanRSPAN || len(frame) < headerLen {
			return false
		}
		if !d.InnerTag {
			frame = popTag(frame)
		}
		frame = pushTag(frame, uint16(info.priority)<<13|d.VLAN)
		id := f.newID()
		s.firstVisit(d.VLAN, id)
		taken := s.takeRSPAN(d.VLAN, frame)
		return s.floodRSPAN(d.VLAN, frame, id, true, nil) || taken
	case DestinationTunnel:
		return s.tunnel(m, &d.Tunnel, frame, info)
	default: // DestinationCPU; the check leaves nothing else
		return true
	}
}
