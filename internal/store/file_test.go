package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

func TestOpenMakesPrivateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b", "100%?#é")
	path := filepath.Join(dir, "state ?mode=memory.db")
	s := open(t, path, store.Options{})
	if err := s.Apply(t.Context(), manyRecords(1), nil); err != nil {
		t.Fatal(err)
	}
	if s.Path() != path || s.ReadOnly() {
		t.Errorf("path %q, read-only %v", s.Path(), s.ReadOnly())
	}
	for _, tt := range []struct {
		path string
		want fs.FileMode
	}{
		{filepath.Dir(dir), 0o700}, {dir, 0o700}, {path, 0o600}, {path + "-wal", 0o600}, {path + "-shm", 0o600},
	} {
		st, err := os.Stat(tt.path)
		if err != nil {
			t.Error(err)
		} else if got := st.Mode().Perm(); got != tt.want {
			t.Errorf("mode of %s is %o, want %o", tt.path, got, tt.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("a closed store leaves %v, %v; want its file alone", names, err)
	}
}

// healthy gives the bytes of a closed store with a few records.
func healthy(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(fill(t, 300))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// otherDatabase gives the bytes of an SQLite file of some other program.
func otherDatabase(t *testing.T, stmts ...string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenRefuses(t *testing.T) {
	good := healthy(t)
	cut := func(n int) []byte { return bytes.Clone(good[:n]) }
	spoil := func(from, n int) []byte {
		b := bytes.Clone(good)
		for i := from; i < from+n; i++ {
			b[i] ^= 0x5a
		}
		return b
	}
	for _, tt := range []struct {
		name string
		give []byte
		want error
		hint string
	}{
		{"empty", nil, store.ErrCorrupt, "restore a copy"},
		{"text", []byte("apiVersion: spanctl/v1\nkind: Mirror\n"), store.ErrCorrupt, "restore a copy"},
		{"cut in the header", cut(50), store.ErrCorrupt, "restore a copy"},
		{"cut in a page", cut(len(good) - 100), store.ErrCorrupt, "restore a copy"},
		{"cut by pages", cut(len(good) / 2 &^ 4095), store.ErrCorrupt, "restore a copy"},
		{"header spoiled", spoil(3, 1), store.ErrCorrupt, "restore a copy"},
		{"page size spoiled", spoil(16, 2), store.ErrCorrupt, "restore a copy"},
		{"schema spoiled", spoil(100, 40), store.ErrCorrupt, "restore a copy"},
		{"a page spoiled", spoil(len(good)-3*4096, 64), store.ErrCorrupt, "restore a copy"},
		{"another program's", otherDatabase(t, `CREATE TABLE moz_places (id INTEGER)`), store.ErrForeign, "another path"},
		{"an empty database", otherDatabase(t, `CREATE TABLE x (y)`, `DROP TABLE x`), store.ErrForeign, "another path"},
		{"newer", otherDatabase(t, `PRAGMA application_id = 0x7370616e`, `CREATE TABLE schema_version (version BIGINT)`,
			`INSERT INTO schema_version VALUES (999)`), store.ErrNewer, "update spanctl"},
	} {
		for _, readOnly := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "state.db")
				if err := os.WriteFile(path, tt.give, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := store.Open(t.Context(), path, store.Options{ReadOnly: readOnly})
				if err == nil {
					_ = s.Close()
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("read-only %v: error %v, want %v", readOnly, err, tt.want)
				}
				if err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), tt.hint)) {
					t.Errorf("error %q lacks the file or %q", err, tt.hint)
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, tt.give) {
					t.Errorf("the file was changed: %d bytes before, %d after, %v", len(tt.give), len(got), err)
				}
			})
		}
	}
}

func TestOpenRefusesOtherThings(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		o          store.Options
		want       error
	}{
		{"a folder", dir, store.Options{}, store.ErrForeign},
		{"below a file", filepath.Join(dir, "file", "state.db"), store.Options{}, nil},
		{"absent, to be read", filepath.Join(dir, "absent"), store.Options{ReadOnly: true}, fs.ErrNotExist},
	} {
		s, err := store.Open(t.Context(), tt.path, tt.o)
		if err == nil {
			_ = s.Close()
		}
		var fe *store.FileError
		if !errors.As(err, &fe) || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want a FileError with %v", tt.name, err, tt.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made a file: %v", err)
	}
}

// TestDamageFoundLater spoils a page of a file too large to be checked when it is
// opened.
func TestDamageFoundLater(t *testing.T) {
	path := fill(t, 20_000)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 5<<20 {
		t.Fatalf("the file has %d bytes, too few for this test", len(b))
	}
	copy(b[len(b)/2&^4095:], bytes.Repeat([]byte{0xff}, 4096))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, store.Options{})
	_, readErr := s.Records(t.Context())
	for name, err := range map[string]error{"check": s.Check(t.Context()), "records": readErr} {
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want ErrCorrupt with the path", name, err)
		}
	}
}

func TestReadOnlyOption(t *testing.T) {
	path := fill(t, 10)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, store.Options{ReadOnly: true})
	checkReadOnly(t, s, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("reading has changed the file, %v", err)
	}
}

// TestReadOnlyBesideWriter reads what another has just written and not yet moved
// from the log to the file.
func TestReadOnlyBesideWriter(t *testing.T) {
	path := fill(t, 10)
	w := open(t, path, store.Options{})
	r := open(t, path, store.Options{ReadOnly: true})
	if err := w.Apply(t.Context(), manyRecords(11), nil); err != nil {
		t.Fatal(err)
	}
	checkReadOnly(t, r, 11)
}

// checkReadOnly wants s to read n records and to refuse every write.
func checkReadOnly(t *testing.T, s *store.DB, n int) {
	t.Helper()
	if !s.ReadOnly() {
		t.Error("the store does not say that it is read-only")
	}
	if got, err := s.Records(t.Context()); err != nil || len(got) != n {
		t.Errorf("%d records, %v; want %d", len(got), err, n)
	}
	if _, err := s.NextEdits(t.Context(), "", "leaf1"); err != nil {
		t.Error(err)
	}
	_, lockErr := s.Lock(t.Context(), "r", []models.DeviceID{"leaf1"})
	for name, err := range map[string]error{
		"lock":   lockErr,
		"apply":  s.Apply(t.Context(), manyRecords(1), nil),
		"begin":  s.Begin(t.Context(), store.Run{ID: "r"}),
		"save":   s.Save(t.Context(), "r", store.Entry{Group: "g", Device: "a", Step: store.Planned}),
		"commit": s.Commit(t.Context(), "r", "g", nil, nil),
		"finish": s.Finish(t.Context(), "r", "done"),
	} {
		if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), s.Path()) || !strings.Contains(err.Error(), "writable for") {
			t.Errorf("%s: error %v, want ErrReadOnly with the file and what to do", name, err)
		}
	}
}

// TestWaitsForOtherWriter holds the write lock of the file for a while.
func TestWaitsForOtherWriter(t *testing.T) {
	path := fill(t, 1)
	s := open(t, path, store.Options{})
	db, err := sql.Open("sqlite", path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	const held = 300 * time.Millisecond
	began := time.Now()
	time.AfterFunc(held, func() { _ = tx.Rollback() })
	if err := s.Apply(t.Context(), manyRecords(2), nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < held {
		t.Errorf("the write took %v, while another held the file for %v", took, held)
	}
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
