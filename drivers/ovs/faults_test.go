package ovs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// checkpoint plans the creation of a session on the host as it is.
func (h *host) checkpoint(d drivers.Driver, s models.Session) drivers.Checkpoint {
	h.t.Helper()
	st, err := d.Observe(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	cs := models.ChangeSet{Device: "hv1", Changes: []models.Change{{Op: models.Create, After: &s}}}
	sc, err := d.Render(cs, drivers.RenderOptions{Tag: "t", Facts: st.Facts})
	if err != nil {
		h.t.Fatal(err)
	}
	return drivers.Checkpoint{Device: "hv1", Changes: cs, Script: sc}
}

func failure(t testing.TB, err error) *drivers.Error {
	t.Helper()
	var de *drivers.Error
	if !errors.As(err, &de) {
		t.Fatalf("got %v; want a *drivers.Error", err)
	}
	return de
}

// TestFaults are ways in which a host fails in the middle of things.
func TestFaults(t *testing.T) {
	open := func(t *testing.T) (*host, drivers.Driver) {
		t.Helper()
		h := newHost(t, "e1", "e2", "tap")
		d, err := h.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return h, d
	}
	x := session(func(*models.Session) {})

	t.Run("no database", func(t *testing.T) {
		h, d := open(t)
		cp := h.checkpoint(d, x)
		h.sw.Stop("ovsdb-server")
		_, err := d.Observe(t.Context())
		if de := failure(t, err); de.Kind != transport.Rejected || !strings.Contains(de.Reply, "database connection failed") {
			t.Errorf("observe: %v", err)
		}
		err = d.Apply(t.Context(), cp)
		if de := failure(t, err); de.Kind != transport.Rejected || de.Session != "sp-x" || !strings.Contains(de.Reply, "database connection failed") {
			t.Errorf("apply: %v", err)
		}
		if err := d.Revert(t.Context(), cp); failure(t, err).Phase != drivers.PhaseRevert {
			t.Errorf("revert: %v", err)
		}
	})

	t.Run("no ovs-vswitchd", func(t *testing.T) {
		if testing.Short() {
			t.Skip("it waits for the time limits of ovs-vsctl")
		}
		h, d := open(t)
		cp := h.checkpoint(d, x)
		h.sw.Stop("ovs-vswitchd")
		// The database takes it, and nobody carries it out: that is no success.
		err := d.Apply(t.Context(), cp)
		if de := failure(t, err); de.Kind != transport.Rejected || de.Hint == "" {
			t.Errorf("apply: %v", err)
		}
		if n := len(h.truth()); n != 1 {
			t.Errorf("%d mirrors in the database; want the one that nobody carries out", n)
		}
		// It is seen that no change can be proven now, and said instead of sent.
		if de := failure(t, d.Revert(t.Context(), cp)); de.Kind != drivers.Unsupported || !strings.Contains(de.Error(), "ovs-appctl") {
			t.Errorf("revert: %v", de)
		}
		if err := h.sw.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert with ovs-vswitchd: %v", err)
		}
		if got := h.truth(); len(got) > 0 { // the rest of the database is another: addresses of interfaces
			t.Errorf("left over: %+v", got)
		}
	})

	t.Run("the connection dies behind the change", func(t *testing.T) {
		h, d := open(t)
		before := h.config()
		cp := h.checkpoint(d, x)
		h.write("drop", cp.Script.Steps[0].Text, 0o600)
		if de := failure(t, d.Apply(t.Context(), cp)); de.Kind != transport.Unreachable || !de.InDoubt {
			t.Errorf("apply: %#v", de)
		}
		if n := len(h.truth()); n != 1 {
			t.Errorf("%d mirrors; want the one that was made", n)
		}
		again, err := h.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := again.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert: %v", err)
		}
		if d := cmp.Diff(lines(before), lines(h.config())); d != "" {
			t.Errorf("the database is another (-before +after):\n%s", d)
		}
	})

	t.Run("no right to use ovs-vswitchd", func(t *testing.T) {
		h, d := open(t)
		// Root may use any socket; one that is gone is refused to everybody.
		socks, err := filepath.Glob(filepath.Join(h.sw.Dir(), "ovs-vswitchd.*.ctl"))
		if err != nil || len(socks) != 1 {
			t.Fatalf("%q, %v", socks, err)
		}
		if err := os.Remove(socks[0]); err != nil {
			t.Fatal(err)
		}
		st, err := d.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cs := models.ChangeSet{Device: "hv1", Changes: []models.Change{{Op: models.Create, After: &x}}}
		_, err = d.Render(cs, drivers.RenderOptions{Facts: st.Facts})
		if de := failure(t, err); de.Kind != drivers.Unsupported {
			t.Errorf("render: %v", err)
		}
	})

	t.Run("an interface that cannot be set up", func(t *testing.T) {
		h, d := open(t)
		// Two tunnels alike: the second is in the database and not in the switch.
		h.vsctl("add-port", "br0", "gre0", "--", "set", "Interface", "gre0", "type=gre", "options:remote_ip=203.0.113.9", "options:local_ip=203.0.113.1")
		before := h.config()
		s := session(func(s *models.Session) {
			s.Destination = models.Destination{Kind: models.DestinationGRE, Tunnel: &models.Tunnel{Source: addr("203.0.113.1"), Destination: addr("203.0.113.9")}}
		})
		cp := h.checkpoint(d, s)
		err := d.Apply(t.Context(), cp)
		if de := failure(t, err); de.Kind != transport.Rejected || !strings.Contains(de.Reply, "Error detected") {
			t.Errorf("apply: %v", err)
		}
		if err := d.Revert(t.Context(), cp); err != nil {
			t.Errorf("revert: %v", err)
		}
		if d := cmp.Diff(lines(before), lines(h.config())); d != "" {
			t.Errorf("the database is another (-before +after):\n%s", d)
		}
	})
}

// TestStrangers: what is not ours is not removed, whatever its name.
func TestStrangers(t *testing.T) {
	h := newHost(t, "e1", "e2", "tap", "tap2")
	d, err := h.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	mirror := func(out string, more ...string) {
		h.vsctl(append([]string{"--", "--id=@s", "get", "Port", "e1", "--", "--id=@o", "get", "Port", out, "--", "add", "Bridge", "br0", "mirrors", "@m",
			"--", "--id=@m", "create", "Mirror", "name=sp-x", "select_src_port=@s", "output_port=@o"}, more...)...)
	}
	x := session(func(*models.Session) {})
	remove := func() *drivers.Error {
		t.Helper()
		st, err := d.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cs := models.ChangeSet{Device: "hv1", Changes: []models.Change{{Op: models.Delete, Before: &x}}}
		sc, err := d.Render(cs, drivers.RenderOptions{Facts: st.Facts})
		if err != nil {
			t.Fatal(err)
		}
		if err = d.Apply(t.Context(), drivers.Checkpoint{Device: "hv1", Changes: cs, Script: sc}); err == nil {
			return nil
		}
		return failure(t, err)
	}
	mirror("tap") // somebody made it again, under our name
	before := h.config()
	if de := remove(); de == nil || !strings.Contains(de.Reply, `no key "spanctl"`) {
		t.Errorf("without the mark: %v", de)
	}
	if d := cmp.Diff(lines(before), lines(h.config())); d != "" {
		t.Errorf("the database is another (-before +after):\n%s", d)
	}
	mirror("tap2", "external_ids:spanctl=sp-x") // ours, beside theirs
	before = h.config()
	if de := remove(); de == nil || !strings.Contains(de.Reply, "multiple rows") {
		t.Errorf("two of the name: %v", de)
	}
	if d := cmp.Diff(lines(before), lines(h.config())); d != "" {
		t.Errorf("the database is another (-before +after):\n%s", d)
	}
}
