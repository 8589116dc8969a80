package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// fiveTuple is a rule that takes one connection, which is not that of the frames sent.
func fiveTuple(i int) []models.Rule {
	host := func(net byte) models.Prefix {
		return models.Prefix{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, net, byte(i >> 8), byte(i)}), 32)}
	}
	return []models.Rule{{Action: models.Include, Match: models.Match{
		Proto: "udp", Src: host(100), Dst: host(101), Dport: []models.Range{models.One(uint16(1000 + i))},
	}}}
}

// someSessions are n sessions that take a connection each, spread over ports.
func someSessions(n int, ports ...string) []models.Session {
	var out []models.Session
	for i := range n {
		out = append(out, wanted(fmt.Sprintf("sp-%d", i), ports[i%len(ports)], models.Rx, toPort(), fiveTuple(i)))
	}
	return out
}

// sessions are n on one port, made by the method that spanctl chooses, or another.
func sessions(n int, method hostmirror.Method) way {
	name := fmt.Sprint(n)
	if method != hostmirror.MethodAuto {
		name += ", programs asked for"
	}
	return way{name: name, set: func(b *bed, _ models.Direction) (string, error) {
		m, err := openMirror(b, method)
		if err != nil {
			return "", err
		}
		defer m.Close()
		return "", bring(b, m, someSessions(n, "r0"))
	}}
}

// BenchmarkSessions is what sessions on one port cost a frame that none of them wants.
func BenchmarkSessions(b *testing.B) {
	counts := []int{1, 10, 100, 1000}
	ways := []way{{name: control, set: nothing}}
	for _, n := range counts {
		ways = append(ways, sessions(n, hostmirror.MethodAuto))
	}
	ways = append(ways, sessions(1, hostmirror.MethodBPF))
	r := newRace(b, models.Rx, ways)
	defer r.close()
	for b.Loop() {
		r.round()
	}
	t := &table{
		title: r.title("Sessions on one port, of which none wants the frame"),
		head:  []string{"sessions", "production kept", "half of the rounds", "extra ns a frame", "beside 1 session", "delivered", "copies"},
	}
	one := r.entries[1]
	for _, e := range r.entries {
		if e.refused != nil {
			t.add(e.name, cell(e.refused))
			continue
		}
		beside := ""
		if e != r.entries[0] && one.refused == nil {
			beside = percent(e.than(one))
			r.ReportMetric(100*e.than(one), "%of-1-session@"+strings.ReplaceAll(e.name, " ", "-"))
		}
		t.add(e.name, percent(e.kept.median()), fmt.Sprintf("%s to %s", percent(e.kept.at(0.25)), percent(e.kept.at(0.75))),
			fmt.Sprintf("%+.0f", e.extra.median()), beside, percent(float64(e.delivered)/float64(e.sent)), percent(float64(e.copies)/float64(e.sent)))
	}
	r.ReportMetric(0, "ns/op")
	tables = append(tables, t)
}

// BenchmarkApply is the time until 1,000 sessions are there, and gone again.
func BenchmarkApply(b *testing.B) {
	const many = 1000
	t := &table{
		title: fmt.Sprintf("Seconds to make %d sessions and to delete them; medians of %%d rounds", many),
		head:  []string{"on", "look and plan", "apply and look again", "plan the delete", "delete and look again", "tc -batch, make", "delete"},
	}
	rounds := 0
	for _, ports := range []int{1, 32, many} {
		name := fmt.Sprintf("%d-ports", ports)
		b.Run(name, func(b *testing.B) {
			var columns [6]sample
			var refused error
			for b.Loop() {
				if refused != nil {
					continue
				}
				var one [6]time.Duration
				if one, refused = applyAndDelete(b, many, ports); refused != nil {
					continue
				}
				for i, d := range one {
					columns[i] = append(columns[i], d.Seconds())
				}
			}
			rounds = b.N
			b.ReportMetric(0, "ns/op")
			row := []string{fmt.Sprintf("%d ports", ports)}
			if refused != nil {
				var e *drivers.Error
				if errors.As(refused, &e) {
					refused = e.Err
				}
				t.add(append(row, cell(refused))...)
				return
			}
			for _, c := range columns {
				cell := ""
				if c.median() > 0 {
					cell = fmt.Sprintf("%.3f", c.median())
				}
				row = append(row, cell)
			}
			t.add(row...)
			b.ReportMetric(columns[1].median(), "s-apply")
			b.ReportMetric(columns[3].median(), "s-delete")
		})
	}
	t.title = fmt.Sprintf(t.title, rounds)
	tables = append(tables, t)
}

// applyAndDelete makes sessions on a host of its own and takes them away, and gives how
// long it took: plan, apply, plan the delete, delete; then the same commands by tc, 0
// when they are not commands of tc.
func applyAndDelete(t testing.TB, many, ports int) (took [6]time.Duration, err error) {
	b := newBed(t)
	defer b.close()
	names := []string{"r0"}
	for i := 1; i < ports; i++ {
		name := fmt.Sprintf("p%d", i)
		kerneltest.Veth(b, b.host, name, b.outside, "q"+name)
		names = append(names, name)
	}
	m, err := openMirror(b, hostmirror.MethodAuto)
	if err != nil {
		return took, err
	}
	defer m.Close()
	scripts := make([]transport.Script, 2)
	for i, want := range [][]models.Session{someSessions(many, names...), nil} {
		begin := time.Now()
		c, err := change(b, m, want)
		if err != nil {
			return took, err
		}
		took[2*i] = time.Since(begin)
		begin = time.Now()
		if err := c.apply(); err != nil {
			return took, err
		}
		took[2*i+1] = time.Since(begin)
		scripts[i] = c.cp.Script
	}
	for i, s := range scripts {
		if took[4+i], err = byTC(b, s); err != nil {
			return took, err
		}
	}
	return took, nil
}

// byTC lets tc do what a script says, in one run, and gives the time that it took.
func byTC(b *bed, s transport.Script) (time.Duration, error) {
	var lines []string
	for _, step := range s.Steps {
		text, ok := strings.CutPrefix(step.Text, "tc ")
		if !ok {
			return 0, nil
		}
		if strings.HasPrefix(text, "qdisc add") {
			continue // it is there: spanctl never deletes one
		}
		text, _, _ = strings.Cut(text, " #")
		lines = append(lines, text)
	}
	begin := time.Now()
	b.host.Batch("tc", lines...)
	return time.Since(begin), nil
}
