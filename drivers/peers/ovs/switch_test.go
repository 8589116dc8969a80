package ovs

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/internal/require"
)

// start gives a running switch that ends with the test.
func start(t testing.TB) *Switch {
	t.Helper()
	why := Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	s, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func vsctl(t testing.TB, s *Switch, args ...string) string {
	t.Helper()
	out, err := s.Vsctl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// frame is one from host a to host b, of n bytes, numbered.
func frame(a, b, number byte, n int) []byte {
	f := make([]byte, n)
	copy(f, []byte{2, 0, 0, 0, 0, b, 2, 0, 0, 0, 0, a, 0x88, 0xb5, number})
	return f
}

// counts gives how many frames left by each port.
func counts(frames []Frame) map[string]int {
	out := make(map[string]int)
	for _, f := range frames {
		out[f.Port]++
	}
	return out
}

// TestExchange: frames are learned, forwarded and told apart, and none is on its way
// when Exchange returns.
func TestExchange(t *testing.T) {
	s := start(t)
	if err := s.AddBridge("br0"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddPorts("br0", "e1", "e2", "e3"); err != nil {
		t.Fatal(err)
	}
	exchange := func(port string, frames ...[]byte) []Frame {
		t.Helper()
		out, err := s.Exchange(port, frames...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if d := cmp.Diff(map[string]int{"e2": 1, "e3": 1}, counts(exchange("e1", frame(1, 2, 0, 60)))); d != "" {
		t.Errorf("flood (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Frame{{"e1", frame(2, 1, 7, 60)}}, exchange("e2", frame(2, 1, 7, 60))); d != "" {
		t.Errorf("known address (-want +got):\n%s", d)
	}
	// The flow that flooded may still be cached.
	if _, err := s.Appctl("revalidator/purge"); err != nil {
		t.Fatal(err)
	}
	var many [][]byte
	for i := range 500 {
		many = append(many, frame(1, 2, byte(i), 64+i))
	}
	var got [][]byte
	for _, f := range exchange("e1", many...) {
		if f.Port != "e2" {
			t.Fatalf("a frame left by %s", f.Port)
		}
		got = append(got, f.Data)
	}
	if !slices.EqualFunc(many, got, slices.Equal[[]byte]) {
		t.Errorf("%d frames came of %d, or in another order", len(got), len(many))
	}
}

// TestCachedFlows is the reason for revalidator/purge: a flow that is cached does not
// copy to a new mirror, and goes on copying to one that is gone.
func TestCachedFlows(t *testing.T) {
	s := start(t)
	if err := s.AddBridge("br0"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddPorts("br0", "e1", "e2", "e3"); err != nil {
		t.Fatal(err)
	}
	copies := func() int {
		t.Helper()
		out, err := s.Exchange("e1", frame(1, 2, 0, 60))
		if err != nil {
			t.Fatal(err)
		}
		return counts(out)["e3"]
	}
	purge := func() {
		t.Helper()
		if _, err := s.Appctl("revalidator/purge"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Exchange("e2", frame(2, 1, 0, 60)); err != nil {
		t.Fatal(err)
	}
	copies() // the flow is cached, and the address of 2 was known
	vsctl(t, s, "--", "--id=@s", "get", "Port", "e1", "--", "--id=@o", "get", "Port", "e3",
		"--", "--id=@m", "create", "Mirror", "name=m", "select_src_port=@s", "output_port=@o", "--", "add", "Bridge", "br0", "mirrors", "@m")
	cachedNew := copies() // 0 as seen; others may be as right
	purge()
	if n := copies(); n != 1 {
		t.Errorf("%d copies after the purge; want 1", n)
	}
	vsctl(t, s, "--", "--id=@m", "get", "Mirror", "m", "--", "remove", "Bridge", "br0", "mirrors", "@m")
	cachedGone := copies()
	t.Logf("of a cached flow: %d copies to a new mirror, %d to one that is gone", cachedNew, cachedGone)
	purge()
	if n := copies(); n != 0 {
		t.Errorf("%d copies after the removal and the purge; want none", n)
	}
}
