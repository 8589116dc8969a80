package hostmirror

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

func TestBatches(t *testing.T) {
	copyOf := func(v verb, session, dev string) operation {
		return operation{Verb: v, Dev: dev, Hook: tcnl.Ingress, Copy: bpfcopy.Session{Name: copyName(host, session)}}
	}
	filterOf := func(v verb, session, dev string) operation {
		return operation{Verb: v, Dev: dev, Hook: tcnl.Ingress, Cookie: mark{session: hashOf(host, session), hook: tcnl.Ingress}.cookie()}
	}
	guard := operation{Verb: addGuard, Dev: "r0", Hook: tcnl.Ingress}
	sent := copyOf(addCopy, "a", "r0")
	sent.Hook = tcnl.Egress
	tests := []struct {
		name string
		ops  []operation
		want [][]int
	}{
		{"none", nil, nil},
		{"one program", []operation{copyOf(addCopy, "a", "r0"), copyOf(addCopy, "b", "r0"), copyOf(delCopy, "c", "r0")}, [][]int{{0, 1, 2}}},
		{
			"two ports and two hooks", []operation{copyOf(addCopy, "a", "r0"), copyOf(addCopy, "b", "r1"), sent, copyOf(addCopy, "c", "r0")},
			[][]int{{0, 3}, {1}, {2}},
		},
		{
			"past filters of others", []operation{
				copyOf(delCopy, "a", "r0"), filterOf(delFilter, "b", "r0"), copyOf(delCopy, "c", "r0"),
				filterOf(delFilter, "d", "r1"), copyOf(delCopy, "e", "r0"),
			},
			[][]int{{0, 2, 4}, {1}, {3}},
		},
		{
			"not past a filter of the same session", []operation{
				copyOf(delCopy, "a", "r0"), filterOf(addFilter, "b", "r0"), copyOf(delCopy, "b", "r0"), copyOf(delCopy, "c", "r0"),
			},
			[][]int{{0}, {1}, {2, 3}},
		},
		{
			"a filter behind its program stays behind", []operation{
				copyOf(addCopy, "a", "r0"), filterOf(delFilter, "a", "r0"), copyOf(addCopy, "b", "r0"), filterOf(delFilter, "b", "r0"),
			},
			[][]int{{0, 2}, {1}, {3}},
		},
		{
			"past no other step", []operation{
				copyOf(addCopy, "a", "r0"), {Verb: addQdisc, Dev: "r1"}, copyOf(addCopy, "b", "r0"),
			},
			[][]int{{0}, {1}, {2}},
		},
		{
			"a guard past no filter", []operation{copyOf(addCopy, "a", "r0"), filterOf(addFilter, "b", "r0"), guard, copyOf(addCopy, "c", "r0")},
			[][]int{{0}, {1}, {2, 3}},
		},
		{
			"a filter that is not ours to know", []operation{copyOf(addCopy, "a", "r0"), {Verb: delFilter, Dev: "r0"}, copyOf(addCopy, "b", "r0")},
			[][]int{{0}, {1}, {2}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, batches(tt.ops)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}
