package main

import (
	"strings"
	"testing"
	"time"
)

// TestHostApply: made once, nothing the second time, again after a reboot, gone with
// its lease, and not made again after it.
func TestHostApply(t *testing.T) {
	t.Parallel()
	const lease = 20 * time.Second
	b := newHostBed(t, map[string]string{
		"tap.yaml":  hostIntent("tap", "in0", "out0", lease.String()),
		"leaf.yaml": strings.ReplaceAll(hostIntent("leaf", "Ethernet1", "Ethernet2", "1h"), "probe", "leaf1"),
	})
	apply := b.host("apply", "--yes", "--intents", "tap.yaml,leaf.yaml")
	began := time.Now()
	says(t, b.must(apply...).out, "intent tap: applied")
	b.copied("out1", 1)
	made := b.filters("in0")
	e := b.must(apply...)
	says(t, e.out, "nothing to do")
	if got := b.filters("in0"); got != made {
		t.Errorf("a second apply changed the kernel:\n%s\nwas:\n%s", got, made)
	}

	// A reboot: the ports are there, and nothing else.
	b.in("ip link delete in0")
	b.veth("in0", "in1")
	b.copied("out1", 0)
	// Without the file: what is recorded is made again.
	says(t, b.must(b.host("apply", "--yes")...).out, "intent tap: applied")
	b.copied("out1", 1)
	if left := time.Until(began.Add(lease)); left < 5*time.Second {
		t.Skipf("the machine is too slow: %s of the lease are left", left)
	}
	says(t, b.must(apply...).out, "nothing to do")

	time.Sleep(time.Until(began.Add(lease + time.Second)))
	says(t, b.must(apply...).out, "intent tap: applied")
	b.copied("out1", 0)
	if got := b.filters("in0"); got != "" {
		t.Errorf("after the lease: %s", got)
	}
	e = b.must(apply...)
	says(t, e.err, "left alone: intent tap: its lease ended at")
	says(t, e.out, "nothing to do")
	// More time in the file than it has had: it lasts again.
	b.write("tap.yaml", hostIntent("tap", "in0", "out0", "1h"))
	says(t, b.must(apply...).out, "intent tap: applied")
	b.copied("out1", 1)
	if b.run("delete", "tap").status != exitError { // no inventory: the host is known to spanctl host alone
		t.Error("delete found a device without an inventory")
	}
}

// TestHostApplyAfterPowerCut: a lease that ended while the host was off leaves a record
// of what is no longer there. It is forgotten, and what it was is not made again.
func TestHostApplyAfterPowerCut(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{"tap.yaml": hostIntent("tap", "in0", "out0", "2s")})
	apply := b.host("apply", "--yes", "--intents", "tap.yaml")
	b.must(apply...)
	b.in("ip link delete in0")
	b.veth("in0", "in1")
	time.Sleep(2100 * time.Millisecond)
	for range 2 {
		b.must(apply...)
		b.copied("out1", 0)
	}
}

func TestHostApplyRefuses(t *testing.T) {
	t.Parallel()
	b := newHostBed(t, map[string]string{
		"typo.yaml": hostIntent("typo", "in00", "out0", "1h"),
		"good.yaml": hostIntent("good", "in0", "out1", "1h"),
		"name.yaml": strings.ReplaceAll(hostIntent("name", "in0", "out0", "1h"), "probe", "prob"),
		"far.yaml":  strings.Replace(hostIntent("far", "in0", "out0", "1h"), "device: probe, name", "device: leaf1, name", 1),
	})
	e := b.run(b.host("apply", "--yes", "--intents", "typo.yaml,good.yaml")...)
	if e.status != exitError {
		t.Errorf("a source that is not there: status %d", e.status)
	}
	says(t, e.out, "intent typo: probe: the device has no port in00; did you mean in0?", "intent good: applied")
	e = b.must(b.host("apply", "--yes", "--intents", "name.yaml")...)
	says(t, e.err, `it is about "prob"; this host is "probe"`)
	says(t, e.out, "nothing to do")
	e = b.must(b.host("apply", "--yes", "--intents", "far.yaml")...)
	says(t, e.err, "intent far: it is about leaf1 too")
	e = b.run(b.host("apply", "--yes", "--intents", "absent.yaml")...)
	if e.status != exitError || !strings.Contains(e.err, "absent.yaml") {
		t.Errorf("an absent file: %+v", e)
	}
}
