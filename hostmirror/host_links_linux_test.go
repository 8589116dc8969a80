package hostmirror

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// The tunnel of a container's port is made in the container's namespace, whose way to the
// collector it takes; the host's namespace is not touched, and nothing stays.
func TestTunnelOfAnotherNamespace(t *testing.T) {
	kerneltest.NeedIproute(t)
	b := newHostBed(t)
	b.a.Batch("ip",
		"link set dev ma mtu 1600", fmt.Sprintf("address add %s/24 dev ma", host4),
		fmt.Sprintf("neighbour add %s lladdr %s dev ma", collector4, hardware(t, b.sensor, "ca")))
	b.sensor.Run("ip link set dev ca mtu 1600")
	all := func() map[string]string {
		return map[string]string{"host": b.host.Run("ip -j address show"), "a": b.a.Run("ip -j address show"), "b": b.b.Run("ip -j address show")}
	}
	before, links := b.objects(), all()
	ses := into("sp-a", tunnelTo(models.DestinationVXLAN, false, func(t *models.Tunnel) { t.VNI = 42 }), port("netns:a/eth0", models.Rx))
	h := b.open(ses)
	cp := b.to(h, ses)
	for _, text := range texts(cp.Script) {
		if !strings.HasPrefix(text, "ip netns exec a ") {
			t.Errorf("step %q is not done in namespace a", text)
		}
	}
	if after := all(); after["host"] != links["host"] || after["b"] != links["b"] || after["a"] == links["a"] {
		t.Errorf("a link is wanted in a and nowhere else:\n%v", after)
	}
	sensor := b.sensor.CaptureAll("ca")
	frame := kerneltest.TestFrame(kerneltest.Broadcast, "copied", 0, 200)
	b.host.Send("va0", frame, 10)
	if n := sensor.Count("copied", 10); n != 10 {
		t.Errorf("%d copies of 10", n)
	}
	for _, f := range sensor.Received("copied") {
		w, inner, err := unwrap(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		if w.Src != host4 || w.Dst != collector4 || w.VNI != 42 || string(inner) != string(frame) {
			t.Errorf("wrapped in %+v, inner frame of %d bytes; want VNI 42 to %s and %d bytes", w, len(inner), collector4, len(frame))
		}
	}
	// Another process finds it by its name, and takes it away.
	b.to(b.open(ses))
	if d := cmp.Diff(links, all()); d != "" {
		t.Errorf("links (-before +after):\n%s", d)
	}
	if where := changed(before, b.objects()); len(where) > 0 {
		t.Errorf("something is left in %q", where)
	}
}
