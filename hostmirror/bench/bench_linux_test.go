package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/models"
)

const (
	roundsPerBeds = 20   // rounds until beds are made anew
	frames        = 1000 // of a push: some milliseconds, less than the scheduler's time slice
	framesInLab   = 200  // an emulated processor is slow
)

func framesPerPush() int {
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		return framesInLab
	}
	return frames
}

// entry is what was measured of a way.
type entry struct {
	way                     way
	name                    string
	refused                 error
	bed                     *bed
	kept, extra, beside     sample
	cost                    map[int]float64 // of each round, as a part of its base
	sent, delivered, copies int
}

// race measures ways in rounds.
type race struct {
	*testing.B
	clock     func() time.Duration
	clockName string
	direction models.Direction
	entries   []*entry
	base      *bed
	baseCost  sample
	rounds    int
	limit     bool    // measure the bare copy, too
	bare      [2]*bed // m0 lets frames out, and drops them
	bareCost  sample
}

// newRace begins on a processor of its own.
func newRace(b *testing.B, d models.Direction, ways []way) *race {
	pinned(b)
	r := &race{B: b, direction: d}
	for _, w := range ways {
		r.entries = append(r.entries, &entry{way: w, name: w.name, cost: make(map[int]float64)})
	}
	return r
}

// beds makes a bed for each way.
func (r *race) beds() {
	r.close()
	r.base = newBed(r)
	if r.clock == nil {
		r.clock, r.clockName = chooseClock(r.base)
	}
	for _, e := range r.entries {
		if e.refused != nil {
			continue
		}
		bed := newBed(r)
		name, err := e.way.set(bed, r.direction)
		if err != nil {
			bed.close()
			e.refused = err
			continue
		}
		if name != "" {
			e.name = name
		}
		e.bed = bed
		bed.push(framesPerPush()/4, r.clock) // warm
	}
	if r.limit {
		// Both decide by a program whether a frame goes on: 0xffffffff is TC_ACT_UNSPEC, 2 TC_ACT_SHOT.
		for i, verdict := range []string{"4294967295", "2"} {
			r.bare[i] = newBed(r)
			if err := r.bare[i].commands("tc qdisc add dev m0 clsact"); err != nil {
				r.Fatal(err)
			}
			_, err := r.bare[i].host.Command("tc", "filter", "add", "dev", "m0", "egress", "bpf", "bytecode", "1,6 0 0 "+verdict, "direct-action")
			if err != nil {
				r.Fatal(err)
			}
			r.bare[i].socket, r.bare[i].aside = r.bare[i].sender(r.bare[i].host, "m0"), true
		}
	}
}

func (r *race) close() {
	for _, e := range r.entries {
		if e.bed != nil {
			e.bed.close()
			e.bed = nil
		}
	}
	for _, b := range []**bed{&r.base, &r.bare[0], &r.bare[1]} {
		if *b != nil {
			(*b).close()
			*b = nil
		}
	}
}

// round measures each way once, between two measurements of what it is compared with.
func (r *race) round() {
	if r.rounds%roundsPerBeds == 0 {
		r.beds()
	}
	n := framesPerPush()
	for i := range r.entries {
		e := r.entries[(i+r.rounds)%len(r.entries)]
		if e.bed == nil {
			continue
		}
		base := r.base
		for _, other := range r.entries {
			if e.way.base != "" && other.name == e.way.base {
				base = other.bed
			}
		}
		before := base.push(n, r.clock)
		s := e.bed.push(n, r.clock)
		after := base.push(n, r.clock)
		want := (before.forward + after.forward) / 2
		e.kept = append(e.kept, want/s.forward)
		e.extra = append(e.extra, s.forward+s.beside-want-(before.beside+after.beside)/2)
		e.beside = append(e.beside, s.beside)
		e.cost[r.rounds] = s.forward / want
		e.sent, e.delivered, e.copies = e.sent+s.sent, e.delivered+s.delivered, e.copies+s.copies
		if base == r.base {
			r.baseCost = append(r.baseCost, before.forward, after.forward)
		}
	}
	if r.limit {
		n := framesPerPush()
		out, dropped := r.bare[0].push(n, r.clock), r.bare[1].push(n, r.clock)
		r.bareCost = append(r.bareCost, out.forward-dropped.forward)
	}
	r.rounds++
}

// than is the rate of e as a part of that of another, round by round.
func (e *entry) than(other *entry) float64 {
	var ratios sample
	for round, c := range e.cost {
		if o, ok := other.cost[round]; ok {
			ratios = append(ratios, o/c)
		}
	}
	return ratios.median()
}

// title says what was measured, and where.
func (r *race) title(what string) string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	text := fmt.Sprintf("%s. Linux %s, %d processors", what, unix.ByteSliceToString(u.Release[:]), runtime.NumCPU())
	if forwardOn == besideOn {
		text += " (programs beside share the one that forwards)"
	}
	return fmt.Sprintf("%s, %s; medians of %d rounds of %d frames, %.0f ns a frame without a mirror.",
		text, r.clockName, r.rounds, framesPerPush(), r.baseCost.median())
}

// bestByHand is the entry of tc by hand that keeps most.
func (r *race) bestByHand() *entry {
	var best *entry
	for _, e := range r.entries {
		if strings.HasPrefix(e.name, byHand) && e.refused == nil && (best == nil || e.kept.median() > best.kept.median()) {
			best = e
		}
	}
	return best
}

func (r *race) table(what string) {
	t := &table{
		title: r.title(what),
		head:  []string{"way", "production kept", "half of the rounds", "extra ns a frame", "of it beside", "delivered", "copies"},
	}
	best := r.bestByHand()
	for _, e := range r.entries {
		if e.refused != nil {
			t.add(e.name, cell(e.refused))
			continue
		}
		part := func(n int) string { return percent(float64(n) / float64(max(e.sent, 1))) }
		beside := ""
		if len(e.bed.helper) > 0 && !e.bed.switched {
			beside = fmt.Sprintf("%.0f", e.beside.median())
		}
		t.add(e.name, percent(e.kept.median()), fmt.Sprintf("%s to %s", percent(e.kept.at(0.25)), percent(e.kept.at(0.75))),
			fmt.Sprintf("%+.0f", e.extra.median()), beside, part(e.delivered), part(e.copies))
		if !strings.HasPrefix(e.way.name, "spanctl") {
			continue
		}
		if best != nil {
			t.add(fmt.Sprintf("… beside the best tc by hand (%s)", strings.TrimPrefix(best.name, byHand)), percent(e.than(best)))
		}
		if e.way.name != "spanctl" {
			continue
		}
		r.ReportMetric(100*e.kept.median(), "%kept")
		r.ReportMetric(e.extra.median(), "extra-ns/frame")
		if best != nil {
			r.ReportMetric(100*e.than(best), "%of-"+strings.ReplaceAll(strings.TrimPrefix(best.name, byHand), " ", "-"))
		}
	}
	if base, copied := r.baseCost.median(), r.bareCost.median(); r.limit {
		t.add("limit: the copy's way through its veth alone", percent(base/(base+copied)), "", fmt.Sprintf("%+.0f", copied), "", "", "")
	}
	r.ReportMetric(0, "ns/op")
	tables = append(tables, t)
}

// BenchmarkMirror is what one session that takes every frame costs production, beside
// other ways to make the same copies.
func BenchmarkMirror(b *testing.B) {
	contests := append([]contest{{"port", "a port", plainWays()}}, tunnels()...)
	for _, d := range []models.Direction{models.Rx, models.Tx} {
		what := map[models.Direction]string{models.Rx: "Received", models.Tx: "Sent"}[d] + " frames to "
		for _, c := range contests {
			b.Run(d.String()+"/"+c.name, func(b *testing.B) {
				r := newRace(b, d, c.ways)
				defer r.close()
				r.limit = c.name == "port"
				for b.Loop() {
					r.round()
				}
				r.table(what + c.what)
			})
		}
	}
}
