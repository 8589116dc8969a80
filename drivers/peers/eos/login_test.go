package eos_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

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
	banner := ""
	if c, err := ssh.Dial("tcp", l.addr, &ssh.ClientConfig{User: "admin", Auth: []ssh.AuthMethod{ssh.Password("admin")}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		BannerCallback: func(m string) error { banner = m; return nil }}); err != nil || banner != "keep out\n" {
		t.Errorf("banner %q, %v", banner, err)
	} else {
		c.Close()
	}
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

func TestEnableSecret(t *testing.T) {
	l := newLab(t, func(o *eos.Options) { o.LoginPrivilege = 1; o.EnableSecret = "s3cret"; o.MOTD = "hello" })
	conn, err := dial(t, l.addr, "admin", "admin")
	must(t, err)
	c := shell(t, conn, 0)
	if got := c.until(promptAt); got != "hello\r\nleaf1>" {
		t.Errorf("after login: %q", got)
	}
	password := regexp.MustCompile(`Password: $`)
	c.send("enable\n")
	c.until(password)
	for range 2 {
		c.send("wrong\n")
		c.until(password)
	}
	// Another user is not held up while a password is awaited.
	login(t, l.addr).ok("")
	c.send("wrong\n")
	if got := c.until(promptAt); got != "\r\n% Bad secret\r\nleaf1>" {
		t.Errorf("three wrong secrets: %q", got)
	}
	c.send("enable\n")
	c.until(password)
	c.send("s3cret\n")
	if got := c.prompt(); got != "leaf1#" {
		t.Errorf("prompt %q", got)
	}
	for _, line := range l.device.Wire() {
		if line == "wrong" || line == "s3cret" {
			t.Errorf("a password is in the wire log")
		}
	}
}

func TestPaging(t *testing.T) {
	l := newLab(t, nil)
	conn, err := dial(t, l.addr, "admin", "admin")
	must(t, err)
	c := shell(t, conn, 10)
	c.prompt()
	pager := regexp.MustCompile(` --More-- $`)
	c.send("show running-config\n")
	first := c.until(pager)
	if n := strings.Count(first, "\n"); n != 10 { // the echoed line and nine more
		t.Errorf("first page has %d lines:\n%s", n, first)
	}
	c.send("\r")
	if got := c.until(pager); strings.Count(got, "\n") != 1 {
		t.Errorf("return shows %q", got)
	}
	c.send(" ")
	if got := c.until(pager); strings.Count(got, "\n") != 9 {
		t.Errorf("space shows %q", got)
	}
	c.send("q")
	c.prompt()
	c.out("terminal length 0")
	if got := c.out("show running-config"); got != l.device.RunningConfig() {
		t.Errorf("unpaged (-truth +shown):\n%s", cmp.Diff(l.device.RunningConfig(), got))
	}
}

func TestExecRequest(t *testing.T) {
	l := newLab(t, nil)
	conn, err := dial(t, l.addr, "admin", "admin")
	must(t, err)
	defer conn.Close()
	for _, tt := range []struct {
		give, want string
		status     int
	}{
		{"show hostname", "Hostname: leaf1\nFQDN:     leaf1\n", 0},
		{"show running-config", l.device.RunningConfig(), 0}, // never paged
		{"show bogus", "% Invalid input (at token 1: 'bogus')\n", 1},
		{"show", "% Incomplete command (at token 0: 'show')\n", 1},
		{"configure\nhostname x9\nend\nshow hostname", "Hostname: x9\nFQDN:     x9\n", 0},
	} {
		s, err := conn.NewSession()
		must(t, err)
		out, err := s.Output(tt.give)
		status := 0
		if e, ok := err.(*ssh.ExitError); ok {
			status = e.ExitStatus()
		} else {
			must(t, err)
		}
		if string(out) != tt.want || status != tt.status {
			t.Errorf("%q: status %d, %q", tt.give, status, out)
		}
	}
}
