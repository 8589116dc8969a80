package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/all"
	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// site is all that a command works with: the inventory, the drivers, the store and
// the engine on top of them.
type site struct {
	inv      *inventory.Inventory
	network  models.Network
	registry *drivers.Registry
	platform map[models.DeviceID]string
	store    store.Store
	engine   *engine.Engine
	bar      *progress
	dial     *dialer
}

// open makes the site. withStore is false for commands that need none; the engine
// then has an empty one in memory.
func (a *app) open(ctx context.Context, withStore bool) (*site, error) {
	inv, err := a.inventory()
	if err != nil {
		return nil, err
	}
	return a.openInventory(ctx, inv, withStore)
}

func (a *app) openInventory(ctx context.Context, inv *inventory.Inventory, withStore bool) (*site, error) {
	registry, err := newRegistry()
	if err != nil {
		return nil, err
	}
	s := &site{inv: inv, network: inv.Network(), registry: registry}
	s.platform = make(map[models.DeviceID]string, len(s.network.Devices))
	for _, d := range s.network.Devices {
		s.platform[d.ID] = d.Platform
	}
	if s.store, err = a.openStore(ctx, withStore); err != nil {
		return nil, err
	}
	if s.dial, err = a.newDialer(s); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.bar = newProgress(a.err, a.set.NoProgress)
	s.engine = engine.New(engine.Config{
		Network: &s.network, Platforms: s.planners(), Names: inv, Open: s.dial.open, Store: s.store,
		Policy: a.set.policy(), Parallel: a.set.Parallel, User: userName(), Log: a.set.log, Progress: s.bar,
	})
	return s, nil
}

func (a *app) inventory() (*inventory.Inventory, error) {
	for _, file := range a.set.Inventory {
		if !exists(file) {
			return nil, fmt.Errorf("inventory: %s is not there: name one with --inventory; a containerlab topology does too", file)
		}
	}
	return inventory.LoadInventory(a.set.Inventory, inventory.Options{AllowPlaintext: a.set.AllowPlaintext})
}

func (a *app) openStore(ctx context.Context, real bool) (store.Store, error) {
	path := store.Memory
	if real {
		path = a.set.Store
	}
	st, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return nil, err
	}
	return wrapStore(st), nil
}

// wrapStore is replaced by tests that kill spanctl at a write to its store.
var wrapStore = func(s store.Store) store.Store { return s }

// newRegistry holds all platforms: those that are reached over a network, and this
// host's kernel.
func newRegistry() (*drivers.Registry, error) {
	return drivers.NewRegistry(append(all.Platforms(), drivers.Platform{
		Key: inventory.PlatformLinux, Name: "Linux", Transports: []string{"local", "ssh"},
		// The planner's Render is hidden: it supposes how a host is, and what is sent must
		// come from the host itself.
		Local: func() plan.Platform { return struct{ plan.Platform }{hostmirror.Planner{}} },
	})...)
}

// planners gives each device's planner, made once per platform.
func (s *site) planners() plan.Platforms {
	made := make(map[string]plan.Platform)
	for _, key := range s.registry.Keys() {
		if p, err := s.registry.Platform(key); err == nil {
			made[key] = p.Planning()
		}
	}
	return func(dev models.DeviceID) plan.Platform { return made[s.platform[dev]] }
}

func (s *site) close() {
	s.bar.stop()
	_ = s.store.Close() // everything written is durable already
}

// with runs f with an open site.
func (a *app) with(ctx context.Context, withStore bool, f func(*site) error) error {
	s, err := a.open(ctx, withStore)
	if err != nil {
		return err
	}
	defer s.close()
	return f(s)
}

// devices turns names of arguments into devices; none means all.
func (s *site) devices(names []string) ([]models.DeviceID, error) {
	var out []models.DeviceID
	if len(names) == 0 {
		for _, d := range s.network.Devices {
			out = append(out, d.ID)
		}
		return out, nil
	}
	var unknown []string
	for _, n := range names {
		if _, ok := s.platform[models.DeviceID(n)]; ok {
			out = append(out, models.DeviceID(n))
			continue
		}
		var known []string
		for _, d := range s.network.Devices {
			known = append(known, string(d.ID))
		}
		text := fmt.Sprintf("%q is no device of the inventory", n)
		if near := plan.Nearest(n, known); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		unknown = append(unknown, text)
	}
	if len(unknown) > 0 {
		return nil, errors.New(strings.Join(unknown, "\n"))
	}
	return out, nil
}

// intents loads the files and folders of arguments; none means the folder intents.
func (a *app) intents(paths []string) ([]models.Intent, error) {
	if len(paths) == 0 {
		if !exists("intents") {
			return nil, errors.New("name intent files or folders; without any, the folder intents is read, and there is none")
		}
		paths = []string{"intents"}
	}
	intents, err := inventory.LoadIntents(paths, inventory.Options{AllowPlaintext: a.set.AllowPlaintext})
	if err == nil && len(intents) == 0 {
		// A check of nothing must not be green.
		return nil, fmt.Errorf("%s: there is no mirror intent in it", strings.Join(paths, ", "))
	}
	return intents, err
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// commandLine is what was typed, for the journal. Secrets are never in flags.
func commandLine(cmd *cobra.Command, args []string) string {
	return strings.TrimSpace(cmd.CommandPath() + " " + strings.Join(args, " "))
}

// userFile gives a file below the user's home folder; "" without one.
func userFile(elem ...string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(append([]string{home}, elem...)...)
}
