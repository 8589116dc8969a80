package drivers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Platform is one network OS in the registry.
type Platform struct {
	Key     string // "arista_eos": scrapli style, ours to keep
	Name    string // "Arista EOS"
	Dialect func() Dialect
	// Transports are the ways to reach it, best first, such as "ssh".
	Transports []string
}

// Registry holds the platforms by key. It is filled once and then only read.
type Registry struct {
	platforms map[string]Platform
}

// NewRegistry makes a registry. Two platforms of one key are an error.
func NewRegistry(ps ...Platform) (*Registry, error) {
	r := &Registry{platforms: make(map[string]Platform, len(ps))}
	for _, p := range ps {
		if _, dup := r.platforms[p.Key]; dup {
			return nil, fmt.Errorf("platform %q is registered twice", p.Key)
		}
		if p.Key == "" || p.Dialect == nil && len(p.Transports) > 0 {
			return nil, fmt.Errorf("platform %q is incomplete", p.Key)
		}
		r.platforms[p.Key] = p
	}
	return r, nil
}

// Platform finds a platform. The error lists those that exist.
func (r *Registry) Platform(key string) (Platform, error) {
	p, ok := r.platforms[key]
	if !ok {
		return Platform{}, fmt.Errorf("platform %q has no driver; there is %s", key, strings.Join(r.Keys(), ", "))
	}
	return p, nil
}

// Keys gives all platform keys, sorted.
func (r *Registry) Keys() []string { return slices.Sorted(maps.Keys(r.platforms)) }

// Dialer opens a connection to a device. Transports implement it.
type Dialer interface {
	Dial(ctx context.Context, dev models.DeviceID) (transport.Conn, error)
}

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:4])
}
