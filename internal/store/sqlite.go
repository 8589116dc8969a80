package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// All that is peculiar to SQLite is in this file: how a file is made, opened and
// checked, and what its errors mean.

// Memory is the path of a store that is kept in memory and gone when it is
// closed.
const Memory = ":memory:"

const (
	// applicationID marks an SQLite file as ours (PRAGMA application_id): "span".
	applicationID = 0x7370616e
	// fileHeader begins every SQLite file, https://www.sqlite.org/fileformat2.html.
	fileHeader = "SQLite format 3\x00"
	// checkBytes is the size up to which a file is checked as a whole when it is
	// opened; see Check for larger ones.
	checkBytes = 4 << 20
	busyMillis = 15_000
	// beginWrite begins a transaction that writes. It never begins as a reader, which
	// could find itself too late to write.
	beginWrite = "BEGIN IMMEDIATE"
)

// openFile opens the database file at path, which it makes if need be. readOnly
// is given back as true also where only the file system wants it.
func openFile(ctx context.Context, path string, readOnly bool, steps [][]string) (db *sql.DB, ro bool, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !readOnly {
		if err := create(ctx, path, steps); err != nil {
			return nil, false, fileError(path, err)
		}
	}
	size, err := checkHeader(path)
	if err != nil {
		return nil, false, fileError(path, err)
	}
	if !readOnly && writable(path) {
		db, err = connect(ctx, path, "rw")
		if err == nil {
			if err = checkFile(ctx, db, size); err == nil {
				err = migrate(ctx, db, steps)
			}
			if err == nil {
				return db, false, nil
			}
			_ = db.Close()
		}
		if !isReadOnly(err) {
			return nil, false, fileError(path, err)
		}
	}
	db, err = connect(ctx, path, "ro")
	if err != nil && isReadOnly(err) {
		// Without a place for its side files SQLite reads only a file that is at rest.
		if _, walErr := os.Stat(path + "-wal"); errors.Is(walErr, fs.ErrNotExist) {
			db, err = connect(ctx, path, "ro&immutable=1")
		}
	}
	if err != nil {
		return nil, false, fileError(path, err)
	}
	if err = checkFile(ctx, db, size); err == nil {
		var version int
		if version, err = schemaVersion(ctx, db, len(steps)); err == nil && version < len(steps) {
			err = fmt.Errorf("%w, and an older spanctl wrote it", ErrReadOnly)
		}
	}
	if err != nil {
		_ = db.Close()
		return nil, false, fileError(path, err)
	}
	return db, true, nil
}

// openMemory gives a database in memory. It has one connection: another would be
// another database.
func openMemory(ctx context.Context, steps [][]string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", Memory+"?"+parameters("").Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxLifetime(0)
	if err := migrate(ctx, db, steps); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func parameters(mode string) url.Values {
	v := url.Values{
		"_pragma": {
			fmt.Sprintf("busy_timeout(%d)", busyMillis),
			"foreign_keys(1)",
			"synchronous(FULL)",
			"fullfsync(1)", // macOS: fsync alone leaves data in the disk's cache
			"trusted_schema(0)",
			"cell_size_check(1)",
		},
		"_txlock":    {"immediate"}, // as beginWrite
		"_dqs":       {"0"},
		"_defensive": {"1"},
		"_error_rc":  {"1"},
	}
	if mode != "" {
		v.Set("mode", mode)
	}
	return v
}

// connect opens path in an SQLite mode and reads from it once.
func connect(ctx context.Context, path, mode string) (*sql.DB, error) {
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // C:/…
	}
	mode, immutable := strings.CutSuffix(mode, "&immutable=1")
	v := parameters(mode)
	if immutable {
		v.Set("immutable", "1")
	}
	db, err := sql.Open("sqlite", "file://"+(&url.URL{Path: name}).EscapedPath()+"?"+v.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	var n int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_master`).Scan(&n); err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// create makes a store at path. It becomes visible as a whole or not at all, and
// a file that appears there meanwhile is kept: so that a store is never empty,
// and an empty file is known to be a damaged one.
func create(ctx context.Context, path string, steps [][]string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return err
	}
	if err := initialize(ctx, f.Name(), steps); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func initialize(ctx context.Context, path string, steps [][]string) error {
	db, err := connect(ctx, path, "rw")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if err := migrate(ctx, db, steps); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID)); err != nil {
		return err
	}
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system cannot hold a write-ahead log (journal mode %q)", mode)
	}
	return db.Close() // checkpoints: the side files are gone
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// checkHeader looks at the file without letting SQLite touch it, and gives its
// size in bytes.
func checkHeader(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, fmt.Errorf("%w: it is not a regular file", ErrForeign)
	}
	head := make([]byte, len(fileHeader)+2)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, fmt.Errorf("%w: it has %d bytes", ErrCorrupt, st.Size())
	}
	if !bytes.HasPrefix(head, []byte(fileHeader)) {
		return 0, fmt.Errorf("%w, or it is not a store: it does not begin as one", ErrCorrupt)
	}
	// Bytes 16 and 17 are the size of a page; 1 stands for 65536. A power cut may leave
	// part of a page at the end, and the log then has all of it.
	pageSize := int64(binary.BigEndian.Uint16(head[16:]))
	if pageSize == 1 {
		pageSize = 1 << 16
	}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) && pageSize > 0 && st.Size()%pageSize != 0 {
		return 0, fmt.Errorf("%w: its end is cut off", ErrCorrupt)
	}
	return st.Size(), nil
}

// checkFile tells a store from another program's database, and a sound one from a
// damaged one. Of a file beyond checkBytes only the beginning is looked at, and
// that it is not cut (which SQLite does), since the rest would take long.
func checkFile(ctx context.Context, db *sql.DB, size int64) error {
	var id int64
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return err
	}
	if id != applicationID {
		return fmt.Errorf("%w, but another program's database", ErrForeign)
	}
	if size > checkBytes {
		return nil
	}
	return check(ctx, db, "quick_check")
}

// check runs PRAGMA quick_check or integrity_check.
func check(ctx context.Context, db *sql.DB, pragma string) error {
	var result string
	if err := db.QueryRowContext(ctx, `PRAGMA `+pragma+`(1)`).Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", ErrCorrupt, strings.TrimSpace(result))
	}
	return nil
}

// writable reports whether the file can be written to. SQLite itself tells
// whether its side files can be made.
func writable(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

func sqliteCode(err error) int {
	var se *sqlite.Error
	if errors.As(err, &se) {
		return se.Code() & 0xff
	}
	return sqlite3.SQLITE_OK
}

func isReadOnly(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return true
	}
	return errors.Is(err, ErrReadOnly)
}

// isInterrupted reports whether err is what SQLite says when a ctx has ended.
func isInterrupted(err error) bool { return sqliteCode(err) == sqlite3.SQLITE_INTERRUPT }

// fileError makes an error that names the file and what to do. nil stays nil, and
// so does what is a FileError already.
func fileError(path string, err error) error {
	if err == nil {
		return nil
	}
	var have *FileError
	if errors.As(err, &have) {
		return err
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		err = fmt.Errorf("%w: %w", ErrReadOnly, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	e := &FileError{Path: path, Err: err}
	switch {
	case errors.Is(err, ErrCorrupt):
		e.Hint = "it was left as it is; restore a copy, or move it away with its -wal and -shm files to begin a new one: " +
			"sessions on the devices are then nobody's until they are imported"
	case errors.Is(err, ErrForeign):
		e.Hint = "it was left as it is; choose another path for the store"
	case errors.Is(err, ErrNewer):
		e.Hint = "it was left as it is; update spanctl"
	case errors.Is(err, ErrReadOnly), errors.Is(err, fs.ErrPermission):
		e.Hint = "make the file, its -wal and -shm files and its folder writable for " + userName() + ", or choose another path for the store"
	case errors.Is(err, ErrBusy):
		e.Hint = fmt.Sprintf("another spanctl has been writing for %d s; try again", busyMillis/1000)
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "nothing was recorded there yet; check the path of the store"
	case sqliteCode(err) == sqlite3.SQLITE_FULL:
		e.Hint = "nothing of this write was kept; make room on the disk"
	}
	return e
}
