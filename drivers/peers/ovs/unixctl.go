package ovs

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// unixctl is a connection to the control socket of a daemon: JSON-RPC 1.0. Orders are
// carried out by the main loop of the daemon, between the rounds in which it moves
// frames.
type unixctl struct {
	conn net.Conn
	dec  *json.Decoder
	id   int
}

func dialUnixctl(ctx context.Context, path string) (*unixctl, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return &unixctl{conn: c, dec: json.NewDecoder(c)}, nil
}

func (u *unixctl) call(method string, params ...string) (string, error) {
	if params == nil {
		params = []string{}
	}
	u.id++
	text, err := json.Marshal(map[string]any{"id": u.id, "method": method, "params": params})
	if err != nil {
		return "", err
	}
	_ = u.conn.SetDeadline(time.Now().Add(settleTime))
	if _, err := u.conn.Write(text); err != nil {
		return "", err
	}
	var reply struct {
		Result *string `json:"result"`
		Error  *string `json:"error"`
	}
	if err := u.dec.Decode(&reply); err != nil {
		return "", fmt.Errorf("%s: %w", method, err)
	}
	switch {
	case reply.Error != nil:
		return "", fmt.Errorf("%s: %s", method, *reply.Error)
	case reply.Result == nil:
		return "", fmt.Errorf("%s: no answer", method)
	}
	return *reply.Result, nil
}

func (u *unixctl) close() { _ = u.conn.Close() }
