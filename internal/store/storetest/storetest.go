// Package storetest holds the contract of a store: what every implementation of
// the interfaces of package store must do.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/models"
)

// Run tests one store. open gives a new and empty one each time and closes it
// when t ends.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, s store.Store)
	}{
		{"records", testRecords},
		{"records refused", testRecordsRefused},
		{"records of many devices", testManyRecords},
		{"due", testDue},
		{"journal", testJournal},
		{"latest and unsettled", testLatest},
		{"journal refused", testJournalRefused},
		{"secrets", testSecrets},
		{"commit", testCommit},
		{"commit is all or nothing", testCommitAtomic},
		{"finish", testFinish},
		{"history", testHistory},
		{"locks", testLocks},
		{"edits", testEdits},
		{"export", testExport},
		{"ended ctx", testContext},
		{"closed", testClosed},
		{"many goroutines", testConcurrent},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// RunShared tests what holds between several stores on the same data, as several
// processes have them. each gives, for each test, a function that opens the same
// data again; what it opens is closed when t ends, if the test has not.
func RunShared(t *testing.T, each func(t *testing.T) (open func() store.Store)) {
	for _, tt := range []struct {
		name string
		test func(t *testing.T, open func() store.Store)
	}{
		{"kept", testKept},
		{"seen at once", testSeen},
		{"locked out", testLockedOut},
		{"close gives up locks and runs", testClose},
		{"one of many gets the lock", testRace},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, each(t)) })
	}
}

// at is a time with nanoseconds, in a zone that is not UTC.
var at = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 3600))

// session gives a session with something in every part that a store could lose.
func session(dev models.DeviceID, name string, number int) models.Session {
	return models.Session{
		Device: dev, Name: name, Number: number, Role: models.RoleLocal,
		Sources: []models.Source{
			{Kind: models.SourcePort, Name: "Ethernet1/1", Direction: models.Rx},
			{Kind: models.SourceVLAN, VLAN: 4094, Direction: models.Both},
		},
		Filter: []models.Rule{{Action: models.Exclude, Match: models.Match{
			Proto: "tcp", Dst: models.Prefix{Prefix: netip.MustParsePrefix("2001:db8::/32")}, Dport: []models.Range{{First: 80, Last: 443}}}}},
		FilterName: `acl "<&>` + "\u2028é",
		Destination: models.Destination{Kind: models.DestinationERSPAN, Tunnel: &models.Tunnel{
			Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: 3, Key: 1<<32 - 1}},
		SampleOneIn: 1<<32 - 1,
		Extra:       []string{"  no such line  "},
		Intent:      "ids-dmz",
	}
}

func record(dev models.DeviceID, name string, number int, expires time.Time) models.Record {
	return models.Record{Session: session(dev, name, number), Intent: "ids-dmz", Owner: "secops", Reason: "CHG-1",
		Since: at, Expires: expires, Run: "r1", Adopted: true}
}

func checkpoint(dev models.DeviceID) *drivers.Checkpoint {
	before, after := session(dev, "a", 0), session(dev, "b", 0)
	return &drivers.Checkpoint{
		Device:  dev,
		Changes: models.ChangeSet{Device: dev, Changes: []models.Change{{Op: models.Update, Before: &before, After: &after}}},
		Script: transport.Script{Encoding: transport.CLI, Within: 90 * time.Second,
			Steps:   []transport.Step{{Phase: transport.Enter, Text: "configure session x"}, {Phase: transport.Edit, Text: "a\tb \x01\n", Session: "b", Accept: ".*"}},
			Confirm: []transport.Step{{Phase: transport.Commit, Text: "commit"}},
		},
	}
}

// equal compares values as they are kept: times by their instant.
func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

func begin(t *testing.T, s store.Journal, id string) {
	t.Helper()
	ok(t, s.Begin(t.Context(), store.Run{ID: id, Command: "apply x", Started: at}))
}

// lock takes devices until the test ends.
func lock(t *testing.T, s store.Locks, run string, devices ...models.DeviceID) (release func()) {
	t.Helper()
	give, err := s.Lock(t.Context(), run, devices)
	ok(t, err)
	return func() {
		t.Helper()
		ok(t, give())
	}
}

func save(t *testing.T, s store.Journal, run string, entries ...store.Entry) {
	t.Helper()
	for _, e := range entries {
		ok(t, s.Save(t.Context(), run, e))
	}
}

func testRecords(t *testing.T, s store.Store) {
	got, err := s.Records(t.Context())
	ok(t, err)
	equal(t, "records of an empty store", []models.Record(nil), got)

	b2, b10 := record("b", "", 2, at), record("b", "", 10, time.Time{})
	bx, ax, c := record("b", "x", 7, at), record("a", "x", 0, at), record("c", "Z", 0, at)
	ok(t, s.Apply(t.Context(), []models.Record{c, b10, bx, b2, ax}, nil))
	got, err = s.Records(t.Context())
	ok(t, err)
	equal(t, "all", []models.Record{ax, b2, b10, bx, c}, got)
	if z, _ := got[0].Since.Zone(); z != "UTC" {
		t.Errorf("time zone %q, want UTC", z)
	}
	if !got[2].Expires.IsZero() {
		t.Errorf("expires %v, want never", got[2].Expires)
	}
	got, err = s.Records(t.Context(), "c", "b", "c", "nobody")
	ok(t, err)
	equal(t, "of two devices", []models.Record{b2, b10, bx, c}, got)

	bx.Owner, bx.Session.Number, bx.Expires = "netops", 9, time.Time{} // the number is not part of its identity
	ok(t, s.Apply(t.Context(), []models.Record{bx}, []models.SessionID{
		{Device: "b", Name: "x", Number: 7}, // put wins
		{Device: "b", Number: 2},
		{Device: "c", Name: "z"}, // names differ by case
		{Device: "nobody", Name: "x"},
	}))
	got, err = s.Records(t.Context())
	ok(t, err)
	equal(t, "after a change", []models.Record{ax, b10, bx, c}, got)
	due, err := s.Due(t.Context(), at)
	ok(t, err)
	equal(t, "due after a change", []models.Record{ax, c}, due)
}

func testRecordsRefused(t *testing.T, s store.Store) {
	good := record("a", "good", 0, at)
	far := time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		put  []models.Record
		del  []models.SessionID
	}{
		{"no device", []models.Record{good, record("", "x", 0, at)}, nil},
		{"no session", []models.Record{good, record("a", "", 0, at)}, nil},
		{"delete no session", []models.Record{good}, []models.SessionID{{Device: "a"}}},
		{"delete no device", []models.Record{good}, []models.SessionID{{Name: "a"}}},
		{"expires too late", []models.Record{good, record("a", "x", 0, far)}, nil},
	} {
		if err := s.Apply(t.Context(), tt.put, tt.del); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
	got, err := s.Records(t.Context())
	ok(t, err)
	equal(t, "records after refusals", []models.Record(nil), got)
}

func testManyRecords(t *testing.T, s store.Store) {
	var put []models.Record
	var devices []models.DeviceID
	for i := range 1500 {
		dev := models.DeviceID(fmt.Sprintf("leaf%04d", i))
		devices = append(devices, dev)
		put = append(put, models.Record{Session: models.Session{Device: dev, Number: 1}, Since: at})
	}
	ok(t, s.Apply(t.Context(), put, nil))
	slices.Reverse(devices)
	got, err := s.Records(t.Context(), devices[:1400]...)
	ok(t, err)
	equal(t, "records", put[100:], got)
	edits, err := s.NextEdits(t.Context(), "", devices...)
	ok(t, err)
	if len(edits) != 1500 {
		t.Errorf("%d edit numbers, want 1500", len(edits))
	}
}

func testDue(t *testing.T, s store.Store) {
	early, late, never := record("b", "early", 0, at), record("a", "late", 0, at.Add(1)), record("a", "never", 0, time.Time{})
	past := record("c", "past", 0, time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC))
	ok(t, s.Apply(t.Context(), []models.Record{late, early, never, past}, nil))
	for _, tt := range []struct {
		name string
		now  time.Time
		want []models.Record
	}{
		{"a nanosecond before", at.Add(-1), []models.Record{past}},
		{"at the time", at, []models.Record{early, past}},
		{"a nanosecond after", at.Add(1), []models.Record{late, early, past}},
	} {
		got, err := s.Due(t.Context(), tt.now)
		ok(t, err)
		equal(t, tt.name, tt.want, got)
	}
}

func testJournal(t *testing.T, s store.Store) {
	open, err := s.Open(t.Context())
	ok(t, err)
	if len(open) != 0 {
		t.Errorf("open runs of an empty store: %v", open)
	}
	ok(t, s.Begin(t.Context(), store.Run{ID: "r1", Command: "apply x", User: "alice", Host: "h", PID: 4, Started: at}))
	release := lock(t, s, "r1", "a", "b")
	defer release()
	entries := []store.Entry{
		{Group: "g", Wave: 1, Device: "a", Step: store.Planned, At: at},
		{Group: "g", Wave: 2, Device: "b", Step: store.Planned, At: at.Add(time.Nanosecond)},
		{Group: "g", Wave: 1, Device: "a", Step: store.Sending, Checkpoint: checkpoint("a"), At: at},
		{Group: "g", Wave: 1, Device: "a", Step: store.Applied, At: at},
		{Group: "g", Wave: 2, Device: "b", Step: store.Failed, Err: "rejected: \"x\": % Invalid input", At: at},
	}
	save(t, s, "r1", entries...)
	want := store.RunState{
		Run:     store.Run{ID: "r1", Command: "apply x", User: "alice", Host: "h", PID: 4, Started: at},
		Entries: entries,
	}
	got, err := s.Run(t.Context(), "r1")
	ok(t, err)
	equal(t, "run", want, got)
	open, err = s.Open(t.Context())
	ok(t, err)
	equal(t, "open runs", []store.RunState{want}, open)

	// What the caller leaves out, the store knows.
	ok(t, s.Begin(t.Context(), store.Run{ID: "r0"}))
	save(t, s, "r0", store.Entry{Group: "g", Device: "z", Step: store.Planned})
	got, err = s.Run(t.Context(), "r0")
	ok(t, err)
	if got.User == "" || got.Host == "" || got.PID == 0 || got.Started.IsZero() || got.Entries[0].At.IsZero() {
		t.Errorf("the store left something empty: %+v", got)
	}
	open, err = s.Open(t.Context())
	ok(t, err)
	if len(open) != 2 || open[0].ID != "r1" || open[1].ID != "r0" {
		t.Errorf("open runs are not sorted by their start: %v", open)
	}
}

func testLatest(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release := lock(t, s, "r", "a", "b", "c", "d", "e")
	defer release()
	e := func(dev models.DeviceID, steps ...store.Step) {
		for _, st := range steps {
			entry := store.Entry{Group: "g", Device: dev, Step: st, At: at}
			if st == store.Sending {
				entry.Checkpoint = checkpoint(dev)
			}
			save(t, s, "r", entry)
		}
	}
	e("a", store.Planned, store.Sending, store.Failed) // something may be left: not settled
	e("b", store.Planned, store.Failed)                // nothing was sent
	e("c", store.Planned, store.Sending, store.Applied, store.Reverting, store.Reverted)
	e("d", store.Planned, store.Sending, store.InDoubt)
	e("e", store.Planned, store.Sending, store.InDoubt, store.Abandoned)
	st, err := s.Run(t.Context(), "r")
	ok(t, err)
	entry := func(dev models.DeviceID, step store.Step, cp *drivers.Checkpoint) store.Entry {
		return store.Entry{Group: "g", Device: dev, Step: step, Checkpoint: cp, At: at}
	}
	a, d := entry("a", store.Failed, checkpoint("a")), entry("d", store.InDoubt, checkpoint("d"))
	equal(t, "latest", []store.Entry{
		a,
		entry("b", store.Failed, nil),
		entry("c", store.Reverted, checkpoint("c")),
		d,
		entry("e", store.Abandoned, checkpoint("e")),
	}, st.Latest())
	equal(t, "unsettled", []store.Entry{a, d}, st.Unsettled())
}

func testJournalRefused(t *testing.T, s store.Store) {
	begin(t, s, "r")
	wantErr(t, "begin twice", s.Begin(t.Context(), store.Run{ID: "r", Command: "other"}), store.ErrExists)
	if err := s.Begin(t.Context(), store.Run{}); err == nil {
		t.Error("a run without an id: no error")
	}
	_, err := s.Run(t.Context(), "nobody")
	wantErr(t, "run", err, store.ErrNoRun)
	wantErr(t, "finish", s.Finish(t.Context(), "nobody", "done"), store.ErrNoRun)
	wantErr(t, "commit", s.Commit(t.Context(), "nobody", "g", nil, nil), store.ErrNoRun)
	planned := store.Entry{Group: "g", Device: "a", Step: store.Planned}
	wantErr(t, "save", s.Save(t.Context(), "nobody", planned), store.ErrNoRun)

	cp := checkpoint("a")
	for _, tt := range []struct {
		name string
		give store.Entry
	}{
		{"no step", store.Entry{Group: "g", Device: "a"}},
		{"unknown step", store.Entry{Group: "g", Device: "a", Step: 99}},
		{"no device", store.Entry{Group: "g", Step: store.Planned}},
		{"no group", store.Entry{Device: "a", Step: store.Planned}},
		{"another device's checkpoint", store.Entry{Group: "g", Device: "b", Step: store.Planned, Checkpoint: cp}},
	} {
		if err := s.Save(t.Context(), "r", tt.give); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
	for _, step := range []store.Step{store.Sending, store.Confirming, store.Reverting} {
		e := store.Entry{Group: "g", Device: "a", Step: step, Checkpoint: cp}
		wantErr(t, step.String()+" without the lock", s.Save(t.Context(), "r", e), store.ErrNotLocked)
	}
	release := lock(t, s, "r", "a", "b")
	for _, step := range []store.Step{store.Sending, store.Confirming, store.Reverting} {
		e := store.Entry{Group: "g", Device: "a", Step: step}
		wantErr(t, step.String()+" without a checkpoint", s.Save(t.Context(), "r", e), store.ErrNoCheckpoint)
	}
	planned.Checkpoint = cp
	save(t, s, "r", planned, store.Entry{Group: "g", Device: "a", Step: store.Sending})
	wantErr(t, "another group's checkpoint", s.Save(t.Context(), "r", store.Entry{Group: "h", Device: "a", Step: store.Sending}), store.ErrNoCheckpoint)
	wantErr(t, "another device's checkpoint", s.Save(t.Context(), "r", store.Entry{Group: "g", Device: "b", Step: store.Sending}), store.ErrNoCheckpoint)
	release()
	wantErr(t, "confirming after release", s.Save(t.Context(), "r", store.Entry{Group: "g", Device: "a", Step: store.Confirming}), store.ErrNotLocked)

	st, err := s.Run(t.Context(), "r")
	ok(t, err)
	if len(st.Entries) != 2 {
		t.Errorf("%d entries after refusals, want 2: %v", len(st.Entries), st.Entries)
	}
}

func testSecrets(t *testing.T, s store.Store) {
	const secret = "hunter2"
	begin(t, s, "r")
	cp := checkpoint("a")
	cp.Script.Steps[1].Text, cp.Script.Steps[1].Secret = secret, true
	save(t, s, "r", store.Entry{Group: "g", Device: "a", Step: store.Planned, Checkpoint: cp})
	if cp.Script.Steps[1].Text != secret {
		t.Error("the caller's checkpoint was changed")
	}
	for name, steps := range map[string]func(*transport.Script) *[]transport.Step{
		"confirm": func(s *transport.Script) *[]transport.Step { return &s.Confirm },
		"cancel":  func(s *transport.Script) *[]transport.Step { return &s.Cancel },
		"discard": func(s *transport.Script) *[]transport.Step { return &s.Discard },
		"restore": func(s *transport.Script) *[]transport.Step { return &s.Restore },
		"forget":  func(s *transport.Script) *[]transport.Step { return &s.Forget },
		"save":    func(s *transport.Script) *[]transport.Step { return &s.Save },
	} {
		cp := checkpoint("a")
		*steps(&cp.Script) = []transport.Step{{Text: secret, Secret: true}}
		err := s.Save(t.Context(), "r", store.Entry{Group: "g", Device: "a", Step: store.Planned, Checkpoint: cp})
		wantErr(t, name, err, store.ErrSecret)
		if err != nil && bytes.Contains([]byte(err.Error()), []byte(secret)) {
			t.Errorf("%s: the error tells the secret", name)
		}
	}
	var b bytes.Buffer
	ok(t, s.Export(t.Context(), &b))
	if bytes.Contains(b.Bytes(), []byte(secret)) {
		t.Errorf("the store holds the secret:\n%s", &b)
	}
	if !bytes.Contains(b.Bytes(), []byte("configure session x")) {
		t.Errorf("the script is not there:\n%s", &b)
	}
}

func testCommit(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release := lock(t, s, "r", "a", "b", "c", "d", "e", "f")
	for _, dev := range []models.DeviceID{"a", "b", "c", "d", "e"} {
		save(t, s, "r", store.Entry{Group: "g", Wave: 3, Device: dev, Step: store.Sending, Checkpoint: checkpoint(dev)})
	}
	save(t, s, "r",
		store.Entry{Group: "g", Wave: 3, Device: "a", Step: store.Applied},
		store.Entry{Group: "g", Wave: 3, Device: "b", Step: store.Verified},
		store.Entry{Group: "g", Wave: 3, Device: "c", Step: store.Confirming},
		store.Entry{Group: "g", Wave: 3, Device: "d", Step: store.InDoubt},
		store.Entry{Group: "g", Device: "f", Step: store.Planned},
		store.Entry{Group: "other", Device: "a", Step: store.Sending, Checkpoint: checkpoint("a")},
		store.Entry{Group: "other", Device: "a", Step: store.Applied},
	)
	old, fresh := record("a", "old", 0, at), record("a", "new", 0, at)
	ok(t, s.Apply(t.Context(), []models.Record{old}, nil))
	ok(t, s.Commit(t.Context(), "r", "g", []models.Record{fresh}, []models.SessionID{old.ID()}))
	got, err := s.Records(t.Context())
	ok(t, err)
	equal(t, "records", []models.Record{fresh}, got)
	st, err := s.Run(t.Context(), "r")
	ok(t, err)
	type step struct {
		Group string
		Wave  int
		Dev   models.DeviceID
		Step  store.Step
	}
	var steps []step
	for _, e := range st.Latest() {
		steps = append(steps, step{e.Group, e.Wave, e.Device, e.Step})
	}
	equal(t, "steps", []step{
		{"g", 3, "a", store.Confirmed}, {"g", 3, "b", store.Confirmed}, {"g", 3, "c", store.Confirmed},
		{"g", 3, "d", store.InDoubt}, {"g", 3, "e", store.Sending}, {"g", 0, "f", store.Planned},
		{"other", 0, "a", store.Applied},
	}, steps)
	// Again: nothing more to confirm, and the lock is not needed for what is done.
	release()
	ok(t, s.Commit(t.Context(), "r", "g", nil, nil))
	again, err := s.Run(t.Context(), "r")
	ok(t, err)
	equal(t, "second commit", st, again)
	// A group that touched no device may have records.
	ok(t, s.Commit(t.Context(), "r", "empty", []models.Record{old}, nil))
	got, err = s.Records(t.Context())
	ok(t, err)
	equal(t, "records", []models.Record{fresh, old}, got)
}

func testCommitAtomic(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release := lock(t, s, "r", "a", "b")
	for _, dev := range []models.DeviceID{"a", "b"} {
		save(t, s, "r",
			store.Entry{Group: "g", Device: dev, Step: store.Sending, Checkpoint: checkpoint(dev)},
			store.Entry{Group: "g", Device: dev, Step: store.Applied})
	}
	release()
	release = lock(t, s, "r", "a") // not b
	defer release()
	before, err := s.Run(t.Context(), "r")
	ok(t, err)
	for _, tt := range []struct {
		name string
		put  models.Record
		want error
	}{
		{"a lock is gone", record("a", "new", 0, at), store.ErrNotLocked},
		{"a bad record", record("a", "", 0, at), nil},
	} {
		err := s.Commit(t.Context(), "r", "g", []models.Record{record("a", "x", 0, at), tt.put}, nil)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
		after, err := s.Run(t.Context(), "r")
		ok(t, err)
		equal(t, tt.name+": run", before, after)
		got, err := s.Records(t.Context())
		ok(t, err)
		equal(t, tt.name+": records", []models.Record(nil), got)
	}
}

func testFinish(t *testing.T, s store.Store) {
	begin(t, s, "r")
	release := lock(t, s, "r", "a")
	defer release()
	save(t, s, "r",
		store.Entry{Group: "g", Device: "b", Step: store.Planned},
		store.Entry{Group: "g", Device: "a", Step: store.Sending, Checkpoint: checkpoint("a")})
	for _, step := range []store.Step{store.Applied, store.Verified, store.Confirming, store.Reverting, store.Failed, store.InDoubt} {
		save(t, s, "r", store.Entry{Group: "g", Device: "a", Step: step})
		var ue *store.UnsettledError
		if err := s.Finish(t.Context(), "r", "done"); !errors.As(err, &ue) {
			t.Errorf("finish after %v: error %v, want an UnsettledError", step, err)
		} else if len(ue.Entries) != 1 || ue.Entries[0].Device != "a" || ue.Entries[0].Step != step {
			t.Errorf("finish after %v: unsettled %v", step, ue.Entries)
		}
	}
	save(t, s, "r", store.Entry{Group: "g", Device: "a", Step: store.Reverted})
	ok(t, s.Finish(t.Context(), "r", "reverted"))
	open, err := s.Open(t.Context())
	ok(t, err)
	if len(open) != 0 {
		t.Errorf("open runs: %v", open)
	}
	st, err := s.Run(t.Context(), "r")
	ok(t, err)
	if st.Outcome != "reverted" || st.Finished.IsZero() || st.Interrupted {
		t.Errorf("finished run: %+v", st.Run)
	}
	wantErr(t, "finish", s.Finish(t.Context(), "r", "again"), store.ErrFinished)
	wantErr(t, "save", s.Save(t.Context(), "r", store.Entry{Group: "g", Device: "a", Step: store.Planned}), store.ErrFinished)
	wantErr(t, "commit", s.Commit(t.Context(), "r", "g", []models.Record{record("a", "x", 0, at)}, nil), store.ErrFinished)
	got, err := s.Records(t.Context())
	ok(t, err)
	equal(t, "records", []models.Record(nil), got)
}

func testHistory(t *testing.T, s store.Store) {
	for i, r := range []struct {
		id, group string
		devices   []models.DeviceID
	}{
		{"r1", "g", []models.DeviceID{"a", "b"}},
		{"r3", "h", []models.DeviceID{"a"}},
		{"r2", "g", []models.DeviceID{"b"}},
		{"r4", "", nil},
	} {
		ok(t, s.Begin(t.Context(), store.Run{ID: r.id, Started: at.Add(time.Duration(i))}))
		for _, dev := range r.devices {
			e := store.Entry{Group: r.group, Device: dev, Step: store.Planned}
			save(t, s, r.id, e, e)
		}
	}
	ok(t, s.Finish(t.Context(), "r1", "done"))
	for _, tt := range []struct {
		name string
		give store.Filter
		want []string
	}{
		{"all", store.Filter{}, []string{"r4", "r2", "r3", "r1"}},
		{"limit", store.Filter{Limit: 2}, []string{"r4", "r2"}},
		{"device", store.Filter{Device: "a"}, []string{"r3", "r1"}},
		{"intent", store.Filter{Intent: "g"}, []string{"r2", "r1"}},
		{"both", store.Filter{Intent: "g", Device: "a"}, []string{"r1"}},
		{"both, each in another entry", store.Filter{Intent: "h", Device: "b"}, nil},
		{"device and limit", store.Filter{Device: "b", Limit: 1}, []string{"r2"}},
		{"nobody", store.Filter{Device: "nobody"}, nil},
	} {
		runs, err := s.History(t.Context(), tt.give)
		ok(t, err)
		var ids []string
		for _, r := range runs {
			ids = append(ids, r.ID)
		}
		equal(t, tt.name, tt.want, ids)
	}
}
