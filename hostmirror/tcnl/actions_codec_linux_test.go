package tcnl

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A request to make or to change an action says what the kernel's listing is read as.
func TestActionSaysWhatDecodeReads(t *testing.T) {
	got, err := decodeActionMessage(payload(t, newAction(7, 9, someCookie, unix.NLM_F_REPLACE)))
	if err != nil {
		t.Fatal(err)
	}
	want := []SharedAction{{Action: Action{
		Kind: "mirred", Index: 7, Verdict: Continue, Cookie: someCookie[:], Mirred: &Mirred{Mode: EgressMirror, Ifindex: 9},
	}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A filter that is bound to an action names it, and leaves its cookie alone.
func TestBoundMirror(t *testing.T) {
	m := Mirror{Ifindex: 1, Hook: Ingress, Priority: 1, Kind: U32, Target: 2, Cookie: someCookie, Action: 7}
	f, err := DecodeFilter(payload(t, addMirror(m)))
	if err != nil {
		t.Fatal(err)
	}
	if a := f.Actions[0]; a.Index != 7 || a.Cookie != nil {
		t.Errorf("action %+v, want number 7 and no cookie", a)
	}
}

func FuzzDecodeActionMessage(f *testing.F) {
	f.Add(payload(f, newAction(7, 9, someCookie, 0)))
	f.Add(payload(f, actionRequest(unix.RTM_GETACTION, 0, func(a *nl.RtAttr) { a.AddRtAttr(actIndex, nl.Uint32Attr(3)) })))
	f.Add([]byte{0, 0, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeActionMessage(b)
		if err != nil && (!errors.Is(err, ErrMalformed) || list != nil) {
			t.Errorf("%v, %v: want an error that wraps ErrMalformed and no actions", list, err)
		}
	})
}
