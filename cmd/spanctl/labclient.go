package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// labClient talks to the control interface of a lab that spanlab runs.
type labClient struct {
	base string
	http *http.Client
}

// newLabClient takes the address that spanlab prints, with or without http://.
func newLabClient(address string) *labClient {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return &labClient{base: strings.TrimRight(address, "/"), http: &http.Client{Timeout: time.Minute}}
}

type labEnd struct {
	Node string `json:"node"`
	Port string `json:"port"`
}

type labPort struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

type labNode struct {
	Name  string    `json:"name"`
	Role  string    `json:"role"` // switch or host
	Ports []labPort `json:"ports"`
}

type labNodes struct {
	Nodes []labNode `json:"nodes"`
	Links []struct {
		A labEnd `json:"a"`
		B labEnd `json:"b"`
	} `json:"links"`
}

// attached gives, by end of a switch, the end of the host that hangs there.
func (n labNodes) attached() map[labEnd]labEnd {
	host := make(map[string]bool)
	for _, node := range n.Nodes {
		host[node.Name] = node.Role == "host"
	}
	out := make(map[labEnd]labEnd)
	for _, l := range n.Links {
		switch {
		case host[l.B.Node] && !host[l.A.Node]:
			out[l.A] = l.B
		case host[l.A.Node] && !host[l.B.Node]:
			out[l.B] = l.A
		}
	}
	return out
}

// owner finds the host that has an address.
func (n labNodes) owner(a netip.Addr) (labEnd, bool) {
	for _, node := range n.Nodes {
		for _, p := range node.Ports {
			for _, text := range p.Addresses {
				if pre, err := netip.ParsePrefix(text); err == nil && pre.Addr() == a {
					return labEnd{node.Name, p.Name}, true
				}
			}
		}
	}
	return labEnd{}, false
}

func (c *labClient) nodes(ctx context.Context) (labNodes, error) {
	var n labNodes
	return n, c.do(ctx, http.MethodGet, "/v1/nodes", nil, nil, &n)
}

// labFrames describes frames to send from one host to another.
type labFrames struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Count  int    `json:"count"`
	Size   int    `json:"size"`
	Marker string `json:"marker"`
}

func (c *labClient) send(ctx context.Context, f labFrames) error {
	return c.do(ctx, http.MethodPost, "/v1/frames", nil, map[string]labFrames{"generate": f}, nil)
}

// take gives the frames with marker that a host captured, and forgets all that it
// captured.
func (c *labClient) take(ctx context.Context, at labEnd, marker string) ([][]byte, error) {
	var r struct {
		Frames []struct {
			Frame []byte `json:"frame"`
		} `json:"frames"`
	}
	q := url.Values{"host": {at.Node}, "port": {at.Port}, "contains": {marker}, "reset": {"1"}}
	if err := c.do(ctx, http.MethodGet, "/v1/captures", q, nil, &r); err != nil {
		return nil, err
	}
	out := make([][]byte, len(r.Frames))
	for i, f := range r.Frames {
		out[i] = f.Frame
	}
	return out, nil
}

func (c *labClient) do(ctx context.Context, method, path string, q url.Values, body, to any) error {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(text)
	}
	u := c.base + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, r)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("lab: %w (is spanlab up, and is this the control address that it printed?)", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(text, &e) != nil || e.Error == "" {
			e.Error = resp.Status
		}
		return fmt.Errorf("lab: %s: %s", path, e.Error)
	}
	if to == nil {
		return nil
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("lab: %s: %w", path, err)
	}
	return nil
}
