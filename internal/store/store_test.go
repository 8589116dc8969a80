package store_test

import (
	"path/filepath"
	"testing"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/internal/store/storetest"
)

func open(t testing.TB, path string, o store.Options) *store.DB {
	t.Helper()
	s, err := store.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store { return open(t, store.Memory, store.Options{}) })
	})
	t.Run("file", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) store.Store {
			return open(t, filepath.Join(t.TempDir(), "state.db"), store.Options{})
		})
	})
	t.Run("shared file", func(t *testing.T) {
		storetest.RunShared(t, func(t *testing.T) func() store.Store {
			path := filepath.Join(t.TempDir(), "state.db")
			return func() store.Store { return open(t, path, store.Options{}) }
		})
	})
}
