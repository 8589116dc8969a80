package models

import "time"

// Record is what spanctl remembers of a session that it made or adopted. A
// session is ours only if a record says so; a name alone proves nothing.
type Record struct {
	Session Session   `json:"session"` // as applied, normalized
	Intent  string    `json:"intent"`
	Owner   string    `json:"owner,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires,omitzero"` // zero = never
	Run     string    `json:"run,omitempty"`    // the run that wrote it last
	Adopted bool      `json:"adopted,omitempty"`
	// Saved tells that the session is in the configuration that the device boots with,
	// since spanctl wrote it there; so its removal is to be written, too.
	Saved bool `json:"saved,omitempty"`
}

// ID gives the identity of the session that the record is about.
func (r Record) ID() SessionID { return r.Session.ID() }

// Due reports whether the lease has ended at now.
func (r Record) Due(now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }
