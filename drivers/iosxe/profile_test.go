package iosxe_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/iosxe"
	peer "github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/drivers/transport/ssh"
)

func TestProfilePatterns(t *testing.T) {
	p := iosxe.Dialect{}.Profile()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	prompts := []struct {
		text               string
		host               string // "" = no prompt
		exec, unprivileged bool
	}{
		{"sw1>", "sw1", false, true},
		{"sw1#", "sw1", true, false},
		{"sw1# ", "sw1", true, false},
		{"LAB-SW123_9200L#", "LAB-SW123_9200L", true, false},
		{"9300-24UX-1(config)#", "9300-24UX-1", false, false},
		{"Switch-9300(config-mon-erspan-src-dst)#", "Switch-9300", false, false},
		{"sw1.example.net(config-ext-nacl)#", "sw1.example.net", false, false},
		{"sw1(config-if)#", "sw1", false, false},
		{"sw1(ca-trustpoint)#", "sw1", false, false},
		{"sw1#show version", "", false, false},
		{"Session 1", "", false, false},
		{"banner exec ^C", "", false, false},
		{"#", "", false, false},
		{"!", "", false, false},
		{"% Invalid input detected at '^' marker.", "", false, false},
	}
	for _, tt := range prompts {
		m := p.Prompt.FindStringSubmatch(tt.text)
		host := ""
		if m != nil {
			host = m[p.Prompt.SubexpIndex(transport.PromptHost)]
		}
		if host != tt.host || p.Exec.MatchString(tt.text) != tt.exec || p.Privilege.Unprivileged.MatchString(tt.text) != tt.unprivileged {
			t.Errorf("%q: host %q, exec %v, unprivileged %v", tt.text, host, p.Exec.MatchString(tt.text), p.Privilege.Unprivileged.MatchString(tt.text))
		}
	}
	async := map[string]bool{
		"*Mar  1 00:05:40.771: %SYS-5-CONFIG_I: Configured from console by admin on vty0 (192.0.2.1)":  true,
		"Jun 17 12:47:37.123 UTC: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to up": true,
		"000123: *Jan  2 2026 03:04:05: %PARSER-5-CFGLOG_LOGGEDCMD: User:admin  logged command:end":    true,
		".Jan 12 03:04:05.001 CEST: %LINEPROTO-5-UPDOWN: Line protocol on Interface Vlan1":             true,
		"00:01:02: %LINK-5-CHANGED: Interface Fa0/1, changed state to administratively down":           true,
		"1w2d: %SYS-5-RESTART: System restarted --":                                                    true,
		"%SYS-5-CONFIG_I: Configured from console":                                                     true,
		"% Local Session limit has been exceeded":                                                      false,
		"%No Rollback Confirmed Change pending":                                                        false,
		"description 00:01:02: %LINK-5-CHANGED: x":                                                     false,
		"Status                 : Admin Enabled":                                                       false,
	}
	for line, want := range async {
		if got := p.Async.MatchString(line); got != want {
			t.Errorf("%q is printed in between: %v; want %v", line, got, want)
		}
	}
	refused := map[string]bool{
		"% Invalid input detected at '^' marker.": true, "% Incomplete command.": true, "%Please turn config archive on": true,
		"Command authorization failed.": true, "No SPAN configuration is present in the system.": false, "Session 1": false,
	}
	for line, want := range refused {
		got := false
		for _, re := range p.Refused {
			got = got || re.MatchString(line)
		}
		if got != want {
			t.Errorf("%q is a refusal: %v; want %v", line, got, want)
		}
	}
	for text, refuse := range map[string]string{
		"Overwrite the previous NVRAM configuration?[confirm]":             "",
		"Destination filename [startup-config]?":                           "-",
		"Do you want to continue? [yes/no]: ":                              "no",
		"Are you sure you want to generate a new persistent config [y/n]:": "no",
		"monitor session 1 source interface Gi1/0/1":                       "-",
	} {
		got := "-"
		for _, q := range p.Questions {
			if q.Pattern.MatchString(text) {
				got = q.Refuse
			}
		}
		if got != refuse {
			t.Errorf("%q is answered with %q; want %q", text, got, refuse)
		}
	}
	if !p.Pager.MatchString(" --More-- ") {
		t.Error("the pager is not known")
	}
}

// TestLogLines: messages in the middle of answers are no part of them, and no
// refusal of a step.
func TestLogLines(t *testing.T) {
	b := startSwitch(t)
	d, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	quiet, err := d.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const message = "*Jan  2 03:04:05.006: %LINK-3-UPDOWN: Interface GigabitEthernet1/0/1, changed state to up"
	if err := b.dev.SetFaults(peer.FaultSpec{Lines: []peer.Fault{{Line: "", Action: "log", Text: message}}}); err != nil {
		t.Fatal(err)
	}
	noisy, err := d.Observe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(quiet, noisy, cmpAddr); diff != "" {
		t.Errorf("messages change the state (-quiet +noisy):\n%s", diff)
	}
	c, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Send(t.Context(), []transport.Step{
		{Phase: transport.Enter, Text: "configure terminal", Accept: "^Enter configuration commands"},
		{Phase: transport.Edit, Text: "monitor session 1 source interface GigabitEthernet1/0/1 rx"},
		{Phase: transport.Leave, Text: "end"},
	})
	if err != nil {
		t.Errorf("steps among messages: %v", err)
	}
}

// TestEnableSecret: a wrong or missing secret is told as such.
func TestEnableSecret(t *testing.T) {
	for name, enable := range map[string]ssh.Secret{
		"wrong":   secret("guess"),
		"missing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err := startSwitch(t).dial(ctx, enable)
			if err == nil {
				_, err = c.Read(ctx, []transport.Request{{Text: "show running-config"}})
				_ = c.Close()
			}
			var te *transport.Error
			if !errors.As(err, &te) || te.Kind != transport.Auth {
				t.Errorf("error is %v; want one of kind %s", err, transport.Auth)
			}
			if err != nil && strings.Contains(err.Error(), "guess") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}
