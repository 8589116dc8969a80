package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// Store is everything at once, for who opens and closes it. Users of a store ask
// for the one or two interfaces that they need. All methods may be called from
// many goroutines.
type Store interface {
	Locks
	Journal
	Records
	Edits
	// Export writes everything that the store knows as JSON, one Line per line:
	// runs in the order of their start, each followed by its entries, then the
	// records, sorted.
	Export(ctx context.Context, w io.Writer) error
	// Close gives up the locks of this store. Runs that it has begun and not
	// finished are from then on interrupted ones.
	Close() error
}

// Locks gives the right to change devices.
type Locks interface {
	// Lock takes all devices or none, and does not wait. A device that somebody
	// else has, or this store under whatever run, is a *LockedError with every such
	// device. Locks of a dead process are taken over: at once where its death can be
	// seen (same kernel), else when it has given no sign of life for the lease.
	//
	// release gives the devices back; its error is ErrLockLost when another process
	// took one over in the meantime. Calling it again does nothing.
	Lock(ctx context.Context, run string, devices []models.DeviceID) (release func() error, err error)
	// Locked gives the devices that are locked now, sorted; also those that a dead
	// process left behind.
	Locked(ctx context.Context) ([]Lock, error)
}

// Lock is one locked device.
type Lock struct {
	Device models.DeviceID `json:"device"`
	Run    string          `json:"run"`
	Since  time.Time       `json:"since"`
	Holder Process         `json:"holder"`
}

// Process is a spanctl that has, or had, a store open.
type Process struct {
	User string    `json:"user"`
	Host string    `json:"host"`
	PID  int       `json:"pid"`
	Seen time.Time `json:"seen,omitzero"` // last sign of life
	Dead bool      `json:"dead"`          // it is certain, or taken for certain after the lease, that it runs no more
}

// Journal is what was about to be done, is being done and was done.
type Journal interface {
	// Begin opens a run, before any device is touched. User, Host and PID are set by
	// the store where empty, Started too. An id that exists is ErrExists.
	Begin(ctx context.Context, run Run) error
	// Save adds one step of one device to an open run. An entry whose Step is about
	// to talk to the device (Step.Touches) is refused with ErrNotLocked unless this
	// store holds the lock of the device, and with ErrNoCheckpoint unless this entry
	// or an earlier one of the same run, group and device has a checkpoint.
	//
	// No secret is stored: the text of a secret step in Script.Steps is left out. A
	// secret step in Confirm, Cancel or Discard is refused, since the way back would
	// be useless without it.
	Save(ctx context.Context, run string, e Entry) error
	// Commit ends one group of an open run in one transaction: it writes put, deletes
	// del, and adds the step Confirmed to every device of the group whose last step is
	// Applied, Verified or Confirming. Devices that went another way, such as InDoubt,
	// stay what they are. The locks of the confirmed devices must be held, else
	// ErrNotLocked. A record that is both in put and in del is put.
	Commit(ctx context.Context, run, group string, put []models.Record, del []models.SessionID) error
	// Finish closes a run. It is an *UnsettledError while a device of the run may
	// hold something that no person and no record knows of: such a run stays open,
	// for recover to find.
	Finish(ctx context.Context, run, outcome string) error
	// Open gives the runs that are not finished, oldest first, with their entries.
	// Those with Interrupted set have lost their process; the others are at work.
	Open(ctx context.Context) ([]RunState, error)
	// Run gives one run with its entries, or ErrNoRun.
	Run(ctx context.Context, id string) (RunState, error)
	// History gives runs, newest first.
	History(ctx context.Context, f Filter) ([]Run, error)
}

// Records is what is ours.
type Records interface {
	// Records gives the records of devices, or all when none is given, sorted by
	// device, name and number.
	Records(ctx context.Context, devices ...models.DeviceID) ([]models.Record, error)
	// Apply writes put and deletes del, all or nothing. Deleting what is not there
	// is no error. A record that is both in put and in del is put.
	Apply(ctx context.Context, put []models.Record, del []models.SessionID) error
	// Due gives the records whose lease has ended at now, sorted as in Records.
	Due(ctx context.Context, now time.Time) ([]models.Record, error)
}

// Edits numbers the edits of a device, so that what is named after them differs
// from run to run.
type Edits interface {
	// NextEdits gives, per device, the number (from 1) that an edit of run has: one
	// more than the number of other runs that have touched the device, that is, have
	// saved a step that Touches it. run may be "", or one that is not begun: a plan
	// and the apply that follows it see the same number if no other run came between.
	NextEdits(ctx context.Context, run string, devices ...models.DeviceID) (map[models.DeviceID]int64, error)
}

// Run is one execution of a command that changes devices.
type Run struct {
	ID       string    `json:"id"`
	Command  string    `json:"command"` // as typed; it holds no secret
	User     string    `json:"user"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"` // zero = not yet
	Outcome  string    `json:"outcome,omitempty"` // as given to Finish
}

// Entry is one step of one device in one group of a run.
type Entry struct {
	Group  string          `json:"group"` // name of the intent
	Wave   int             `json:"wave"`
	Device models.DeviceID `json:"device"`
	Step   Step            `json:"step"`
	// Checkpoint is kept with the entry that first brings it; entries that are read
	// back have it only there, except those of RunState.Latest.
	Checkpoint *drivers.Checkpoint `json:"checkpoint,omitempty"`
	Err        string              `json:"err,omitempty"` // secrets removed
	At         time.Time           `json:"at"`            // zero when saving = now
}

// Filter chooses runs. Its zero value chooses all.
type Filter struct {
	Limit  int             // at most so many, newest first; 0 = no limit
	Device models.DeviceID // only runs with an entry of the device
	Intent string          // only runs with an entry of the group
}

// RunState is a run with its entries, in the order in which they were saved.
type RunState struct {
	Run
	Interrupted bool    `json:"interrupted"` // not finished, and its process is gone
	Entries     []Entry `json:"entries"`
}

// Latest gives the last entry of each group and device, in the order in which
// these first appeared, with the checkpoint that holds for it.
func (s RunState) Latest() []Entry {
	type key struct {
		group  string
		device models.DeviceID
	}
	at := make(map[key]int)
	var out []Entry
	for _, e := range s.Entries {
		k := key{e.Group, e.Device}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, e)
			continue
		}
		if e.Checkpoint == nil {
			e.Checkpoint = out[i].Checkpoint
		}
		out[i] = e
	}
	return out
}

// Unsettled gives the entries of Latest whose device may hold something that is
// neither recorded nor taken back, in the order of Latest.
func (s RunState) Unsettled() []Entry {
	type key struct {
		group  string
		device models.DeviceID
	}
	open := make(map[key]bool)
	for _, e := range s.Entries {
		k := key{e.Group, e.Device}
		open[k] = unsettled(open[k], e.Step)
	}
	var out []Entry
	for _, e := range s.Latest() {
		if open[key{e.Group, e.Device}] {
			out = append(out, e)
		}
	}
	return out
}

// unsettled tells whether a device is unsettled after step s, given that it was
// or was not before. A failure settles nothing: before anything was sent there is
// nothing to settle, after it the device must be looked at.
func unsettled(before bool, s Step) bool {
	switch s {
	case Confirmed, Reverted, Abandoned:
		return false
	case Planned, Failed:
		return before
	}
	return true
}

// Line is one line of an export. One of the fields beside Kind is set.
type Line struct {
	Kind   string         `json:"kind"` // "run", "entry" or "record"
	Run    *Run           `json:"run,omitempty"`
	Entry  *ExportedEntry `json:"entry,omitempty"`
	Record *models.Record `json:"record,omitempty"`
}

// ExportedEntry is an entry and the id of its run.
type ExportedEntry struct {
	Run string `json:"run"`
	Entry
}

// NewRunID gives an id that no other run has and that sorts by time, such as
// "20260102T150405Z-9f86d081".
func NewRunID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}
