package lab

import (
	"encoding/json"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

// The types of this file are the JSON of the control interface.

// NodeInfo is a node of GET /v1/nodes.
type NodeInfo struct {
	Name       string     `json:"name"`
	Kind       string     `json:"kind"`
	Role       string     `json:"role"`                 // "switch" or "host"
	Management string     `json:"management,omitempty"` // "127.0.0.1:40001"; switches only
	Ports      []PortInfo `json:"ports"`
}

// PortInfo is a port of a node.
type PortInfo struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	Up        bool     `json:"up"`
	Addresses []string `json:"addresses,omitempty"` // of hosts, with prefix length
	// MirrorDestination: a mirror session sends its copies there.
	MirrorDestination bool `json:"mirrorDestination,omitempty"`
}

// EndInfo is one end of a cable.
type EndInfo struct {
	Node string `json:"node"`
	Port string `json:"port"`
}

// LinkInfo is a cable.
type LinkInfo struct {
	A   EndInfo `json:"a"`
	B   EndInfo `json:"b"`
	MTU int     `json:"mtu"`
}

// NodesReply is the answer to GET /v1/nodes.
type NodesReply struct {
	Nodes []NodeInfo `json:"nodes"`
	Links []LinkInfo `json:"links"`
}

// SendRequest is what POST /v1/frames takes: ready frames from a host, or a
// generator.
type SendRequest struct {
	Host     string     `json:"host,omitempty"`
	Port     string     `json:"port,omitempty"`
	Frames   [][]byte   `json:"frames,omitempty"` // base64
	Generate *Generator `json:"generate,omitempty"`
}

// SendReply is its answer.
type SendReply struct {
	Sent int `json:"sent"`
}

// CapturedFrame is a frame that a host received.
type CapturedFrame struct {
	Seq   uint64 `json:"seq"` // order of arrival in the fabric
	Frame []byte `json:"frame"`
}

// CapturesReply is the answer to GET /v1/captures.
type CapturesReply struct {
	Host   string          `json:"host"`
	Port   string          `json:"port"`
	Count  int             `json:"count"` // of frames here
	Frames []CapturedFrame `json:"frames"`
}

// ResetRequest is what POST /v1/captures/reset takes.
type ResetRequest struct {
	Host string `json:"host,omitempty"` // "" = all
}

// FaultRequest is what POST /v1/faults takes.
type FaultRequest struct {
	Node   string          `json:"node"`
	Faults json.RawMessage `json:"faults"`
}

// LinkRequest is what POST /v1/links takes.
type LinkRequest struct {
	Node string `json:"node"`
	Port string `json:"port"`
	Up   bool   `json:"up"`
	// LoseOneIn = N loses every Nth frame in each direction while the cable is up;
	// 0 none.
	LoseOneIn int `json:"loseOneIn,omitempty"`
}

// ConfigReply is the answer to GET /v1/config.
type ConfigReply struct {
	Node   string `json:"node"`
	Config string `json:"config"`
}

// WireReply is the answer to GET /v1/wire.
type WireReply struct {
	Node  string   `json:"node"`
	Lines []string `json:"lines"`
}

// PortCounters are the counters of a port.
type PortCounters struct {
	InFrames  uint64                 `json:"inFrames"`
	InBytes   uint64                 `json:"inBytes"`
	OutFrames uint64                 `json:"outFrames"`
	OutBytes  uint64                 `json:"outBytes"`
	Drops     map[fabric.Drop]uint64 `json:"drops,omitempty"`
}

// MirrorCounters are the counters of a mirror session.
type MirrorCounters struct {
	Matched uint64 `json:"matched"` // frames
	Copied  uint64 `json:"copied"`  // copies sent, one per destination
	Dropped uint64 `json:"dropped"` // copies that could not be sent
}

// CountersReply is the answer to GET /v1/counters.
type CountersReply struct {
	Node    string                    `json:"node"`
	Ports   map[string]PortCounters   `json:"ports"`
	Mirrors map[string]MirrorCounters `json:"mirrors,omitempty"`
}
