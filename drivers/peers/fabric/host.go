package fabric

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
)

// MaxCapture is the number of frames that a host port keeps. Later ones are
// counted ([DropCaptureFull]) until [Host.ResetCapture].
const MaxCapture = 1 << 16

// Host sends frames and keeps what it receives, whomever it is addressed to. It
// answers nothing.
type Host struct{ node *node }

// Capture is a received frame. Seq counts deliveries in the whole fabric, from 1.
type Capture struct {
	Seq   uint64
	Frame []byte
}

// Name returns the host's name.
func (h *Host) Name() string { return h.node.name }

// AddPort adds a port with its addresses, to which tunnels may lead. An address
// belongs to one port of the fabric.
func (h *Host) AddPort(name string, addrs ...netip.Prefix) error {
	f := h.node.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range addrs {
		if !a.IsValid() {
			return fmt.Errorf("%s: invalid address", End{h.node.name, name})
		}
		if owner := f.owners[a.Addr().Unmap()]; owner != nil {
			return fmt.Errorf("%s: %s has address %s already", End{h.node.name, name}, owner.end(), a.Addr())
		}
	}
	p, err := h.node.addPort(name)
	if err != nil {
		return err
	}
	p.addrs = slices.Clone(addrs)
	for _, a := range addrs {
		f.owners[a.Addr().Unmap()] = p
	}
	return nil
}

// Ports returns the names of the ports in the order of their making.
func (h *Host) Ports() []string {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	return h.node.portNames()
}

// MAC returns the Ethernet address of a port, zero for an unknown one.
func (h *Host) MAC(port string) MAC {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	if p := h.node.named[port]; p != nil {
		return p.mac
	}
	return MAC{}
}

// Addresses returns the addresses of a port.
func (h *Host) Addresses(port string) []netip.Prefix {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	if p := h.node.named[port]; p != nil {
		return slices.Clone(p.addrs)
	}
	return nil
}

// Send puts a frame on the wire: Ethernet from the destination address on, without
// preamble and check sequence. When it returns, the frame and all its copies have
// reached their ends. A link that is down or too small is a counted drop, not an
// error; an unknown port, one without a cable and a frame without a whole Ethernet
// header are errors, and what a [DataPlane] could not do. frame is copied.
func (h *Host) Send(port string, frame []byte) error {
	f := h.node.f
	f.mu.Lock()
	defer f.mu.Unlock()
	p := h.node.named[port]
	if p == nil {
		return fmt.Errorf("host %q has no port %q", h.node.name, port)
	}
	if p.peer == nil {
		return fmt.Errorf("%s has no link", p.end())
	}
	if len(frame) < headerLen {
		return fmt.Errorf("%s: a frame of %d bytes has no whole Ethernet header", p.end(), len(frame))
	}
	f.transmit(p, bytes.Clone(frame), f.newID(), false)
	f.run()
	err := f.failed
	f.failed = nil
	return err
}

// Captured returns copies of the frames received on a port, in order.
func (h *Host) Captured(port string) []Capture {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	p := h.node.named[port]
	if p == nil {
		return nil
	}
	out := slices.Clone(p.captured)
	for i := range out {
		out[i].Frame = bytes.Clone(out[i].Frame)
	}
	return out
}

// TakeCaptured is Captured, and forgets what it returns; nothing falls between.
func (h *Host) TakeCaptured(port string) []Capture {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	p := h.node.named[port]
	if p == nil {
		return nil
	}
	out := p.captured
	p.captured = nil
	for i := range out {
		out[i].Frame = bytes.Clone(out[i].Frame) // others may hold the same frame
	}
	return out
}

// PortStatus returns the state of a port; ok is false for an unknown one.
func (h *Host) PortStatus(port string) (st PortStatus, ok bool) {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	return h.node.status(port)
}

// ResetCapture forgets the frames received on all ports. Counters stay.
func (h *Host) ResetCapture() {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	for _, p := range h.node.ports {
		p.captured = nil
	}
}

// Counters returns the counters of a port; ok is false for an unknown one.
func (h *Host) Counters(port string) (c Counters, ok bool) {
	h.node.f.mu.Lock()
	defer h.node.f.mu.Unlock()
	p := h.node.named[port]
	if p == nil {
		return Counters{}, false
	}
	return p.counters(), true
}

func (p *port) capture(frame []byte) {
	if len(p.captured) >= MaxCapture {
		p.drop(DropCaptureFull)
		return
	}
	p.node.f.deliveries++
	p.captured = append(p.captured, Capture{Seq: p.node.f.deliveries, Frame: frame})
}
