package models

import (
	"encoding"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// text is an enum: what it is written as, and read from.
type text interface {
	encoding.TextMarshaler
	fmt.Stringer
}

func TestWords(t *testing.T) {
	tests := []struct {
		give text
		into encoding.TextUnmarshaler
		back func(encoding.TextUnmarshaler) text
		want string
	}{
		{Rx, new(Direction), deref[Direction], "rx"},
		{Tx, new(Direction), deref[Direction], "tx"},
		{Both, new(Direction), deref[Direction], "both"},
		{DirectionUnset, new(Direction), deref[Direction], ""},
		{RoleLocal, new(Role), deref[Role], "local"},
		{RoleSource, new(Role), deref[Role], "source"},
		{RoleDestination, new(Role), deref[Role], "destination"},
		{SourcePort, new(SourceKind), deref[SourceKind], "port"},
		{SourceLAG, new(SourceKind), deref[SourceKind], "lag"},
		{SourceVLAN, new(SourceKind), deref[SourceKind], "vlan"},
		{SourceRemoteVLAN, new(SourceKind), deref[SourceKind], "remote-vlan"},
		{SourceOther, new(SourceKind), deref[SourceKind], "other"},
		{DestinationPort, new(DestinationKind), deref[DestinationKind], "port"},
		{DestinationRemoteVLAN, new(DestinationKind), deref[DestinationKind], "remote-vlan"},
		{DestinationERSPAN, new(DestinationKind), deref[DestinationKind], "erspan"},
		{DestinationGRE, new(DestinationKind), deref[DestinationKind], "gre"},
		{DestinationVXLAN, new(DestinationKind), deref[DestinationKind], "vxlan"},
		{DestinationCapture, new(DestinationKind), deref[DestinationKind], "capture"},
		{DestinationOther, new(DestinationKind), deref[DestinationKind], "other"},
		{Include, new(Action), deref[Action], "include"},
		{Exclude, new(Action), deref[Action], "exclude"},
		{OversizeRefuse, new(Oversize), deref[Oversize], ""},
		{OversizeTruncate, new(Oversize), deref[Oversize], "truncate"},
		{OversizeFragment, new(Oversize), deref[Oversize], "fragment"},
		{Create, new(Op), deref[Op], "create"},
		{Update, new(Op), deref[Op], "update"},
		{Delete, new(Op), deref[Op], "delete"},
		{OperUnknown, new(OperState), deref[OperState], "unknown"},
		{OperUp, new(OperState), deref[OperState], "up"},
		{OperDown, new(OperState), deref[OperState], "down"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T %s", tt.give, tt.want), func(t *testing.T) {
			b, err := tt.give.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{tt.want, tt.want}, []string{string(b), tt.give.String()}); d != "" {
				t.Errorf("written (-want +got):\n%s", d)
			}
			if err := tt.into.UnmarshalText(b); err != nil {
				t.Fatal(err)
			}
			if got := tt.back(tt.into); got != tt.give {
				t.Errorf("read back as %v, want %v", got, tt.give)
			}
		})
	}
}

func deref[T text](u encoding.TextUnmarshaler) text { return *(u.(any).(*T)) }

func TestWordsRefused(t *testing.T) {
	tests := []struct {
		into encoding.TextUnmarshaler
		give string
		want string
	}{
		{new(Direction), "RX", `direction "RX": want rx, tx, both`},
		{new(Direction), "ingress", `direction "ingress": want rx, tx, both`},
		{new(Role), "transit", `role "transit": want local, source, destination`},
		{new(SourceKind), "cpu", `source kind "cpu": want port, lag, vlan, remote-vlan, other`},
		{new(DestinationKind), "l2tp", `destination kind "l2tp": want port, remote-vlan, erspan, gre, vxlan, capture, other`},
		{new(Action), "permit", `action "permit": want include, exclude`},
		{new(Op), "replace", `operation "replace": want create, update, delete`},
		{new(OperState), "", `state "": want unknown, up, down`},
	}
	for _, tt := range tests {
		err := tt.into.UnmarshalText([]byte(tt.give))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%T: %q gives error %v, want %s", tt.into, tt.give, err, tt.want)
		}
	}
}

// TestWordsOutOfRange: a value that no word stands for shows itself, without a panic.
func TestWordsOutOfRange(t *testing.T) {
	tests := []struct {
		give fmt.Stringer
		want string
	}{
		{Direction(9), "direction(9)"}, {Role(9), "role(9)"}, {SourceKind(9), "source kind(9)"},
		{DestinationKind(9), "destination kind(9)"}, {Action(9), "action(9)"}, {Op(9), "operation(9)"}, {OperState(9), "state(9)"},
	}
	for _, tt := range tests {
		if got := tt.give.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestDirection(t *testing.T) {
	tests := []struct {
		a, b Direction
		join Direction
		has  bool
	}{
		{Rx, Rx, Rx, true}, {Rx, Tx, Both, false}, {Tx, Rx, Both, false}, {Tx, Tx, Tx, true},
		{Both, Rx, Both, true}, {Both, Tx, Both, true}, {Rx, Both, Both, false}, {Both, Both, Both, true},
		{DirectionUnset, Rx, Rx, false},
	}
	for _, tt := range tests {
		if got := tt.a.Join(tt.b); got != tt.join {
			t.Errorf("%v.Join(%v) = %v, want %v", tt.a, tt.b, got, tt.join)
		}
		if got := tt.a.Has(tt.b); got != tt.has {
			t.Errorf("%v.Has(%v) = %v, want %v", tt.a, tt.b, got, tt.has)
		}
	}
}
