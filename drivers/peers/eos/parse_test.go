package eos

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
)

func TestParseInterfaces(t *testing.T) {
	tests := []struct {
		give, want string
		used       int
	}{
		{"Ethernet1", "Ethernet1", 1},
		{"et1", "Ethernet1", 1},
		{"Ethernet 1 rx", "Ethernet1", 2},
		{"Ethernet1, Ethernet3-5 rx", "Ethernet1 Ethernet3 Ethernet4 Ethernet5", 2},
		{"Ethernet1,Ethernet3 ,Et7", "Ethernet1 Ethernet3 Ethernet7", 2},
		{"Et1-2,4", "Ethernet1 Ethernet2 Ethernet4", 1},
		{"Et1/1-3", "Ethernet1/1 Ethernet1/2 Ethernet1/3", 1},
		{"po1", "Port-Channel1", 1},
		{"Port-Channel 10", "Port-Channel10", 2},
		{"ma1", "Management1", 1},
		{"e", "", 0},
		{"Ethernet", "", 0},
		{"Ethernet1-", "", 0},
		{"Ethernet3-1", "", 0},
		{"Ethernet1-999999", "", 0},
		{"Gigabit1", "", 0},
		{"Ethernet//1", "", 0},
		{"rx", "", 0},
		{"1", "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			names, used := parseInterfaces(strings.Fields(tt.give))
			if got := strings.Join(names, " "); got != tt.want || used != tt.used {
				t.Errorf("got %q, %d words; want %q, %d", got, used, tt.want, tt.used)
			}
		})
	}
}

func TestFormatInterfaces(t *testing.T) {
	for _, tt := range []struct{ give, want string }{
		{"Ethernet5 Ethernet3 Ethernet4 Ethernet1", "Ethernet1, Ethernet3-5"},
		{"Ethernet10 Ethernet9", "Ethernet9-10"},
		{"Ethernet1/2 Ethernet1/1 Ethernet2/1", "Ethernet1/1-2, Ethernet2/1"},
		{"Ethernet1 Ethernet1", "Ethernet1"},
		{"Ethernet1 Port-Channel1", "Port-Channel1, Ethernet1"},
	} {
		if got := formatInterfaces(strings.Fields(tt.give)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.give, got, tt.want)
		}
	}
}

func TestGrammar(t *testing.T) {
	g := newGrammar()
	for _, p := range []string{"show version", "show vlan", "shut", "name n=WORD", "name default", "size [n=<1-10>]", "(a|b) [c [d]]", "text t=LINE"} {
		g.add(p, p)
	}
	for _, tt := range []struct{ give, want string }{
		{"show version", "show version"},
		{"SHO VERS", "show version"},
		{"sh v", "Ambiguous command at 0"},
		{"show v", "Ambiguous command at 1"},
		{"show", "Incomplete command at 0"},
		{"show x", "Invalid input at 1"},
		{"show version x", "Invalid input at 2"},
		{"name default", "name default"},
		{"name def", "name n=WORD"}, // a free word is not a keyword's prefix
		{"size", "size [n=<1-10>]"},
		{"size 10", "size [n=<1-10>]"},
		{"size 11", "Invalid input at 1"},
		{"size 0x5", "Invalid input at 1"},
		{"a c d", "(a|b) [c [d]]"},
		{"b", "(a|b) [c [d]]"},
		{"a d", "Invalid input at 1"},
		{"text x  y", "text t=LINE"},
		{"text", "Incomplete command at 0"},
	} {
		run, _, err := g.match(strings.Fields(tt.give), nil)
		got := fmt.Sprint(run)
		if err != nil {
			got = fmt.Sprintf("%s at %d", err.kind, err.token)
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.give, got, tt.want)
		}
	}
}

func TestACLEntries(t *testing.T) {
	tests := []struct{ kind, give, want string }{
		// The lines of networktocode/ntc-templates' capture come back as they are.
		{"ip", "10 permit ip host 10.0.0.1 10.0.0.0/24", "10 permit ip host 10.0.0.1 10.0.0.0/24"},
		{"ip", "10 permit icmp any any", "10 permit icmp any any"},
		{"ip", "50 permit tcp any any eq ssh telnet www snmp bgp https msdp", "50 permit tcp any any eq ssh telnet www snmp bgp https msdp"},
		{"ip", "60 permit udp any any eq bootps bootpc snmp rip ntp", "60 permit udp any any eq bootps bootpc snmp rip ntp"},
		{"ip", "70 permit tcp any any range 5900 5910", "70 permit tcp any any range 5900 5910"},
		{"ip", "10 permit tcp any range www ups any", "10 permit tcp any range www ups any"},
		{"ip", "30 permit tcp any eq www ups telnet vmnet any log", "30 permit tcp any eq www ups telnet vmnet any log"},
		// Numbers print as the names that EOS has for them.
		{"ip", "permit tcp any any eq 80 443 8080", "10 permit tcp any any eq www https 8080"},
		{"ip", "deny 6 any any", "10 deny tcp any any"},
		{"ip", "permit 47 any any", "10 permit 47 any any"},
		{"ip", "permit ip 10.1.2.3/8 0.0.0.0/0", "10 permit ip 10.0.0.0/8 any"},
		{"ip", "permit ip 10.1.2.3 0.0.0.255 10.0.0.1/32", "10 permit ip 10.1.2.0/24 host 10.0.0.1"},
		{"ip", "remark look  here", "10 remark look here"},
		{"ipv6", "permit ipv6 2001:DB8::/32 any", "10 permit ipv6 2001:db8::/32 any"},
		{"ipv6", "permit tcp host 2001:db8::1 any eq 22", "10 permit tcp host 2001:db8::1 any eq ssh"},
		{"mac", "permit any any", "10 permit any any"},
		{"mac", "deny 001c.7300.0001 0000.0000.0000 any arp", "10 deny 001c.7300.0001 0000.0000.0000 any arp"},
		{"mac", "permit any any 0x8100", "10 permit any any 0x8100"},
		{"ip", "permit", "Incomplete command at 1"},
		{"ip", "permit ip any", "Incomplete command at 3"},
		{"ip", "permit ip any any eq 80", "Invalid input at 4"},
		{"ip", "permit tcp any any eq", "Incomplete command at 5"},
		{"ip", "permit tcp any any gt 65535", "Incomplete command at 6"},
		{"ip", "permit ip 2001:db8::/32 any", "Invalid input at 2"},
		{"ip", "permit ip 10.0.0.0 255.0.255.0 any", "Invalid input at 3"},
		{"ip", "permit ip any any tracked", "Invalid input at 4"},
		{"ipv6", "permit ip any any", "10 permit ipv6 any any"}, // a prefix, as everywhere
		{"ipv6", "permit icmp any any", "10 permit icmpv6 any any"},
		{"ipv6", "permit gre any any", "Invalid input at 1"},
		{"ip", "allow ip any any", "Invalid input at 0"},
		{"ip", "0 permit ip any any", "Invalid input at 0"},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			e, at, why := parseEntry(tt.kind, strings.Fields(tt.give))
			got := fmt.Sprintf("%s at %d", why, at)
			if why == "" {
				a := &acl{}
				a.put(e)
				got = a.entries[0].String()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestACLFilter(t *testing.T) {
	c := newConfig(nil, "")
	a := &acl{}
	for _, l := range []string{"permit tcp any neq 22 10.0.0.0/8 lt 1024", "deny ip any any"} {
		e, _, why := parseEntry("ip", strings.Fields(l))
		if why != "" {
			t.Fatal(l, why)
		}
		a.put(e)
	}
	c.acls[aclKey{"ip", "A"}] = a
	want := fabric.Filter{
		{Action: fabric.Include, IPVersion: 4, Protocol: 6, Dst: netip.MustParsePrefix("10.0.0.0/8"),
			SrcPorts: []fabric.PortRange{{From: 0, To: 21}, {From: 23, To: 65535}}, DstPorts: []fabric.PortRange{{From: 0, To: 1023}}},
		{Action: fabric.Exclude, IPVersion: 4},
		{Action: fabric.Exclude},
	}
	if d := cmp.Diff(want, c.filter(group{kind: "ip", name: "A"}), cmpopts.EquateComparable(netip.Prefix{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if f := c.filter(group{kind: "ip", name: "missing"}); len(f) != 1 || f[0].Action != fabric.Exclude {
		t.Errorf("a missing list gives %+v", f)
	}
	if f := c.filter(group{}); f != nil {
		t.Errorf("no list gives %+v", f)
	}
}

func TestACLSequence(t *testing.T) {
	a := &acl{}
	put := func(l string) {
		e, _, why := parseEntry("ip", strings.Fields(l))
		if why != "" {
			t.Fatal(l, why)
		}
		a.put(e)
	}
	for _, l := range []string{"permit ip any host 10.0.0.1", "permit ip any host 10.0.0.2", "15 deny ip any any", "permit ip any host 10.0.0.2", "15 deny udp any any"} {
		put(l)
	}
	e, _, _ := parseEntry("ip", strings.Fields("permit ip any host 10.0.0.1"))
	if !a.drop(e) || a.drop(entry{seq: 99}) {
		t.Error("drop")
	}
	want := []string{"   15 deny udp any any", "   20 permit ip any host 10.0.0.2"}
	if d := cmp.Diff(want, a.lines()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestUnified(t *testing.T) {
	text := func(s string) []string { return strings.SplitAfter(strings.ReplaceAll(s, " ", "\n")+"\n", "\n") }
	for _, tt := range []struct{ name, a, b, want string }{
		{"equal", "a b c", "a b c", ""},
		{"changed", "1 2 3 4 x 6 7 8 9", "1 2 3 4 y 6 7 8 9", "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-x\n+y\n 6\n 7\n 8\n"},
		{"added at the end", "1 2", "1 2 3", "@@ -1,2 +1,3 @@\n 1\n 2\n+3\n"},
		{"removed at the start", "1 2", "2", "@@ -1,2 +1,1 @@\n-1\n 2\n"},
		{"two hunks", "x 1 2 3 4 5 6 7 8 y", "1 2 3 4 5 6 7 8", "@@ -1,4 +1,3 @@\n-x\n 1\n 2\n 3\n@@ -7,4 +6,3 @@\n 6\n 7\n 8\n-y\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, unified(text(tt.a), text(tt.b), 3)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// FuzzLines types lines in configuration mode and in a session. Whatever comes,
// the answer ends with a newline or is empty, refused lines change nothing, and the
// running configuration loads as itself.
func FuzzLines(f *testing.F) {
	for _, s := range []string{
		"monitor session s source Ethernet1, Ethernet3-4 rx ip access-group A priority 3\nmonitor session s destination tunnel mode gre source 1.1.1.1 destination 2.2.2.2 key 5",
		"interface et1-2\ndescription x | y\nswitchport trunk allowed vlan add 4,7-9\nno switchport\nip address 10.0.0.1/24",
		"ip access-list A\n10 permit tcp any eq 22 host 1.2.3.4 range 5 9 log\nno 10\nexit\nvlan 3,5-9\nname x",
		"interface Port-Channel3\ninterface Ethernet1\nchannel-group 3 mode active\nspeed forced 10gfull\nlldp transmit\nno interface po3",
		"username a privilege 15 secret b c\nno aaa root\nip routing\nno ip routing\nmanagement api http-commands\nno shutdown\nend",
		"configure session x\nmonitor session q truncate\ncommit timer 00:00:09\nconfigure session x abort\nshow running-config | section ^mon",
		"show interfaces status | json\nrollback clean-config\nmac access-list M\npermit any any 0x0806", "\x00\xff \t|",
	} {
		f.Add(s)
	}
	fab := fabric.New()
	sw, err := fab.AddSwitch("s")
	if err != nil {
		f.Fatal(err)
	}
	for i := range 4 {
		if err := sw.AddPort(fmt.Sprintf("Ethernet%d", i+1)); err != nil {
			f.Fatal(err)
		}
	}
	clock := NewManualClock(systemClock{}.Now())
	f.Fuzz(func(t *testing.T, text string) {
		o := Options{Hostname: "s", Switch: sw, Users: map[string]string{"a": "b"}, Clock: clock}
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for _, first := range []string{"configure", "configure session f"} {
			x := &cli{d: d, priv: 15}
			x.run(first)
			for _, line := range strings.Split(text, "\n") {
				before, depth := d.RunningConfig(), len(x.modes)
				out := x.run(line)
				if out != "" && !strings.HasSuffix(out, "\n") {
					t.Fatalf("%q answered %q", line, out)
				}
				if strings.HasPrefix(out, "% In") && (d.RunningConfig() != before || len(x.modes) != depth) {
					t.Fatalf("%q was refused (%q) and changed something:\n%s", line, out, cmp.Diff(before, d.RunningConfig()))
				}
				if x.prompt() == "" {
					t.Fatal("no prompt")
				}
			}
			x.leaveAll()
		}
		o.StartupConfig = d.RunningConfig()
		e, err := New(o)
		if err != nil {
			t.Fatalf("the running configuration does not load: %v\n%s", err, o.StartupConfig)
		}
		if diff := cmp.Diff(o.StartupConfig, e.RunningConfig()); diff != "" {
			t.Fatalf("loaded as something else (-shown +loaded):\n%s", diff)
		}
	})
}
