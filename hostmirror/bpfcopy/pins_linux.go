package bpfcopy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
)

// truncationPin is the map that all programs of a namespace share.
const truncationPin = "truncation"

func (h *Host) path(name string) string { return filepath.Join(h.dir, name) }

// unpin takes a name away. It is no error when it is not there.
func (h *Host) unpin(name string) error {
	if err := os.Remove(h.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// pinnedMap opens a map by its pin, or makes and pins it.
func (h *Host) pinnedMap(name string, make func() (*ebpf.Map, error)) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(h.path(name), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	if m, err = make(); err != nil {
		return nil, err
	}
	if err := m.Pin(h.path(name)); err != nil {
		_ = m.Close()
		return nil, fmt.Errorf("pin %s: %w", name, err)
	}
	return m, nil
}

// places lists where something of ours is pinned.
func (h *Host) places() ([]place, error) {
	entries, err := os.ReadDir(h.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []place
	for _, e := range entries {
		if p, _, err := parsePin(e.Name()); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Or(a.ifindex-b.ifindex, cmp.Compare(a.role, b.role)) })
	return out, nil
}
