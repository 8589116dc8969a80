package hostkeep

import (
	"fmt"
	"slices"
	"time"

	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// Input is what [Decide] decides from.
type Input struct {
	Device  models.DeviceID
	Network *models.Network
	Intents []models.Intent // of files; may be about other devices
	Records []models.Record // of all devices
	// Ended are sessions that the host no longer has because their lease ended, by
	// intent; see EndedLeases.
	Ended map[string]models.Record
	// Check works out the sessions of intents with no device in reach.
	Check func([]models.Intent) ([]models.Session, []plan.Note, models.Findings)
	// Remove are names of intents to take away, whatever else says of them.
	Remove []string
	Now    time.Time
}

// Decision is what the host shall have.
type Decision struct {
	Intents []models.Intent // to be there; leases end at points in time
	Remove  []string        // names of intents to be gone: asked for, or their lease has ended
	Notes   []Note          // what is left alone and why, in the order of the input
	Next    time.Time       // when the next of the leases ends; zero = never
}

// Note says why an intent is left alone.
type Note struct {
	Intent string `json:"intent"`
	Text   string `json:"text"`
}

// Decide takes the intents and records that are about one host and no other device,
// and sorts them by their leases. An intent of a file goes before the record of the
// same name; a record that no file has is kept as it was recorded.
//
// A lease that counts from the apply (2h) counts from the first: looking again makes
// it no longer, and once it has ended the intent stays away, until its file gives it
// more time than it has had, or somebody applies it anew by spanctl apply. Time that
// an apply by hand has added is kept.
func Decide(in Input) Decision {
	d := decider{Input: in, byIntent: make(map[string][]models.Record), named: make(map[string]bool)}
	for _, r := range in.Records {
		d.byIntent[r.Intent] = append(d.byIntent[r.Intent], r)
	}
	for _, name := range in.Remove {
		d.named[name] = true
		if others := d.elsewhere(name); len(others) > 0 {
			d.note(name, "it has sessions on %s too: use spanctl delete", list(others))
			continue
		}
		d.out.Remove = append(d.out.Remove, name)
	}
	for _, i := range in.Intents {
		if !slices.Contains(in.Remove, i.Metadata.Name) {
			d.named[i.Metadata.Name] = true
			d.intent(i)
		}
	}
	for _, r := range in.Records {
		if name := r.Intent; r.Session.Device == in.Device && !d.named[name] {
			d.named[name] = true
			d.recorded(name)
		}
	}
	return d.out
}

type decider struct {
	Input
	byIntent map[string][]models.Record
	named    map[string]bool
	out      Decision
}

func (d *decider) note(intent, format string, args ...any) {
	d.out.Notes = append(d.out.Notes, Note{intent, fmt.Sprintf(format, args...)})
}

// others gives the devices beside this one that the sessions are on.
func (d *decider) others(sessions []models.Session) (here bool, others []models.DeviceID) {
	for _, s := range sessions {
		switch {
		case s.Device == d.Device:
			here = true
		case !slices.Contains(others, s.Device):
			others = append(others, s.Device)
		}
	}
	return here, others
}

// elsewhere gives the devices beside this one on which an intent has records.
func (d *decider) elsewhere(intent string) []models.DeviceID {
	var sessions []models.Session
	for _, r := range d.byIntent[intent] {
		sessions = append(sessions, r.Session)
	}
	_, others := d.others(sessions)
	return others
}

func (d *decider) intent(in models.Intent) {
	name := in.Metadata.Name
	sessions, _, found := d.Check([]models.Intent{in})
	here, others := d.others(sessions)
	if len(sessions) == 0 && len(found.Errors()) > 0 { // wrong, or of devices that nobody here knows
		here, others = d.names(in)
	}
	if !here {
		if near := d.near(in); near != "" {
			d.note(name, "it is about %q; this host is %q", near, d.Device)
		}
		return
	}
	for _, dev := range d.elsewhere(name) {
		if !slices.Contains(others, dev) {
			others = append(others, dev)
		}
	}
	if len(others) > 0 {
		d.note(name, "it is about %s too, and all of an intent is made or nothing: use spanctl apply", list(others))
		return
	}
	record, recorded := d.record(name)
	end := d.end(in, record, recorded)
	if !end.IsZero() && !d.Now.Before(end) {
		if recorded {
			d.out.Remove = append(d.out.Remove, name)
		} else {
			d.note(name, "its lease ended at %s: it is not made again unless its file gives it more time, or spanctl apply a new lease", end.Local().Format(time.DateTime))
		}
		return
	}
	in.Spec.Expires = until(end)
	d.keep(in, end)
}

func (d *decider) keep(in models.Intent, end time.Time) {
	d.out.Intents = append(d.out.Intents, in)
	if !end.IsZero() && (d.out.Next.IsZero() || end.Before(d.out.Next)) {
		d.out.Next = end
	}
}

// record gives what is recorded of an intent on this host.
func (d *decider) record(intent string) (models.Record, bool) {
	for _, r := range d.byIntent[intent] {
		if r.Session.Device == d.Device {
			return r, true
		}
	}
	return models.Record{}, false
}

// end says when the lease of an intent of a file ends; the zero time means never.
func (d *decider) end(in models.Intent, record models.Record, recorded bool) time.Time {
	e := in.Spec.Expires
	if e.After == 0 {
		return e.Deadline(d.Now)
	}
	if !recorded {
		var ended bool
		if record, ended = d.Ended[in.Metadata.Name]; !ended {
			return d.Now.Add(e.After)
		}
	}
	end := record.Since.Add(e.After)
	if record.Expires.After(end) { // zero, that is never, is not: the file says otherwise now
		end = record.Expires
	}
	return end
}

func until(end time.Time) models.Expiry {
	if end.IsZero() {
		return models.NeverExpires
	}
	return models.Expiry{At: end}
}

// recorded decides over an intent that is known by its records alone: made by
// spanctl mirror, or of a file that is not among those looked at.
func (d *decider) recorded(name string) {
	if others := d.elsewhere(name); len(others) > 0 {
		d.note(name, "it has sessions on %s too: use spanctl apply and spanctl expire", list(others))
		return
	}
	records := d.byIntent[name]
	if slices.ContainsFunc(records, func(r models.Record) bool { return r.Due(d.Now) }) {
		d.out.Remove = append(d.out.Remove, name)
		return
	}
	in, why := d.again(name, records)
	if why != "" {
		d.note(name, "no file of it was named, and its record does not say how to make it again: %s", why)
		return
	}
	d.keep(in, records[0].Expires)
}

// again makes the intent that a record came from. It must come to the very session
// that is recorded.
func (d *decider) again(name string, records []models.Record) (in models.Intent, why string) {
	if len(records) != 1 {
		return in, fmt.Sprintf("it has %d sessions", len(records))
	}
	r := records[0]
	imported, notes := plan.Import([]models.Session{r.Session})
	if len(imported) != 1 {
		for _, n := range notes {
			why = n.Text
		}
		return in, why
	}
	in = imported[0].Intent
	in.Metadata = models.Metadata{Name: name, Owner: r.Owner, Reason: r.Reason}
	in.Spec.Expires = until(r.Expires)
	sessions, _, found := d.Check([]models.Intent{in})
	switch {
	case len(found.Errors()) > 0:
		return in, found.Errors()[0].Message
	case len(sessions) != 1 || sessions[0].ID() != r.ID() || !models.SameConfig(sessions[0], r.Session):
		return in, "it is another session than an intent comes to"
	}
	return in, ""
}

// names tells from the text of an intent alone which devices it is about.
func (d *decider) names(in models.Intent) (here bool, others []models.DeviceID) {
	var sessions []models.Session
	for _, dev := range named(in) {
		sessions = append(sessions, models.Session{Device: dev})
	}
	for _, s := range in.Spec.Sources {
		if s.Device != "" {
			continue
		}
		for _, dev := range d.Network.Devices {
			if plan.Selects(s.Select, dev) {
				sessions = append(sessions, models.Session{Device: dev.ID})
			}
		}
	}
	return d.others(sessions)
}

func named(in models.Intent) []models.DeviceID {
	var out []models.DeviceID
	for _, s := range in.Spec.Sources {
		if s.Device != "" {
			out = append(out, models.DeviceID(s.Device))
		}
	}
	if i := in.Spec.Destination.Interface; i != nil {
		out = append(out, models.DeviceID(i.Device))
	}
	if v := in.Spec.Destination.RemoteVLAN; v != nil {
		out = append(out, models.DeviceID(v.Interface.Device))
	}
	return out
}

// near gives a name in an intent that is no device of the network and may be this
// host's, mistyped.
func (d *decider) near(in models.Intent) string {
	for _, dev := range named(in) {
		known := slices.ContainsFunc(d.Network.Devices, func(n models.Device) bool { return n.ID == dev })
		if !known && plan.Nearest(string(dev), []string{string(d.Device)}) != "" {
			return string(dev)
		}
	}
	return ""
}

func list(devices []models.DeviceID) string {
	text := ""
	for i, dev := range devices {
		switch {
		case i == 0:
		case i == len(devices)-1:
			text += " and "
		default:
			text += ", "
		}
		text += string(dev)
	}
	return text
}
