package bpfcopy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// shapes are filters of which a frame of benchFrame matches none, from cheap to dear.
var shapes = []struct {
	name string
	rule func(i int) models.Match
}{
	{"five-tuple", func(i int) models.Match {
		return models.Match{Proto: "udp", Src: host4(10, i), Dst: host4(11, i), Dport: []models.Range{models.One(uint16(1000 + i))}}
	}},
	{"destination", func(i int) models.Match { return models.Match{Dst: host4(11, i)} }},
	{"source and common destination", func(i int) models.Match {
		return models.Match{Src: host4(10, i), Dst: models.Prefix{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}
	}},
	{"IPv6 source", func(i int) models.Match {
		a := netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)})
		return models.Match{Src: models.Prefix{Prefix: netip.PrefixFrom(a, 128)}}
	}},
}

func host4(first byte, i int) models.Prefix {
	return models.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{first, byte(i >> 8), byte(i), 1}), 32)}
}

func benchSet(sessions int, rule func(int) models.Match, to Device) Set {
	var set Set
	for i := range sessions {
		set.Sessions = append(set.Sessions, Session{
			Name: fmt.Sprint("s", i), Destinations: []Device{to},
			Filter: []models.Rule{{Action: models.Include, Match: rule(i)}},
		})
	}
	return set
}

func benchFrame(shape string) []byte {
	f := frame{ip: 4, proto: 17, src: netip.MustParseAddr("10.200.0.1"), dst: netip.MustParseAddr("192.0.2.1"), sport: 7, dport: 9}
	if shape == "IPv6 source" {
		f.ip, f.src, f.dst = 6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	b := f.bytes()
	copy(b, kerneltest.Broadcast)
	return append(b, make([]byte, max(0, 64-len(b)))...)
}

func median[T cmp.Ordered](x []T) T {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkProgram is the time that the program itself takes for a frame which no
// session wants.
func BenchmarkProgram(b *testing.B) {
	for _, s := range shapes {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", s.name, n), func(b *testing.B) {
				c := compile(b, benchSet(n, s.rule, Device{"gone", 1 << 30}))
				f := benchFrame(s.name)
				var all []float64
				for b.Loop() {
					_, d, err := c.prog.Benchmark(f, 20000, nil)
					if err != nil {
						b.Fatal(err)
					}
					all = append(all, float64(d.Nanoseconds()))
				}
				b.ReportMetric(median(all), "ns/frame")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkProduction is the rate at which a bridge forwards frames that no session
// wants, as part of the rate without a program: each round measures a bed without a
// program, another such bed as a control, and beds with 1 and with 1,000 sessions.
func BenchmarkProduction(b *testing.B) {
	for _, s := range shapes {
		b.Run(s.name, func(b *testing.B) {
			sessions := []int{0, 0, 1, 1000}
			var beds []*bed
			for _, n := range sessions {
				bed := newBed(b)
				bed.apply(bed.open(MethodAny), "r0", models.Rx, benchSet(n, s.rule, bed.device("m0")).Sessions...)
				beds = append(beds, bed)
			}
			frame := benchFrame(s.name)
			took := make([][]float64, len(beds))
			for b.Loop() {
				for i, bed := range beds {
					took[i] = append(took[i], float64(push(b, bed.left, "s0", frame, 2000).Nanoseconds())/2000)
				}
			}
			kept := func(of, than int) float64 {
				var ratios []float64
				for i, d := range took[of] {
					ratios = append(ratios, took[than][i]/d)
				}
				return 100 * median(ratios)
			}
			b.ReportMetric(kept(1, 0), "%control")
			b.ReportMetric(kept(2, 0), "%kept-1")
			b.ReportMetric(kept(3, 0), "%kept-1000")
			b.ReportMetric(kept(3, 2), "%1000-of-1")
			b.ReportMetric(median(slices.Clone(took[0])), "ns/frame")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// push sends frames and gives the processor time that it took. The kernel forwards them
// on the sending thread, at the end of each call.
func push(b *testing.B, ns *kerneltest.NS, dev string, frame []byte, n int) time.Duration {
	b.Helper()
	index := ns.Index(dev)
	var d time.Duration
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}
		begin := threadTime()
		for range n {
			if err := unix.Sendto(fd, frame, 0, to); err != nil && err != unix.ENOBUFS {
				return err
			}
		}
		d = threadTime() - begin
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return d
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// BenchmarkApply is the time to put 1,000 sessions on a port, and to take them away.
func BenchmarkApply(b *testing.B) {
	bed := newBed(b)
	h := bed.open(MethodAny)
	set := benchSet(1000, shapes[0].rule, bed.device("m0"))
	var away []float64
	for b.Loop() {
		if err := h.Apply(b.Context(), bed.device("r0"), models.Rx, set); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := h.Detach(b.Context(), bed.host.Index("r0"), models.Rx); err != nil {
			b.Fatal(err)
		}
		away = append(away, float64(time.Since(begin).Microseconds())/1000)
	}
	b.ReportMetric(median(away), "ms-detach")
}
