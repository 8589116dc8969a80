package store

import (
	"database/sql"
	"fmt"
	"time"
)

// Times in tables are nanoseconds since 1970 in UTC; NULL is the zero time.

// nanos gives what a table holds for t. A time that does not fit is an error.
func nanos(t time.Time) (sql.NullInt64, error) {
	if t.IsZero() {
		return sql.NullInt64{}, nil
	}
	n := t.UnixNano()
	if !time.Unix(0, n).Equal(t) {
		return sql.NullInt64{}, fmt.Errorf("the time %v cannot be stored: want the years 1678 to 2262", t)
	}
	return sql.NullInt64{Int64: n, Valid: true}, nil
}

func fromNanos(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}
