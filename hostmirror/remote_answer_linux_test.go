package hostmirror

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
)

// canned is a host whose answers are made up.
type canned struct{ transport.Result }

func (c canned) Run(context.Context, string) (transport.Result, error) { return c.Result, nil }
func (c canned) Close() error                                          { return nil }

// An answer that is not whole is an error, never a part of a state.
func TestRemoteCutAnswer(t *testing.T) {
	needShell(t)
	kerneltest.NeedIproute(t)
	b := newBed(t)
	b.foreigners("r0", "r1")
	l := &localShell{ns: b.host}
	res, err := l.Run(t.Context(), shell(marking("@mark")+knowScript+readScript))
	if err != nil {
		t.Fatal(err)
	}
	look := func(out string) (*snapshot, error) {
		r := &remoteAccess{run: canned{transport.Result{Stdout: out}}, mark: "@mark"}
		return r.read(t.Context())
	}
	whole, err := look(res.Stdout)
	if err != nil || len(whole.filters) == 0 || len(whole.links) == 0 {
		t.Fatalf("%+v, %v", whole, err)
	}
	all := cmp.AllowUnexported(snapshot{}, link{}, point{})
	for n := 0; n < len(res.Stdout); n += 1 + len(res.Stdout)/1500 {
		s, err := look(res.Stdout[:n])
		if err == nil && cmp.Diff(whole, s, all, equalPrefix) != "" {
			t.Fatalf("cut after %d of %d bytes it gives a state", n, len(res.Stdout))
		}
	}
	// A part that is missing in the middle.
	parts := strings.SplitAfter(res.Stdout, "\n")
	for i := range parts {
		if !strings.HasPrefix(parts[i], "@mark ") || strings.Contains(parts[i], " begin") || strings.Contains(parts[i], " fdb") {
			continue
		}
		from := i
		for from > 0 && !strings.HasPrefix(parts[from-1], "@mark ") {
			from--
		}
		if _, err := look(strings.Join(slices.Concat(parts[:from], parts[i+1:]), "")); err == nil {
			t.Errorf("without %q it gives a state", parts[i])
		}
	}
}

// FuzzRemoteAnswer: no answer makes the reader fail, and a state is one of devices that
// are there.
func FuzzRemoteAnswer(f *testing.F) {
	const know = "\n@m begin\nh\n\n@m 0 hostname\n6.1\n\n@m 0 release\n0\n\n@m 0 uid\ntc utility, iproute2-6.1.0\n\n@m 0 version\n"
	f.Add(know+"qdisc clsact ffff: dev p0 parent ffff:fff1\n\n@m 0 qdiscs\n\n@m 0 filters p0 ingress\n\n@m 0 filters p0 egress\n[]\n@m 0 fdb\n[{\"ifindex\":3,\"ifname\":\"p0\"}]\n@m 0 links\n", "")
	f.Add("Welcome\n"+know+"\n@m 127 qdiscs\n", "sh: tc: not found")
	f.Fuzz(func(t *testing.T, out, errOut string) {
		r := &remoteAccess{run: canned{transport.Result{Stdout: out, Stderr: errOut}}, mark: "@m"}
		s, err := r.read(t.Context())
		var said *transport.Error
		if err != nil && (s != nil || !errors.As(err, &said)) {
			t.Fatalf("%+v, %v", s, err)
		}
		if err != nil {
			return
		}
		for _, f := range s.filters {
			if _, ok := s.byIndex(f.Ifindex); !ok {
				t.Errorf("a filter of no device: %+v", f)
			}
		}
		s.state(host, nil)
	})
}
