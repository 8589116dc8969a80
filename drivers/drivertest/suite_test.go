package drivertest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/drivertest"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// subject is the toy with a fault.
func subject(f fault) drivertest.Subject {
	dialect := toy{fault: f, calls: new(int)}
	return drivertest.Subject{
		Planner: dialect,
		Dialect: dialect,
		Start: func(t testing.TB) *drivertest.Peer {
			d := &toyDevice{fault: f, stopped: make(chan struct{}), lines: []string{"session theirs source p9 tx", "session theirs to p10", "session theirs truncate 64"}}
			t.Cleanup(func() { close(d.stopped) })
			return &drivertest.Peer{
				Device:  "toy1",
				Ports:   drivertest.Ports{Sources: []string{"p1", "p2", "p3", "p4"}, Destinations: []string{"p5", "p6", "p7", "p8"}},
				Foreign: d.truth(),
				Open: func(context.Context) (drivers.Driver, error) {
					return lazy{drivers.Compose("toy1", dialect, d.dial()), f, d}, nil
				},
				Dial:   func(context.Context) (transport.Conn, error) { return d.dial(), nil },
				Truth:  d.truth,
				Config: d.config,
				Wire: func() []string {
					d.mu.Lock()
					defer d.mu.Unlock()
					return slices.Clone(d.wire)
				},
				ResetWire: func() {
					d.mu.Lock()
					defer d.mu.Unlock()
					d.wire = nil
				},
				Lapse: d.lapse,
				Refuse: func(s string) {
					d.mu.Lock()
					defer d.mu.Unlock()
					d.refuse = s
				},
				Hang: func(s string) {
					d.mu.Lock()
					defer d.mu.Unlock()
					d.hang = &s
				},
				Frames: d.frames,
			}
		},
	}
}

// frames counts the copies that the device's sessions make.
func (d *toyDevice) frames(_ testing.TB, port string, rx, tx int, to string) int {
	n := 0
	for _, s := range d.truth() {
		if !slices.Contains(s.Destination.Ports, to) {
			continue
		}
		for _, src := range s.Sources {
			if src.Name == port && src.Direction.Has(models.Rx) {
				n += rx
			}
			if src.Name == port && src.Direction.Has(models.Tx) {
				n += tx
			}
		}
	}
	return n
}

const faultEnv = "DRIVERTEST_FAULT"

func TestSuite(t *testing.T) {
	drivertest.Run(t, subject(fault(os.Getenv(faultEnv))))
}

// TestSuiteFindsFaults runs the suite in a process of its own for each fault, and
// wants it to fail in the point that is there for it.
func TestSuiteFindsFaults(t *testing.T) {
	tests := []struct {
		fault fault
		point string // the part that must fail
	}{
		{swapped, "ladder/create"},
		{foreignOurs, "ladder"},
		{foreignHidden, "ladder"},
		{touchesForeign, "ladder"},
		{rewritten, "ladder/create"},
		{unordered, "ladder"},
		{timerForever, "timer/lapse"},
		{noTimer, "ladder/create"},
		{confirmNothing, "ladder/create"},
		{revertNothing, "timer/second_connection_before_confirm"},
		{revertNothing, "timer/second_connection_after_confirm"},
		{revertAll, "timer/second_connection_before_apply"},
		{partialState, "text"},
		{stateWithError, "text"},
		{takesStrangers, "text"},
		{leak, "context/open_and_close"},
		{deaf, "context/read"},
		{noDoubt, "context/send"},
		{answersIgnored, "refusal"},
		{sessionUntold, "refusal"},
		{goesOn, "refusal"},
		{unlimited, "claims/sessions"},
		{truncateClaimed, "claims/truncate"},
		{truncateRefused, "claims/truncate"},
		{sampleRendered, "claims/sample"},
		{silentSampleRefuse, "claims/sample"},
		{operClaimed, "claims/oper-state"},
		{residue, "ladder"},
		{updateAsRecreate, "ladder"},
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(string(tt.fault)+" in "+tt.point, func(t *testing.T) {
			t.Parallel()
			// Only the part that is there for the fault, so that no other finds it.
			var run []string
			for _, part := range append([]string{"TestSuite"}, strings.Split(tt.point, "/")...) {
				run = append(run, "^"+part+"$")
			}
			cmd := exec.CommandContext(t.Context(), self, "-test.run", strings.Join(run, "/"), "-test.v")
			cmd.Env = append(os.Environ(), faultEnv+"="+string(tt.fault))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestSuite/"+tt.point) {
				t.Errorf("the suite does not find it in %s: %v\n%s", tt.point, err, out)
			}
			if strings.Contains(string(out), "panic:") || strings.Contains(string(out), "incomplete") {
				t.Errorf("the suite fails for another reason:\n%s", out)
			}
		})
	}
}
