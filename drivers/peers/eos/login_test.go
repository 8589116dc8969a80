package eos_test

import (
	"testing"

	"github.com/spanctl/spanctl/drivers/peers/eos"
)

func TestPromptsAndErrors(t *testing.T) {
	l := newLab(t, nil)
	c := login(t, l.addr)
	steps := []struct{ line, out, prompt string }{
		{"", "", "leaf1#"},
		{"! a comment", "", "leaf1#"},
		{"show", "% Incomplete command\n", "leaf1#"},
		{"frobnicate", "% Invalid input\n", "leaf1#"},
		{"show frobnicate", "% Invalid input\n", "leaf1#"},
		{"co", "% Ambiguous command\n", "leaf1#"}, // configure, copy
		{"conf t", "", "leaf1(config)#"},
		{"interface Ethernet1", "", "leaf1(config-if-Et1)#"},
		{"int et1-3,5", "", "leaf1(config-if-Et1-3,5)#"},
		{"interface ethernet 2", "", "leaf1(config-if-Et2)#"},
		{"interface Ethernet99", "% Invalid input\n", "leaf1(config-if-Et2)#"},
		{"interface Po7", "", "leaf1(config-if-Po7)#"},
		{"interface Port-Channel 7", "", "leaf1(config-if-Po7)#"},
		{"vlan 10,12-14", "", "leaf1(config-vlan-10,12-14)#"},
		{"ip access-list WEB", "", "leaf1(config-acl-WEB)#"},
		{"exit", "", "leaf1(config)#"},
		{"end", "", "leaf1#"},
		{"configure session example1", "", "leaf1(config-s-exampl)#"},
		{"interface Management 1", "", "leaf1(config-s-exampl-if-Ma1)#"},
		{"show hostname", "Hostname: leaf1\nFQDN:     leaf1\n", "leaf1(config-s-exampl-if-Ma1)#"},
		{"abort", "", "leaf1#"},
		{"disable", "", "leaf1>"},
		{"show running-config", "% Invalid input (privileged mode required)\n", "leaf1>"},
		{"configure", "% Invalid input (privileged mode required)\n", "leaf1>"},
		{"show hostname", "Hostname: leaf1\nFQDN:     leaf1\n", "leaf1>"},
		{"en", "", "leaf1#"},
		{"terminal length 0", "Pagination disabled.\n", "leaf1#"},
		{"terminal width 32767", "Width set to 32767 columns.\n", "leaf1#"},
		{"commit", "% Invalid input\n", "leaf1#"},
		{"conf", "", "leaf1(config)#"},
		{"commit", "% Invalid input\n", "leaf1(config)#"},
		{"hostname core9", "", "core9(config)#"},
		{"no hostname", "", "localhost(config)#"},
		{"exit", "", "localhost#"},
	}
	for _, s := range steps {
		out, prompt := c.run(s.line)
		if out != s.out || prompt != s.prompt {
			t.Fatalf("%q: got %q at %q, want %q at %q", s.line, out, prompt, s.out, s.prompt)
		}
	}
	c.send("exit\n")
	c.ended()
}

func TestLogin(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.LoginPrivilege = 1; o.EnableSecret = "s3cret"; o.Banner = "keep out\n" })
	for _, tt := range []struct {
		name, user, password string
		ok                   bool
	}{
		{"right", "admin", "admin", true},
		{"wrong password", "admin", "nimda", false},
		{"unknown user", "root", "admin", false},
		{"unknown user, empty password", "root", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := dial(t, l.addr, tt.user, tt.password)
			if (err == nil) != tt.ok {
				t.Fatalf("login: %v", err)
			}
			if err == nil {
				c.Close()
			}
		})
	}
}
