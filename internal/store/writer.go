package store

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
)

// maxBatch bounds how many writes share one transaction.
const maxBatch = 1024

// job is one write that waits for its transaction.
type job struct {
	ctx   context.Context
	f     func(t *tx) error
	taken atomic.Bool // by the writer, or by the caller who has given up
	err   error       // valid after done
	done  chan struct{}
}

// queue collects writes, so that those that come together share one transaction
// and one fsync: a run on hundreds of devices saves steps from as many goroutines.
type queue struct {
	mu   sync.Mutex
	jobs []*job
	end  bool
	wake chan struct{} // capacity 1
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) do(ctx context.Context, f func(t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{ctx: ctx, f: f, done: make(chan struct{})}
	q.mu.Lock()
	if q.end {
		q.mu.Unlock()
		return ErrClosed
	}
	q.jobs = append(q.jobs, j)
	q.mu.Unlock()
	q.signal()
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		<-j.done
	}
	return j.err
}

// take gives the next jobs, waiting for some, or nil when the queue is closed and
// empty.
func (q *queue) take() []*job {
	for {
		q.mu.Lock()
		n := min(len(q.jobs), maxBatch)
		batch := q.jobs[:n:n]
		q.jobs = q.jobs[n:]
		end := q.end
		q.mu.Unlock()
		if n > 0 || end {
			return batch
		}
		<-q.wake
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.end = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end
}

// write does the jobs of q on conn until q is closed and empty.
func write(conn *sql.Conn, q *queue) {
	stmts := make(map[string]*sql.Stmt)
	defer func() {
		for _, s := range stmts {
			_ = s.Close()
		}
		_ = conn.Close()
	}()
	for {
		batch := q.take()
		if len(batch) == 0 {
			return
		}
		var jobs []*job
		for _, j := range batch {
			if j.taken.CompareAndSwap(false, true) {
				jobs = append(jobs, j)
			}
		}
		runJobs(conn, stmts, jobs)
		for _, j := range jobs {
			close(j.done)
		}
	}
}

// runJobs runs jobs together, and if one fails each for itself.
func runJobs(conn *sql.Conn, stmts map[string]*sql.Stmt, jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	begun, err := transact(conn, stmts, jobs)
	for i, j := range jobs {
		j.err = err
		if err != nil && begun && len(jobs) > 1 {
			_, j.err = transact(conn, stmts, jobs[i:i+1])
		}
	}
}

// transact runs all jobs in one transaction, or none. begun is false when there
// was no way to begin one.
func transact(conn *sql.Conn, stmts map[string]*sql.Stmt, jobs []*job) (begun bool, err error) {
	ctx := context.Background() // the end of one caller is not the end of the others
	if _, err := conn.ExecContext(ctx, beginWrite); err != nil {
		return false, err
	}
	ended := false
	defer func() {
		if !ended {
			// SQLite has rolled back by itself after some errors.
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
		}
	}()
	for _, j := range jobs {
		if err := j.f(&tx{ctx: ctx, caller: j.ctx, on: conn, stmts: stmts}); err != nil {
			return true, err
		}
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return true, err
	}
	ended = true
	return true, nil
}

// tx is a transaction.
type tx struct {
	ctx    context.Context
	caller context.Context // whose end a long write may look at
	on     interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	stmts map[string]*sql.Stmt // prepared on on; nil = do not prepare
}

// exec gives the number of rows that the statement has changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	var r sql.Result
	s, err := t.prepared(query)
	if err != nil {
		return 0, err
	}
	if s != nil {
		r, err = s.ExecContext(t.ctx, args...)
	} else {
		r, err = t.on.ExecContext(t.ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// rows calls f for each row of a query. f must not use the transaction.
func (t *tx) rows(query string, args []any, f func(scan func(...any) error) error) error {
	var rows *sql.Rows
	s, err := t.prepared(query)
	if err != nil {
		return err
	}
	if s != nil {
		rows, err = s.QueryContext(t.ctx, args...)
	} else {
		rows, err = t.on.QueryContext(t.ctx, query, args...)
	}
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// row scans the last row of a query into to, and reports whether there is one. The
// query gives at most one.
func (t *tx) row(query string, args []any, to ...any) (found bool, err error) {
	err = t.rows(query, args, func(scan func(...any) error) error {
		found = true
		return scan(to...)
	})
	return found && err == nil, err
}

func (t *tx) prepared(query string) (*sql.Stmt, error) {
	if t.stmts == nil {
		return nil, nil
	}
	if s := t.stmts[query]; s != nil {
		return s, nil
	}
	s, err := t.on.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, err
	}
	t.stmts[query] = s
	return s, nil
}
