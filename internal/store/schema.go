package store

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations lead from one version of the schema to the next: the statements of
// migrations[i] make version i+1. A released one is never changed. They are plain
// SQL; times are nanoseconds since 1970 in UTC, NULL for the zero time.Time.
var migrations = [][]string{
	{
		// Stores that are, or were, open for writing: one row per opening.
		`CREATE TABLE processes (
			id        TEXT   NOT NULL PRIMARY KEY,
			login     TEXT   NOT NULL,
			host      TEXT   NOT NULL,
			pid       BIGINT NOT NULL,
			scope     TEXT   NOT NULL,
			pid_start BIGINT NOT NULL,
			seen      BIGINT NOT NULL
		)`,
		`CREATE TABLE locks (
			device  TEXT   NOT NULL PRIMARY KEY,
			run     TEXT   NOT NULL,
			process TEXT   NOT NULL REFERENCES processes (id),
			token   TEXT   NOT NULL,
			since   BIGINT NOT NULL
		)`,
		`CREATE INDEX locks_token ON locks (token)`,
		`CREATE INDEX locks_process ON locks (process)`,
		`CREATE TABLE runs (
			id       TEXT   NOT NULL PRIMARY KEY,
			command  TEXT   NOT NULL,
			login    TEXT   NOT NULL,
			host     TEXT   NOT NULL,
			pid      BIGINT NOT NULL,
			process  TEXT   NOT NULL,
			started  BIGINT NOT NULL,
			finished BIGINT,
			outcome  TEXT   NOT NULL,
			last_seq BIGINT NOT NULL
		)`,
		`CREATE INDEX runs_started ON runs (started)`,
		`CREATE INDEX runs_open ON runs (started) WHERE finished IS NULL`,
		`CREATE TABLE entries (
			run        TEXT   NOT NULL REFERENCES runs (id),
			seq        BIGINT NOT NULL,
			intent     TEXT   NOT NULL,
			wave       BIGINT NOT NULL,
			device     TEXT   NOT NULL,
			step       TEXT   NOT NULL,
			checkpoint TEXT,
			err        TEXT   NOT NULL,
			saved      BIGINT NOT NULL,
			PRIMARY KEY (run, seq)
		)`,
		`CREATE INDEX entries_device ON entries (device, run)`,
		`CREATE INDEX entries_intent ON entries (intent, run, seq)`,
		`CREATE TABLE records (
			device  TEXT   NOT NULL,
			name    TEXT   NOT NULL,
			number  BIGINT NOT NULL,
			expires BIGINT,
			body    TEXT   NOT NULL,
			PRIMARY KEY (device, name, number)
		)`,
		`CREATE INDEX records_expires ON records (expires) WHERE expires IS NOT NULL`,
		`CREATE TABLE edits (
			device TEXT   NOT NULL PRIMARY KEY,
			number BIGINT NOT NULL,
			run    TEXT   NOT NULL
		)`,
	},
}

// migrate brings the schema from its version to the last of steps, in one
// transaction. Two processes may do so at once.
func migrate(ctx context.Context, db *sql.DB, steps [][]string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)`); err != nil {
		return err
	}
	version, err := schemaVersion(ctx, tx, len(steps))
	if err != nil {
		return err
	}
	for i := version; i < len(steps); i++ {
		for _, stmt := range steps[i] {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return fmt.Errorf("schema %d: %w", i+1, err)
			}
		}
	}
	if version == len(steps) {
		return nil
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM schema_version`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_version (version) VALUES ($1)`, len(steps)); err != nil {
		return err
	}
	return tx.Commit()
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// schemaVersion reads the version of the schema: 0 where nothing is there yet. A
// version beyond known is ErrNewer.
func schemaVersion(ctx context.Context, q queryer, known int) (int, error) {
	var version int
	if err := q.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version); err != nil {
		return 0, err
	}
	if version > known {
		return 0, fmt.Errorf("%w: its schema is %d, this spanctl knows %d", ErrNewer, version, known)
	}
	return version, nil
}
