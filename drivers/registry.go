package drivers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/models/plan"
)

// Platform is one network OS in the registry.
type Platform struct {
	Key     string         // "arista_eos": scrapli style, ours to keep
	Name    string         // "Arista EOS"
	Dialect func() Dialect // nil for a platform that is not reached over a transport.Conn
	// Local is set instead for a platform that only a driver at work can render for
	// (the Linux host, whose kernel decides which commands there are).
	Local func() plan.Platform
	// Commands tells that the Dialect's requests and steps are commands for a shell of
	// a host, each with an exit status (transport.Commands), and not lines at a prompt.
	Commands bool
	// Backup reads configurations in files; nil for a platform that has none.
	Backup *Backup
	// Transports are the ways to reach it, best first, such as "ssh".
	Transports []string
}

// Planning gives what planning needs of the platform. It is a Planner where
// changes can be rendered without the device.
func (p Platform) Planning() plan.Platform {
	if p.Local != nil {
		return p.Local()
	}
	return p.Dialect()
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
		if p.Key == "" || (p.Dialect == nil) == (p.Local == nil) {
			return nil, fmt.Errorf("platform %q is incomplete: it needs a key and one of Dialect and Local", p.Key)
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

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:4])
}
