package hostkeep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAlarm: every event is told of, and before the look that it leads to.
func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		events := make(chan string, 3)
		w := Watcher{
			Settle: time.Second, Most: time.Minute, Every: time.Hour,
			Events: func(ctx context.Context) (<-chan string, error) {
				for _, e := range []string{"a", "b", "a"} {
					events <- e
				}
				context.AfterFunc(ctx, func() { close(events) })
				return events, nil
			},
			Alarm: func(_ context.Context, e string) { got = append(got, "alarm "+e) },
			Look: func(_ context.Context, why string) time.Time {
				if got = append(got, "look "+why); why != "" {
					cancel()
				}
				return time.Time{}
			},
		}
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]string{"look ", "alarm a", "alarm b", "alarm a", "look a, b"}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

type looked struct {
	At  time.Duration // since the beginning
	Why string
}

// watched runs a Watcher in fake time and gives its looks. events are sent at their
// time; each look takes a second; next is what it asks for.
func watched(t *testing.T, length time.Duration, events []looked, next func(time.Duration) time.Duration) []looked {
	t.Helper()
	var out []looked
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		begin := time.Now()
		w := Watcher{
			Settle: 200 * time.Millisecond, Most: 2 * time.Second, Every: time.Minute,
			Events: func(ctx context.Context) (<-chan string, error) {
				ch := make(chan string)
				go func() {
					defer close(ch)
					for _, e := range events {
						time.Sleep(time.Until(begin.Add(e.At)))
						select {
						case ch <- e.Why:
						case <-ctx.Done():
							return
						}
					}
					<-ctx.Done()
				}()
				return ch, nil
			},
			Look: func(_ context.Context, why string) time.Time {
				out = append(out, looked{time.Since(begin), why})
				time.Sleep(time.Second)
				if next == nil {
					return time.Time{}
				}
				return time.Now().Add(next(time.Since(begin)))
			},
		}
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return out
}

func TestWatcher(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	tests := []struct {
		name   string
		length time.Duration
		events []looked
		next   func(time.Duration) time.Duration
		want   []looked
	}{
		{"at once and by the slow timer", 130 * s, nil, nil, []looked{{0, ""}, {61 * s, ""}, {122 * s, ""}}},
		{
			"events that belong together are one look", 30 * s,
			[]looked{{10 * s, "m0 went"}, {10*s + 100*ms, "m0 came"}, {10*s + 250*ms, "m0 went"}}, nil,
			[]looked{{0, ""}, {10*s + 450*ms, "m0 went, m0 came"}},
		},
		{
			"a storm does not keep it from looking", 13 * s,
			[]looked{{10 * s, "a"}, {10*s + 150*ms, "b"}, {10*s + 300*ms, "c"}, {10*s + 450*ms, "d"}, {10*s + 600*ms, "e"}, {10*s + 750*ms, "f"},
				{10*s + 900*ms, "a"}, {11*s + 50*ms, "a"}, {11*s + 200*ms, "a"}, {11*s + 350*ms, "a"}, {11*s + 500*ms, "a"},
				{11*s + 650*ms, "a"}, {11*s + 800*ms, "a"}, {11*s + 950*ms, "a"}, {12*s + 900*ms, "g"}}, nil,
			[]looked{{0, ""}, {12 * s, "a, b, c, d, and 2 more changes"}},
		},
		{
			"what happens during a look is not missed", 30 * s,
			[]looked{{500 * ms, "m0 went"}}, nil,
			[]looked{{0, ""}, {1200 * ms, "m0 went"}},
		},
		{
			"a lease that ends earlier", 40 * s, nil, func(at time.Duration) time.Duration { return 14 * s },
			[]looked{{0, ""}, {15 * s, ""}, {30 * s, ""}},
		},
		{
			"a moment that has passed", 3500 * ms, nil, func(at time.Duration) time.Duration { return -time.Hour },
			[]looked{{0, ""}, {1 * s, ""}, {2 * s, ""}, {3 * s, ""}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, watched(t, tt.length, tt.events, tt.next)); d != "" {
				t.Errorf("looks (-want +got):\n%s", d)
			}
		})
	}
}

func TestWatcherWithoutEvents(t *testing.T) {
	want := errors.New("no events")
	w := Watcher{
		Events: func(context.Context) (<-chan string, error) { return nil, want },
		Look:   func(context.Context, string) time.Time { t.Error("looked"); return time.Time{} },
	}
	if err := w.Run(t.Context()); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}
