// Package store remembers what must survive a crash: who may change a device
// now (Locks), what is being done to it (Journal), which sessions are ours and
// until when (Records), and how often a device was edited (Edits).
//
// The interfaces are small so that a caller names what it needs. Package
// storetest holds the contract that every implementation must pass. DB is the
// one here, on SQLite; all SQL but that of sqlite.go is plain enough for
// PostgreSQL.
//
// Every write is durable when its call returns. Times are kept in UTC to the
// nanosecond and must lie between the years 1678 and 2262; the zero time.Time is
// kept as well.
package store
