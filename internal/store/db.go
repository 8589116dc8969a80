package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a store. The zero value is meant for use.
type Options struct {
	// ReadOnly opens an existing store for reading; every write is ErrReadOnly.
	ReadOnly bool
	// Lease is how long a process whose death cannot be seen counts as alive after
	// its last sign of life, which it gives four times per lease; 0 = one minute.
	// All processes of one store should agree.
	Lease time.Duration
	// Now is the clock; nil = time.Now.
	Now func() time.Time
}

// DB is a Store on an SQLite file, or in memory. Any number of processes of one
// machine may have one file open.
type DB struct {
	path     string
	readOnly bool
	lease    time.Duration
	now      func() time.Time
	scope    string
	id       string // of this opening, in table processes
	db       *sql.DB
	queue    *queue

	registered atomic.Bool // register has run, and perhaps was kept
	beat       sync.Once
	stop       context.CancelFunc // ends what runs in the background
	stopped    context.Context
	running    sync.WaitGroup
	closing    sync.Once
	closeErr   error
}

var _ Store = (*DB)(nil)

// Open opens the store in the file at path, or in memory where path is Memory.
//
// A file that does not exist is made, with mode 0600, and so are the folders
// above, with mode 0700, unless Options.ReadOnly asks for what exists. A store that
// this user cannot write to is opened for reading: ReadOnly tells. A file that is
// damaged, not a store, or from a newer spanctl is an error and is left as it is.
// Errors are *FileError.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	return open(ctx, path, o, migrations)
}

func open(ctx context.Context, path string, o Options, steps [][]string) (*DB, error) {
	if o.Lease <= 0 {
		o.Lease = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &DB{path: path, readOnly: o.ReadOnly, lease: o.Lease, now: o.Now, scope: processScope(), id: rand.Text()}
	var err error
	if path == Memory {
		d.db, err = openMemory(ctx, steps)
	} else {
		if d.path, err = filepath.Abs(path); err != nil {
			return nil, fileError(path, err)
		}
		d.db, d.readOnly, err = openFile(ctx, d.path, o.ReadOnly, steps)
	}
	if err != nil {
		return nil, fileError(path, err)
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		_ = d.db.Close()
		return nil, fileError(path, err)
	}
	d.stopped, d.stop = context.WithCancel(context.Background())
	d.queue = newQueue()
	d.running.Go(func() { write(conn, d.queue) })
	return d, nil
}

// Path gives the absolute path of the file, or Memory.
func (d *DB) Path() string { return d.path }

// ReadOnly reports whether the store was opened for reading only.
func (d *DB) ReadOnly() bool { return d.readOnly }

// Check reads the whole file and gives ErrCorrupt if it is damaged. It takes
// about a second for each 100 MB.
func (d *DB) Check(ctx context.Context) error {
	return d.fail(ctx, check(ctx, d.db, "integrity_check"))
}

// Close implements Store. Calling it again gives the same error.
func (d *DB) Close() error {
	d.closing.Do(func() {
		var err error
		if d.registered.Load() {
			err = d.write(context.Background(), d.unregister)
		}
		d.queue.close()
		d.stop()
		d.running.Wait()
		d.closeErr = errors.Join(err, d.fail(context.Background(), d.db.Close()))
	})
	return d.closeErr
}

// read runs f in a transaction that sees one state of the store.
func (d *DB) read(ctx context.Context, f func(t *tx) error) error {
	if d.path == Memory { // one connection, and it is the writer's
		return d.submit(ctx, f)
	}
	if d.queue.closed() {
		return fileError(d.path, ErrClosed)
	}
	t, err := d.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return d.fail(ctx, err)
	}
	defer func() { _ = t.Rollback() }()
	return d.fail(ctx, f(&tx{ctx: ctx, on: t}))
}

// write runs f in a transaction that is durable when write returns nil. f may be
// run again after a failure, so it must not keep anything from one run to the
// next; it may share its transaction with others. A ctx that ends is noticed until
// f has begun.
func (d *DB) write(ctx context.Context, f func(t *tx) error) error {
	if d.readOnly {
		return fileError(d.path, ErrReadOnly)
	}
	return d.submit(ctx, f)
}

func (d *DB) submit(ctx context.Context, f func(t *tx) error) error {
	return d.fail(ctx, d.queue.do(ctx, f))
}

// fail makes what the database said an error for a user.
func (d *DB) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && (isInterrupted(err) || errors.Is(err, sql.ErrTxDone)):
		return ctx.Err()
	case errors.Is(err, ErrClosed), errors.Is(err, ErrCorrupt), sqliteCode(err) != 0:
		return fileError(d.path, err)
	}
	return err
}
