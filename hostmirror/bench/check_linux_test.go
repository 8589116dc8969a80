package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// What is measured does what its name says: every frame goes on, and each is copied, or
// none. Nothing is said of time. A way that is absent or refused is logged.
func TestWays(t *testing.T) {
	none := func() time.Duration { return 0 }
	const n = 200
	for _, d := range []models.Direction{models.Rx, models.Tx} {
		contests := append(tunnels(), contest{name: "port", ways: append(plainWays(), sessions(1, hostmirror.MethodAuto), sessions(10, hostmirror.MethodAuto))})
		for _, c := range contests {
			for _, w := range c.ways {
				copies := n
				switch w.name {
				case control, "empty clsact", switchPlain, "1", "10":
					copies = 0
				}
				t.Run(d.String()+"/"+c.name+"/"+w.name, func(t *testing.T) {
					b := newBed(t)
					defer b.close()
					name, err := w.set(b, d)
					excuse := fmt.Sprint(err)
					if err != nil && (c.name == "port" && w.name == "spanctl" || !strings.HasPrefix(excuse, "absent: ") && !strings.HasPrefix(excuse, "refused: ")) {
						t.Fatal(err)
					}
					require.Need(t, w.name, err == nil, excuse)
					if s := b.push(n, none); s.delivered != n || s.copies != copies {
						t.Errorf("%s: of %d frames %d went on and %d were copied, want %d copies", name, n, s.delivered, s.copies, copies)
					}
				})
			}
		}
	}
}

// The times of a row belong to sessions that were there, and are not any more; by tc they
// were there only when its commands can make them.
func TestApplyAndDelete(t *testing.T) {
	for _, tt := range []struct {
		name           string
		sessions, port int
		byTC           bool
	}{
		{"filters", 4, 4, true},
		{"programs", 40, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			took, err := applyAndDelete(t, tt.sessions, tt.port)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range took {
				if want := i < 4 || tt.byTC; d > 0 != want {
					t.Errorf("column %d took %s", i, d)
				}
			}
		})
	}
}
