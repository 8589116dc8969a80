package models

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSessionID(t *testing.T) {
	tests := []struct {
		give Session
		want SessionID
	}{
		{Session{Device: "d", Name: "a"}, SessionID{Device: "d", Name: "a"}},
		{Session{Device: "d", Number: 2}, SessionID{Device: "d", Number: 2}},
		{Session{Device: "d", Name: "a", Number: 2}, SessionID{Device: "d", Name: "a"}},
	}
	for _, tt := range tests {
		if got := tt.give.ID(); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.give, got, tt.want)
		}
	}
}

func TestDefaultAction(t *testing.T) {
	tests := []struct {
		name string
		give []Rule
		want Action
	}{
		{"no rule", nil, Include},
		{"only exclude", []Rule{{Action: Exclude}, {Action: Exclude}}, Include},
		{"include", []Rule{{Action: Include}}, Exclude},
		{"both", []Rule{{Action: Exclude}, {Action: Include}}, Exclude},
	}
	for _, tt := range tests {
		if got := DefaultAction(tt.give); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestChange(t *testing.T) {
	a, b := &Session{Name: "a"}, &Session{Name: "b"}
	tests := []struct {
		give    Change
		about   *Session
		reverse Change
	}{
		{Change{Create, nil, a}, a, Change{Delete, a, nil}},
		{Change{Delete, a, nil}, a, Change{Create, nil, a}},
		{Change{Update, a, b}, b, Change{Update, b, a}},
	}
	for _, tt := range tests {
		if got := tt.give.Session(); got != tt.about {
			t.Errorf("%v is about %v, want %v", tt.give, got, tt.about)
		}
		if d := cmp.Diff(tt.reverse, tt.give.Reverse(), plain); d != "" {
			t.Errorf("reverse (-want +got):\n%s", d)
		}
	}
}

func TestReverse(t *testing.T) {
	a, b := &Session{Name: "a"}, &Session{Name: "b"}
	cs := ChangeSet{"d", []Change{{Delete, a, nil}, {Create, nil, b}}}
	want := ChangeSet{"d", []Change{{Delete, b, nil}, {Create, nil, a}}}
	if d := cmp.Diff(want, cs.Reverse(), plain); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if cs.Empty() || !(ChangeSet{}).Empty() {
		t.Error("Empty is wrong")
	}
	rapid.Check(t, func(t *rapid.T) {
		cs := ChangeSet{Device: "d"}
		for range rapid.IntRange(0, 5).Draw(t, "changes") {
			before, after := &Session{Number: rapid.Int().Draw(t, "n")}, &Session{Number: rapid.Int().Draw(t, "m")}
			cs.Changes = append(cs.Changes, rapid.SampledFrom([]Change{
				{Create, nil, after}, {Delete, before, nil}, {Update, before, after},
			}).Draw(t, "change"))
		}
		if d := cmp.Diff(cs, cs.Reverse().Reverse(), plain); d != "" {
			t.Fatalf("reversed twice (-want +got):\n%s", d)
		}
	})
}

func TestFinding(t *testing.T) {
	full := Finding{
		Origin: Origin{"a.yaml", 7}, Column: 3, Intent: "ids", Device: "leaf1", Field: "spec.sources[0]",
		Rule: "unknown-port", Message: "no such port",
	}
	tests := []struct {
		give Finding
		want string
	}{
		{full, "a.yaml:7:3: intent ids: device leaf1: spec.sources[0]: no such port"},
		{Finding{Message: "m", Column: 3}, "m"},
		{Finding{Origin: Origin{File: "a.yaml"}, Message: "m"}, "a.yaml: m"},
		{Finding{Device: "d", Message: "m"}, "device d: m"},
	}
	for _, tt := range tests {
		if got := tt.give.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	b, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"origin":{"file":"a.yaml","line":7},"column":3,"intent":"ids","field":"spec.sources[0]","device":"leaf1","rule":"unknown-port","message":"no such port"}`
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Errorf("JSON (-want +got):\n%s", d)
	}
}

func TestFindings(t *testing.T) {
	warning, bad := Finding{Message: "w", Warning: true}, Finding{Message: "e"}
	if err := (Findings{warning}).Err(); err != nil {
		t.Errorf("warnings alone give the error %v", err)
	}
	if err := (Findings)(nil).Err(); err != nil {
		t.Errorf("nothing gives the error %v", err)
	}
	err := Findings{warning, bad, bad}.Err()
	var fs Findings
	if !errors.As(err, &fs) || len(fs) != 2 || err.Error() != "e\ne" {
		t.Errorf("got %v, want the two errors", err)
	}
}

func TestCapabilities(t *testing.T) {
	c := Capabilities{Claims: map[Feature]Claim{
		FeatureSPAN: {Support: Yes, Limit: 4}, FeatureSample: {Support: Emulated}, FeatureGRE: {Why: "no"},
	}}
	for f, want := range map[Feature]bool{FeatureSPAN: true, FeatureSample: true, FeatureGRE: false, FeatureVXLAN: false} {
		if got := c.Has(f); got != want {
			t.Errorf("Has(%s) = %v, want %v", f, got, want)
		}
	}
	if got := c.Of(FeatureSPAN).Limit; got != 4 {
		t.Errorf("limit %d, want 4", got)
	}
	if (Capabilities{}).Has(FeatureSPAN) {
		t.Error("silence means No")
	}
	seen := make(map[Feature]bool)
	for _, f := range Features() {
		if seen[f] {
			t.Errorf("%s is listed twice", f)
		}
		seen[f] = true
	}
	if len(seen) != 29 {
		t.Errorf("%d features are listed; there are 29 constants", len(seen))
	}
}

func TestNetworkDevice(t *testing.T) {
	n := Network{Devices: []Device{{ID: "a"}, {ID: "b", Platform: "x"}}}
	if d, ok := n.Device("b"); !ok || d.Platform != "x" {
		t.Errorf("b: %v %v", d, ok)
	}
	if _, ok := n.Device("c"); ok {
		t.Error("c was found")
	}
}
