package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// FrontEnd is the management plane of a switch. Its methods may be called from
// several goroutines.
type FrontEnd interface {
	// Serve accepts management connections on l until ctx ends or Close is called,
	// and closes l. Its error is nil then.
	Serve(ctx context.Context, l net.Listener) error
	// Close cuts all connections.
	Close()
	// RunningConfig is the configuration in force as the switch itself prints it.
	RunningConfig() string
	// Wire returns every line or message received from clients, in order; secrets are
	// not among them. ResetWire forgets them.
	Wire() []string
	ResetWire()
	// SetFaults replaces the faults of the front end by a JSON object of its own
	// format, {} being none. Unknown members are errors; with an error nothing has
	// changed.
	SetFaults(spec json.RawMessage) error
}

// Node is a switch or a host of a lab.
type Node struct {
	Name   string
	Kind   string // as its topology has it, such as "arista_ceos"; only shown
	Fabric *fabric.Fabric
	// Switch with FrontEnd, or Host.
	Switch   *fabric.Switch
	FrontEnd FrontEnd
	Host     *fabric.Host
}

// Lab is a set of nodes. Names of nodes are unique in it, so its fabrics, which
// know each other as little as separate sites, must not share names.
type Lab struct {
	nodes  []*node
	byName map[string]*node

	mu      sync.Mutex
	started bool
	stop    context.CancelFunc
	done    sync.WaitGroup
	errs    []error
	control net.Listener
}

type node struct {
	Node
	listener net.Listener
}

// New returns a lab of nodes.
func New(nodes []Node) (*Lab, error) {
	l := &Lab{byName: map[string]*node{}}
	for _, n := range nodes {
		isSwitch := n.Switch != nil && n.FrontEnd != nil && n.Host == nil
		isHost := n.Host != nil && n.Switch == nil && n.FrontEnd == nil
		if n.Name == "" || n.Fabric == nil || !isSwitch && !isHost {
			return nil, fmt.Errorf("lab: node %q needs a name, a fabric, and a switch with a front end or a host", n.Name)
		}
		if l.byName[n.Name] != nil {
			return nil, fmt.Errorf("lab: node %q twice", n.Name)
		}
		l.nodes = append(l.nodes, &node{Node: n})
		l.byName[n.Name] = l.nodes[len(l.nodes)-1]
	}
	return l, nil
}

// Options say where a lab listens.
type Options struct {
	// Listen is the address of all management servers; the zero value is 127.0.0.1.
	Listen netip.Addr
	// BasePort is the port of the first switch, the others follow; 0 = any that is free.
	BasePort uint16
	// Control is the address of the control interface, on loopback; "" = 127.0.0.1
	// and any port that is free.
	Control string
}

// Start lets all nodes and the control interface listen. When it returns without
// error, all of them accept connections, until ctx ends or Close is called. A lab
// can be started once.
func (l *Lab) Start(ctx context.Context, o Options) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started {
		return errors.New("lab: started already")
	}
	l.started = true
	if !o.Listen.IsValid() {
		o.Listen = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if o.Control == "" {
		o.Control = "127.0.0.1:0"
	}
	listeners, err := l.listen(ctx, o)
	if err != nil {
		for _, ln := range listeners {
			_ = ln.Close()
		}
		return err
	}
	ctx, l.stop = context.WithCancel(ctx)
	for _, n := range l.nodes {
		if n.listener != nil {
			l.serve("node "+n.Name, func() error { return n.FrontEnd.Serve(ctx, n.listener) })
		}
	}
	srv := &http.Server{Handler: l.Handler(), ReadHeaderTimeout: 10 * time.Second}
	l.serve("control interface", func() error {
		if err := srv.Serve(l.control); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	l.done.Go(func() {
		<-ctx.Done()
		// What is being answered is answered; a stuck client does not hold the lab.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(last) != nil {
			_ = srv.Close()
		}
	})
	return nil
}

// listen opens all listeners; those it returns with an error are to be closed.
func (l *Lab) listen(ctx context.Context, o Options) (opened []net.Listener, err error) {
	host, _, err := net.SplitHostPort(o.Control)
	if err != nil {
		return nil, fmt.Errorf("lab: control address: %w", err)
	}
	if a, err := netip.ParseAddr(host); err != nil || !a.IsLoopback() {
		return nil, fmt.Errorf("lab: control address %s is not on loopback", o.Control)
	}
	var conf net.ListenConfig
	l.control, err = conf.Listen(ctx, "tcp", o.Control)
	if err != nil {
		return nil, fmt.Errorf("lab: control interface: %w", err)
	}
	opened = append(opened, l.control)
	port := int(o.BasePort)
	for _, n := range l.nodes {
		if n.FrontEnd == nil {
			continue
		}
		if port > 65535 {
			return opened, fmt.Errorf("lab: node %s: no ports left above %d", n.Name, o.BasePort)
		}
		n.listener, err = conf.Listen(ctx, "tcp", net.JoinHostPort(o.Listen.String(), strconv.Itoa(port)))
		if err != nil {
			return opened, fmt.Errorf("lab: node %s: %w", n.Name, err)
		}
		opened = append(opened, n.listener)
		if port != 0 {
			port++
		}
	}
	return opened, nil
}

func (l *Lab) serve(what string, f func() error) {
	l.done.Go(func() {
		if err := f(); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.errs = append(l.errs, fmt.Errorf("lab: %s: %w", what, err))
			l.stop() // half a lab is none
		}
	})
}

// Wait returns when the lab has stopped: because the ctx of Start has ended, by
// Close, or because a server failed, which is its error.
func (l *Lab) Wait() error {
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// Close stops a started lab and waits for its end.
func (l *Lab) Close() error {
	l.mu.Lock()
	stop := l.stop
	l.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	for _, n := range l.nodes {
		if n.FrontEnd != nil {
			n.FrontEnd.Close()
		}
	}
	return l.Wait()
}

// Nodes returns the nodes in the order they were given in.
func (l *Lab) Nodes() []Node {
	out := make([]Node, len(l.nodes))
	for i, n := range l.nodes {
		out[i] = n.Node
	}
	return out
}

// Address returns where the management server of a started switch listens; ok is
// false for hosts and unknown nodes.
func (l *Lab) Address(name string) (addr netip.AddrPort, ok bool) {
	n := l.byName[name]
	if n == nil || n.listener == nil {
		return netip.AddrPort{}, false
	}
	return addrPort(n.listener), true
}

// ControlAddress returns where the control interface of a started lab listens.
func (l *Lab) ControlAddress() netip.AddrPort { return addrPort(l.control) }

func addrPort(ln net.Listener) netip.AddrPort {
	if ln == nil {
		return netip.AddrPort{}
	}
	a, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// fabrics returns each fabric once, in the order of the nodes.
func (l *Lab) fabrics() []*fabric.Fabric {
	var out []*fabric.Fabric
	for _, n := range l.nodes {
		if !slices.Contains(out, n.Fabric) {
			out = append(out, n.Fabric)
		}
	}
	return out
}
