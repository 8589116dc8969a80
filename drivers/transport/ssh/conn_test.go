package ssh

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/drivers/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func reqs(texts ...string) []transport.Request {
	var rs []transport.Request
	for _, s := range texts {
		rs = append(rs, transport.Request{Text: s})
	}
	return rs
}

func texts(rs []transport.Reply) []string {
	var out []string
	for _, r := range rs {
		out = append(out, r.Text)
	}
	return out
}

var apply = []transport.Step{
	{Phase: transport.Enter, Text: "configure session sp-web"},
	{Phase: transport.Edit, Text: "no monitor session web", Session: "web"},
	{Phase: transport.Edit, Text: "monitor session web source Ethernet1 rx", Session: "web"},
	{Phase: transport.Edit, Text: "monitor session web destination Ethernet48", Session: "web"},
	{Phase: transport.Commit, Text: "commit"},
}

func TestReadAndSend(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1", banner: "Welcome to leaf1#\n"}.serve)
	c := dial(t, optionsFor(t, srv))
	got, err := c.Read(t.Context(), reqs("show version", "show running-config"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Version 4.30\nUptime: 3 days", "you asked for running-config"}
	if d := cmp.Diff(want, texts(got)); d != "" {
		t.Errorf("Read (-want +got):\n%s", d)
	}
	if err := c.Send(t.Context(), apply); err != nil {
		t.Error(err)
	}
	want = []string{"enable", "terminal length 0", "terminal width 32767", "show version", "show running-config", "   "}
	for _, s := range apply {
		want = append(want, s.Text)
	}
	if d := cmp.Diff(want, srv.lines()); d != "" {
		t.Errorf("typed (-want +got):\n%s", d)
	}
}
