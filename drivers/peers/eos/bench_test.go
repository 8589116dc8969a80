package eos_test

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkDevices makes devices with 48 ports, each with a listener, and
// reports the memory of one; then of one idle logged-in connection.
func BenchmarkDevices(b *testing.B) {
	start := heap()
	fab := fabric.New()
	var addrs []string
	for i := range b.N {
		sw, err := fab.AddSwitch(fmt.Sprintf("leaf%d", i))
		must(b, err)
		for p := 1; p <= 48; p++ {
			must(b, sw.AddPort(fmt.Sprintf("Ethernet%d", p)))
		}
		d, err := eos.New(eos.Options{Hostname: sw.Name(), Switch: sw, Users: map[string]string{"admin": "admin"}, LoginPrivilege: 15})
		must(b, err)
		addrs = append(addrs, serve(b, d))
	}
	made := heap()
	b.ReportMetric((made-start)/float64(b.N), "B/device")
	n := min(b.N, 200)
	var conns []*ssh.Client
	for _, a := range addrs[:n] {
		conns = append(conns, login(b, a).conn)
	}
	b.ReportMetric((heap()-made)/float64(n), "B/conn") // both ends
	runtime.KeepAlive(conns)
}

// BenchmarkApply logs in, commits a session of three lines and logs out.
func BenchmarkApply(b *testing.B) {
	l := newLab(b, nil)
	for i := range b.N {
		c := login(b, l.addr)
		name := fmt.Sprintf("s%d", i)
		c.ok("configure session "+name, "monitor session m source Ethernet1 rx", "monitor session m destination Ethernet8", "commit",
			"configure session x"+name, "no monitor session m", "commit")
		c.conn.Close()
	}
}
