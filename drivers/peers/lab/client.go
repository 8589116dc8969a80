package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Client speaks to the control interface of a lab.
type Client struct {
	// Address is "127.0.0.1:40000".
	Address string
}

// Nodes returns the nodes and links.
func (c Client) Nodes(ctx context.Context) (r NodesReply, err error) {
	return r, c.do(ctx, http.MethodGet, "/v1/nodes", nil, nil, &r)
}

// Send sends frames from a host and returns how many. All their copies have
// arrived then.
func (c Client) Send(ctx context.Context, req SendRequest) (int, error) {
	var r SendReply
	err := c.do(ctx, http.MethodPost, "/v1/frames", nil, req, &r)
	return r.Sent, err
}

// Captures returns what a host has received on a port ("" = its first) with
// contains in it; reset forgets all that the port has received.
func (c Client) Captures(ctx context.Context, host, port, contains string, reset bool) (r CapturesReply, err error) {
	q := url.Values{"host": {host}, "port": {port}, "contains": {contains}}
	if reset {
		q.Set("reset", "1")
	}
	return r, c.do(ctx, http.MethodGet, "/v1/captures", q, nil, &r)
}

// ResetCaptures forgets what a host, or with "" every host, has received.
func (c Client) ResetCaptures(ctx context.Context, host string) error {
	return c.do(ctx, http.MethodPost, "/v1/captures/reset", nil, ResetRequest{Host: host}, nil)
}

// SetFaults replaces the faults of a switch.
func (c Client) SetFaults(ctx context.Context, node string, faults json.RawMessage) error {
	return c.do(ctx, http.MethodPost, "/v1/faults", nil, FaultRequest{Node: node, Faults: faults}, nil)
}

// SetLink cuts or mends the cable at a port, or makes it lose frames.
func (c Client) SetLink(ctx context.Context, r LinkRequest) error {
	return c.do(ctx, http.MethodPost, "/v1/links", nil, r, nil)
}

// Config returns a switch's running configuration as it prints it itself.
func (c Client) Config(ctx context.Context, node string) (string, error) {
	var r ConfigReply
	err := c.do(ctx, http.MethodGet, "/v1/config", url.Values{"node": {node}}, nil, &r)
	return r.Config, err
}

// Wire returns the lines that a switch has received; reset forgets them.
func (c Client) Wire(ctx context.Context, node string, reset bool) ([]string, error) {
	q := url.Values{"node": {node}}
	if reset {
		q.Set("reset", "1")
	}
	var r WireReply
	err := c.do(ctx, http.MethodGet, "/v1/wire", q, nil, &r)
	return r.Lines, err
}

// Counters returns the counters of a node.
func (c Client) Counters(ctx context.Context, node string) (r CountersReply, err error) {
	return r, c.do(ctx, http.MethodGet, "/v1/counters", url.Values{"node": {node}}, nil, &r)
}

// do makes a request. give is sent if it is not nil, the answer goes into want if
// that is not nil. An error of the lab's is returned as its text.
func (c Client) do(ctx context.Context, method, path string, q url.Values, give, want any) error {
	var sent io.Reader
	if give != nil {
		b, err := json.Marshal(give)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(b)
	}
	u := url.URL{Scheme: "http", Host: c.Address, Path: path, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), sent)
	if err != nil {
		return err
	}
	if give != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	d := json.NewDecoder(res.Body)
	if res.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if err := d.Decode(&e); err != nil || e.Error == "" {
			return fmt.Errorf("%s %s: %s", method, path, res.Status)
		}
		return errors.New(e.Error)
	}
	if want == nil {
		return nil
	}
	if err := d.Decode(want); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
