package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// toy is a network OS whose language is JSON change sets.
type toy struct{}

func (toy) Capabilities() models.Capabilities { return models.Capabilities{Platform: "toy"} }
func (toy) Check(models.Session) []string     { return nil }
func (toy) PortKind(string) models.SourceKind { return models.SourcePort }
func (toy) Reads() []transport.Request        { return []transport.Request{{Text: "show"}} }
func (toy) Parse(dev models.DeviceID, r []transport.Reply) (models.DeviceState, error) {
	st := models.DeviceState{Device: dev}
	return st, json.Unmarshal([]byte(r[0].Text), &st.Sessions)
}

func (toy) Render(cs models.ChangeSet, o RenderOptions) (transport.Script, error) {
	text, err := json.Marshal(cs)
	return transport.Script{Steps: []transport.Step{
		{Phase: transport.Enter, Text: "enter " + o.Tag},
		{Phase: transport.Edit, Text: string(text), Session: cs.Changes[0].Session().Name},
	}}, err
}

// box is the other end of a connection.
type box struct {
	sessions []models.Session
	before   []models.Session // what "cancel" goes back to; nil = nothing to cancel
	said     []string
	deaf     bool // accepts edits and does nothing
	err      map[string]error
	refuse   map[string]error // by step; the connection stays
	closed   bool
}

func (b *box) Read(context.Context, []transport.Request) ([]transport.Reply, error) {
	if err := b.err["read"]; err != nil {
		return nil, err
	}
	text, err := json.Marshal(b.sessions)
	return []transport.Reply{{Text: string(text)}}, err
}

func (b *box) Send(_ context.Context, steps []transport.Step) error {
	for i, s := range steps {
		b.said = append(b.said, strings.Fields(s.Text)[0])
		if err := b.refuse[s.Text]; err != nil {
			return err
		}
		if err := b.err[s.Text]; err != nil {
			return &transport.Error{Kind: transport.Unreachable, Step: &steps[i], Err: err}
		}
		switch {
		case s.Phase == transport.Edit:
			var cs models.ChangeSet
			if err := json.Unmarshal([]byte(s.Text), &cs); err != nil {
				return err
			}
			if !b.deaf {
				b.sessions = plan.Apply(models.DeviceState{Sessions: b.sessions}, cs).Sessions
			}
		case s.Text == "cancel":
			if b.before == nil {
				return &transport.Error{Kind: transport.Rejected, Step: &steps[i], Reply: "% nothing to cancel\nhelp"}
			}
			b.sessions = b.before
		}
	}
	return nil
}

func (b *box) Close() error { b.closed = true; return nil }

func session(name string, dir models.Direction) models.Session {
	return models.Session{Device: "leaf1", Name: name, Role: models.RoleLocal,
		Sources:     []models.Source{{Kind: models.SourcePort, Name: "Ethernet1", Direction: dir}},
		Destination: models.Destination{Kind: models.DestinationPort, Ports: []string{"Ethernet48"}}}
}

func texts(ss []models.Session) []string {
	var out []string
	for _, s := range ss {
		out = append(out, fmt.Sprintf("%s %s", s.Name, s.Sources[0].Direction))
	}
	return out
}

func TestRevert(t *testing.T) {
	rx, both, other := session("a", models.Rx), session("a", models.Both), session("tap", models.Tx)
	update := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Update, Before: &rx, After: &both}}}
	create := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Create, After: &rx}}}
	remove := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Delete, Before: &rx}}}
	cancel := []transport.Step{{Phase: transport.Enter, Text: "cancel"}}
	tests := []struct {
		name    string
		changes models.ChangeSet
		cancel  []transport.Step
		have    []models.Session
		before  []models.Session // by the device's own way back
		want    []string
		said    []string
	}{
		{"by the device's own way back", update, cancel, []models.Session{both, other}, []models.Session{rx, other},
			[]string{"a rx", "tap tx"}, []string{"cancel"}},
		{"own way back closed, nothing to do", update, cancel, []models.Session{rx, other}, nil,
			[]string{"a rx", "tap tx"}, []string{"cancel"}},
		{"own way back closed, planned back", update, cancel, []models.Session{both, other}, nil,
			[]string{"tap tx", "a rx"}, []string{"cancel", "enter", editWord}},
		{"no own way back: an update", update, nil, []models.Session{other, both}, nil, []string{"tap tx", "a rx"}, []string{"enter", editWord}},
		{"no own way back: a create", create, nil, []models.Session{other, rx}, nil, []string{"tap tx"}, []string{"enter", editWord}},
		{"no own way back: a delete", remove, nil, []models.Session{other}, nil, []string{"tap tx", "a rx"}, []string{"enter", editWord}},
		{"never applied", create, nil, []models.Session{other}, nil, []string{"tap tx"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &box{sessions: tt.have, before: tt.before}
			d := Compose("leaf1", toy{}, b)
			if err := d.Revert(t.Context(), Checkpoint{Device: "leaf1", Changes: tt.changes, Script: transport.Script{Cancel: tt.cancel}}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, texts(b.sessions)); d != "" {
				t.Errorf("sessions (-want +got):\n%s", d)
			}
			for i := range b.said {
				if strings.HasPrefix(b.said[i], "{") {
					b.said[i] = editWord
				}
			}
			if d := cmp.Diff(tt.said, b.said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
		})
	}
}

const editWord = "<edit>"

func TestRevertFails(t *testing.T) {
	rx := session("a", models.Rx)
	cp := Checkpoint{Device: "leaf1", Changes: models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Create, After: &rx}}}}
	lost := errors.New("connection lost")
	tests := []struct {
		name string
		box  *box
		cp   Checkpoint
		kind transport.Kind
		want string
	}{
		{"the device accepts and does nothing", &box{sessions: []models.Session{rx}, deaf: true}, cp, Mismatch, "not as before"},
		{"the device cannot be read", &box{err: map[string]error{"read": &transport.Error{Kind: transport.Timeout}}}, cp, transport.Timeout, "leaf1: revert"},
		{"the connection breaks at the own way back", &box{err: map[string]error{"cancel": lost}},
			Checkpoint{Device: "leaf1", Changes: cp.Changes, Script: transport.Script{Cancel: []transport.Step{{Text: "cancel"}}}}, transport.Unreachable, "connection lost"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Compose("leaf1", toy{}, tt.box).Revert(t.Context(), tt.cp)
			var de *Error
			if !errors.As(err, &de) || de.Kind != tt.kind || de.Phase != PhaseRevert || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want kind %s in phase revert with %q", err, tt.kind, tt.want)
			}
		})
	}
}

// TestRestore: the copy of the configuration is for where the sessions do not come
// back, and goes when they did.
func TestRestore(t *testing.T) {
	rx := session("a", models.Rx)
	script := transport.Script{Restore: []transport.Step{{Text: "cancel"}}, Forget: []transport.Step{{Text: "forget"}}}
	cp := Checkpoint{Device: "leaf1", Changes: models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Create, After: &rx}}}, Script: script}
	rejected := &transport.Error{Kind: transport.Rejected, Reply: "% no"}
	tests := []struct {
		name string
		box  *box
		said []string
		want transport.Kind // of the error; "" = none
	}{
		{"not needed", &box{sessions: []models.Session{rx}, before: []models.Session{}}, []string{"enter", editWord, "forget"}, ""},
		{"nothing to do", &box{before: []models.Session{}}, []string{"forget"}, ""},
		{"needed", &box{sessions: []models.Session{rx}, before: []models.Session{}, deaf: true}, []string{"enter", editWord, "cancel", "forget"}, ""},
		{"of no help", &box{sessions: []models.Session{rx}, deaf: true}, []string{"enter", editWord, "cancel", "enter", editWord}, Mismatch},
		{"not there any more", &box{sessions: []models.Session{rx}, refuse: map[string]error{"forget": rejected}}, []string{"enter", editWord, "forget"}, ""},
		{"connection lost", &box{err: map[string]error{"read": &transport.Error{Kind: transport.Timeout}}}, nil, transport.Timeout},
		{"connection lost in the end", &box{sessions: []models.Session{rx}, err: map[string]error{"forget": errors.New("lost")}}, []string{"enter", editWord, "forget"}, transport.Unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Compose("leaf1", toy{}, tt.box).Revert(t.Context(), cp)
			var de *Error
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &de) || de.Kind != tt.want) {
				t.Errorf("error %v, want kind %q", err, tt.want)
			}
			for i := range tt.box.said {
				if strings.HasPrefix(tt.box.said[i], "{") {
					tt.box.said[i] = editWord
				}
			}
			if d := cmp.Diff(tt.said, tt.box.said); d != "" {
				t.Errorf("said (-want +got):\n%s", d)
			}
		})
	}
}

func TestComposed(t *testing.T) {
	rx := session("a", models.Rx)
	b := &box{sessions: []models.Session{rx}}
	d := Compose("leaf1", toy{}, b)
	st, err := d.Observe(t.Context())
	if err != nil || st.Device != "leaf1" || cmp.Diff([]models.Session{rx}, st.Sessions) != "" {
		t.Errorf("Observe = %+v, %v", st, err)
	}
	both := session("a", models.Both)
	cs := models.ChangeSet{Device: "leaf1", Changes: []models.Change{{Op: models.Update, Before: &rx, After: &both}}}
	script, err := d.Render(cs, RenderOptions{Tag: "t1"})
	if err != nil || script.Steps[0].Text != "enter t1" {
		t.Fatalf("Render = %+v, %v", script, err)
	}
	cp := Checkpoint{Device: "leaf1", Changes: cs, Script: script}
	if err := d.Apply(t.Context(), cp); err != nil || texts(b.sessions)[0] != "a both" {
		t.Errorf("Apply: %v; sessions %v", err, texts(b.sessions))
	}
	b.said = nil
	if err := d.Confirm(t.Context(), cp); err != nil || len(b.said) > 0 {
		t.Errorf("Confirm without a timer: %v, said %v", err, b.said)
	}
	cp.Script.Confirm = []transport.Step{{Text: "confirm it"}}
	if err := d.Confirm(t.Context(), cp); err != nil || cmp.Diff([]string{"confirm"}, b.said) != "" {
		t.Errorf("Confirm: %v, said %v", err, b.said)
	}
	if err := d.Close(); err != nil || !b.closed {
		t.Errorf("Close: %v, closed %v", err, b.closed)
	}
}

func TestWrapError(t *testing.T) {
	step := transport.Step{Text: "monitor session a source Ethernet99 rx", Session: "a"}
	secret := transport.Step{Text: "username x secret hunter2", Secret: true}
	tests := []struct {
		name string
		give error
		want string
		kind transport.Kind
	}{
		{"a refused line", &transport.Error{Kind: transport.Rejected, Step: &step, Reply: "% Invalid input\nmore"},
			`leaf1: apply: rejected: session "a": "monitor session a source Ethernet99 rx": % Invalid input`, transport.Rejected},
		{"a secret", &transport.Error{Kind: transport.Rejected, Step: &secret, Reply: "% no"}, `leaf1: apply: rejected: "<secret>": % no`, transport.Rejected},
		{"with a hint", &transport.Error{Kind: transport.Auth, Hint: "check the password"}, "leaf1: apply: auth (check the password)", transport.Auth},
		{"wrapped deeper", fmt.Errorf("x: %w", &transport.Error{Kind: transport.Timeout}), "leaf1: apply: timeout", transport.Timeout},
		{"the end of ctx", context.Canceled, "leaf1: apply: canceled: context canceled", transport.Canceled},
		{"unsupported", fmt.Errorf("VXLAN: %w", ErrUnsupported), "leaf1: apply: unsupported: VXLAN: not supported", Unsupported},
		{"anything else", errors.New("line 3: what?"), "leaf1: apply: protocol: line 3: what?", transport.Protocol},
		{"an Error stays", &Error{Phase: PhaseRender, Kind: Mismatch}, "leaf1: render: mismatch", Mismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := WrapError("leaf1", PhaseApply, tt.give)
			var de *Error
			if !errors.As(err, &de) || de.Kind != tt.kind || err.Error() != tt.want {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
	if WrapError("leaf1", PhaseApply, nil) != nil {
		t.Error("nil became an error")
	}
}

func TestRetryable(t *testing.T) {
	for kind, want := range map[transport.Kind]bool{
		transport.Unreachable: true, transport.Timeout: true, transport.Busy: true,
		transport.Rejected: false, transport.Auth: false, transport.Protocol: false, transport.Canceled: false, Mismatch: false, Unsupported: false,
	} {
		if got := (&Error{Kind: kind}).Retryable(); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}

func TestRegistry(t *testing.T) {
	dialect := func() Dialect { return toy{} }
	local := func() plan.Platform { return toy{} }
	r, err := NewRegistry(Platform{Key: "toy", Dialect: dialect, Transports: []string{"ssh"}}, Platform{Key: "here", Local: local})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"here", "toy"}, r.Keys()); d != "" {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	for _, key := range r.Keys() {
		if p, err := r.Platform(key); err != nil || p.Planning().Capabilities().Platform != "toy" {
			t.Errorf("%s: %v, %v", key, p, err)
		}
	}
	if _, err := r.Platform("toi"); err == nil || !strings.Contains(err.Error(), `"toi" has no driver; there is here, toy`) {
		t.Errorf("error %v", err)
	}
	for name, bad := range map[string][]Platform{
		"twice":   {{Key: "toy", Dialect: dialect}, {Key: "toy", Dialect: dialect}},
		"no key":  {{Dialect: dialect}},
		"neither": {{Key: "toy"}},
		"both":    {{Key: "toy", Dialect: dialect, Local: local}},
	} {
		if _, err := NewRegistry(bad...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRevertTagDiffers(t *testing.T) {
	cp := func(enter string) Checkpoint {
		return Checkpoint{Script: transport.Script{Within: time.Minute, Steps: []transport.Step{{Phase: transport.Enter, Text: enter}}}}
	}
	a, b := revertTag(cp("configure session x")), revertTag(cp("configure session y"))
	if a == b || !strings.HasPrefix(a, "back-") || len(a) > 24 {
		t.Errorf("tags %q, %q", a, b)
	}
}
