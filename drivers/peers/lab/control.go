package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// maxBody bounds a request, mostly of frames.
const maxBody = 64 << 20

// Handler returns the control interface. It checks that requests are made to a
// loopback address, so that a web page cannot make a browser send them.
func (l *Lab) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/nodes", query(l.getNodes))
	mux.Handle("GET /v1/captures", query(l.getCaptures, "host", "port", "contains", "reset"))
	mux.Handle("GET /v1/config", query(l.getConfig, "node"))
	mux.Handle("GET /v1/wire", query(l.getWire, "node", "reset"))
	mux.Handle("GET /v1/counters", query(l.getCounters, "node"))
	mux.Handle("POST /v1/frames", body(l.postFrames))
	mux.Handle("POST /v1/captures/reset", body(l.postReset))
	mux.Handle("POST /v1/faults", body(l.postFaults))
	mux.Handle("POST /v1/links", body(l.postLinks))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			reply(w, nil, &statusError{http.StatusForbidden, fmt.Errorf("host %q is not loopback", r.Host)})
			return
		}
		// The mux answers in plain text when it has no route.
		if _, pattern := mux.Handler(r); pattern == "" {
			status := http.StatusNotFound
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				other := r.Clone(r.Context())
				other.Method = method
				if _, pattern := mux.Handler(other); pattern != "" {
					status = http.StatusMethodNotAllowed
				}
			}
			reply(w, nil, &statusError{status, fmt.Errorf("no %s %s", r.Method, r.URL.Path)})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}

// statusError is an error with the status that tells of it.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

func notFound(format string, args ...any) error {
	return &statusError{http.StatusNotFound, fmt.Errorf(format, args...)}
}

func reply(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if se := new(statusError); errors.As(err, &se) {
			status = se.status
		}
		v = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone; nobody is left to tell
}

// query handles a request without body whose parameters must be among known.
func query(f func(url.Values) (any, error), known ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			reply(w, nil, err)
			return
		}
		for name, values := range q {
			if !slices.Contains(known, name) || len(values) != 1 {
				reply(w, nil, fmt.Errorf("parameter %q is unknown or given twice", name))
				return
			}
		}
		v, err := f(q)
		reply(w, v, err)
	})
}

// body handles a request with a JSON object and nothing else.
func body[T any](f func(T) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			reply(w, nil, &statusError{http.StatusUnsupportedMediaType, errors.New("the body must be application/json")})
			return
		}
		if r.URL.RawQuery != "" {
			reply(w, nil, fmt.Errorf("parameters %q: there are none", r.URL.RawQuery))
			return
		}
		var req T
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			reply(w, nil, fmt.Errorf("body: %w", err))
			return
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			reply(w, nil, errors.New("body: more than one JSON value"))
			return
		}
		v, err := f(req)
		reply(w, v, err)
	})
}

func (l *Lab) getNodes(url.Values) (any, error) {
	var r NodesReply
	for _, n := range l.nodes {
		r.Nodes = append(r.Nodes, n.info())
	}
	for _, f := range l.fabrics() {
		for _, k := range f.Links() {
			r.Links = append(r.Links, LinkInfo{A: EndInfo(k.A), B: EndInfo(k.B), MTU: k.MTU})
		}
	}
	return r, nil
}

func (n *node) info() NodeInfo {
	i := NodeInfo{Name: n.Name, Kind: n.Kind, Role: "host", Ports: []PortInfo{}}
	if n.Host != nil {
		for _, p := range n.Host.Ports() {
			st, _ := n.Host.PortStatus(p)
			info := PortInfo{Name: p, MAC: st.MAC.String(), Up: st.Up}
			for _, a := range n.Host.Addresses(p) {
				info.Addresses = append(info.Addresses, a.String())
			}
			i.Ports = append(i.Ports, info)
		}
		return i
	}
	i.Role = "switch"
	if n.listener != nil {
		i.Management = addrPort(n.listener).String()
	}
	for _, p := range n.Switch.Ports() {
		st, _ := n.Switch.PortStatus(p)
		i.Ports = append(i.Ports, PortInfo{Name: p, MAC: st.MAC.String(), Up: st.Up, MirrorDestination: st.MirrorDestination})
	}
	return i
}

func (l *Lab) postFrames(r SendRequest) (any, error) {
	if (r.Generate != nil) == (r.Host != "") || r.Generate != nil && (r.Port != "" || r.Frames != nil) {
		return nil, errors.New("give host and frames, or generate")
	}
	if r.Generate != nil {
		from, port, frames, err := r.Generate.frames(l)
		if err != nil {
			return nil, err
		}
		return send(from, port, frames)
	}
	from, port, err := l.host(r.Host, r.Port)
	if err != nil {
		return nil, err
	}
	if len(r.Frames) == 0 {
		return nil, errors.New("no frames")
	}
	return send(from, port, r.Frames)
}

func send(from *node, port string, frames [][]byte) (any, error) {
	for i, f := range frames {
		if err := from.Host.Send(port, f); err != nil {
			return nil, fmt.Errorf("frame %d of %d, the ones before it are sent: %w", i+1, len(frames), err)
		}
	}
	return SendReply{Sent: len(frames)}, nil
}

func (l *Lab) getCaptures(q url.Values) (any, error) {
	n, port, err := l.host(q.Get("host"), q.Get("port"))
	if err != nil {
		return nil, err
	}
	reset, err := wantsReset(q)
	if err != nil {
		return nil, err
	}
	captured := n.Host.Captured
	if reset {
		captured = n.Host.TakeCaptured
	}
	r := CapturesReply{Host: n.Name, Port: port, Frames: []CapturedFrame{}}
	for _, c := range captured(port) {
		if bytes.Contains(c.Frame, []byte(q.Get("contains"))) {
			r.Frames = append(r.Frames, CapturedFrame(c))
		}
	}
	r.Count = len(r.Frames)
	return r, nil
}

func wantsReset(q url.Values) (bool, error) {
	if !q.Has("reset") {
		return false, nil
	}
	reset, err := strconv.ParseBool(q.Get("reset"))
	if err != nil {
		return false, fmt.Errorf("reset=%q is neither 1 nor 0", q.Get("reset"))
	}
	return reset, nil
}

func (l *Lab) postReset(r ResetRequest) (any, error) {
	if r.Host != "" {
		n, _, err := l.host(r.Host, "")
		if err != nil {
			return nil, err
		}
		n.Host.ResetCapture()
		return struct{}{}, nil
	}
	for _, n := range l.nodes {
		if n.Host != nil {
			n.Host.ResetCapture()
		}
	}
	return struct{}{}, nil
}

func (l *Lab) postFaults(r FaultRequest) (any, error) {
	n, err := l.switchNode(r.Node)
	if err != nil {
		return nil, err
	}
	if len(r.Faults) == 0 || r.Faults[0] != '{' {
		return nil, errors.New("faults must be an object; {} is none")
	}
	return struct{}{}, n.FrontEnd.SetFaults(r.Faults)
}

func (l *Lab) postLinks(r LinkRequest) (any, error) {
	n := l.byName[r.Node]
	if n == nil {
		return nil, notFound("no node %q", r.Node)
	}
	end := fabric.End{Node: r.Node, Port: r.Port}
	if err := n.Fabric.SetLoss(end, r.LoseOneIn); err != nil {
		return nil, err
	}
	return struct{}{}, n.Fabric.SetLink(end, r.Up)
}

func (l *Lab) getConfig(q url.Values) (any, error) {
	n, err := l.switchNode(q.Get("node"))
	if err != nil {
		return nil, err
	}
	return ConfigReply{Node: n.Name, Config: n.FrontEnd.RunningConfig()}, nil
}

func (l *Lab) getWire(q url.Values) (any, error) {
	n, err := l.switchNode(q.Get("node"))
	if err != nil {
		return nil, err
	}
	reset, err := wantsReset(q)
	if err != nil {
		return nil, err
	}
	r := WireReply{Node: n.Name, Lines: append([]string{}, n.FrontEnd.Wire()...)}
	if reset {
		n.FrontEnd.ResetWire()
	}
	return r, nil
}

func (l *Lab) getCounters(q url.Values) (any, error) {
	n := l.byName[q.Get("node")]
	if n == nil {
		return nil, notFound("no node %q", q.Get("node"))
	}
	r := CountersReply{Node: n.Name, Ports: map[string]PortCounters{}}
	if n.Host != nil {
		for _, p := range n.Host.Ports() {
			c, _ := n.Host.Counters(p)
			r.Ports[p] = portCounters(c)
		}
		return r, nil
	}
	for _, p := range n.Switch.Ports() {
		c, _ := n.Switch.Counters(p)
		r.Ports[p] = portCounters(c)
	}
	r.Mirrors = map[string]MirrorCounters{}
	for _, m := range n.Switch.Config().Mirrors {
		if c, ok := n.Switch.MirrorCounters(m.Name); ok {
			r.Mirrors[m.Name] = MirrorCounters(c)
		}
	}
	return r, nil
}

func portCounters(c fabric.Counters) PortCounters {
	return PortCounters{InFrames: c.In.Frames, InBytes: c.In.Bytes, OutFrames: c.Out.Frames, OutBytes: c.Out.Bytes, Drops: maps.Clone(c.Drops)}
}

// switchNode finds a node with a management server.
func (l *Lab) switchNode(name string) (*node, error) {
	n := l.byName[name]
	if n == nil {
		return nil, notFound("no node %q", name)
	}
	if n.FrontEnd == nil {
		return nil, fmt.Errorf("%s is a host, not a switch", name)
	}
	return n, nil
}
