package iosxe_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	l := newLab(t, nil)
	for _, tt := range []struct {
		name  string
		lines []string
		want  string // what the running configuration has
	}{
		{"doubled and unsorted", []string{"monitor session 1 source interface Gi1/0/4 , Gi1/0/1 - 2 , Gi1/0/2", "monitor session 1 filter vlan 20 , 10 , 10 - 12 , 20"},
			"\nmonitor session 1 source interface Gi1/0/1 - 2 , Gi1/0/4\nmonitor session 1 filter vlan 10 - 12 , 20\n!\n"},
		{"abbreviated", []string{"mon sess 2 sou int g1/0/5 b", "mon sess 2 d i GigabitEthernet1/0/6 e r"},
			"\nmonitor session 2 source interface Gi1/0/5\nmonitor session 2 destination interface Gi1/0/6 encapsulation replicate\n"},
		{"directions apart", []string{"monitor session 3 source interface Gi1/0/1 - 3", "no monitor session 3 source interface Gi1/0/2 tx", "no monitor session 3 source interface Gi1/0/3 rx"},
			"\nmonitor session 3 source interface Gi1/0/1\nmonitor session 3 source interface Gi1/0/2 rx\nmonitor session 3 source interface Gi1/0/3 tx\n"},
		{"a port that is switched again has no address", []string{"interface Gi1/0/7", "no switchport", "ip address 10.0.0.1 255.0.0.0", "switchport", "no switchport"},
			"\ninterface GigabitEthernet1/0/7\n no switchport\n no ip address\n!\n"},
		{"an access VLAN is made", []string{"interface Gi1/0/8", "switchport access vlan 33"}, "\nvlan 33\n!\n"},
		{"trunks", []string{"interface Te1/1/1", "switchport trunk allowed vlan 1-5", "switchport trunk allowed vlan add 9", "switchport trunk allowed vlan remove 2-3"},
			"\n switchport trunk allowed vlan 1,4-5,9\n"},
		{"trunks, doubled", []string{"interface Te1/1/1", "switchport trunk allowed vlan 5,4,5"}, "\n switchport trunk allowed vlan 4-5\n"},
		{"trunks, except", []string{"interface Te1/1/1", "switchport trunk allowed vlan except 100"}, "\n switchport trunk allowed vlan 1-99,101-4094\n"},
		{"trunks, none", []string{"interface Te1/1/1", "switchport trunk allowed vlan none"}, "\n switchport trunk allowed vlan none\n"},
		{"a standard list", []string{"ip access-list standard 5", "permit 10.0.0.0 0.0.0.255", "deny host 10.1.0.1", "permit 10.1.0.2 log", "deny any", "no 40"},
			"\nip access-list standard 5\n 10 permit 10.0.0.0 0.0.0.255\n 20 deny 10.1.0.1\n 30 permit 10.1.0.2 log\n!\n"},
		{"a password is hidden", []string{"username x privilege 15 secret letmein"}, "\nusername x privilege 15 secret 9 $9$"},
	} {
		if err := l.device.Configure(tt.lines...); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := l.device.RunningConfig(); !strings.Contains(got, tt.want) || strings.Contains(got, "letmein") {
			t.Errorf("%s: no %q in\n%s", tt.name, tt.want, got)
		}
	}
	c := login(t, l.addr).config()
	if got := c.out("ip access-list extended 5"); got != "% A named standard IP access list with this name already exists\n" {
		t.Errorf("an extended list of the name of a standard one: %q", got)
	}
	c.ok("vlan 33")
	if _, prompt := c.run("no vlan 1"); prompt != "sw1(config-vlan)#" {
		t.Errorf("a global line that is refused left the mode: %s", prompt)
	}
	for _, port := range []string{"Gi1/0/99", "Gi1/0/01", "Vlan4095", "Vlan0", "Port-channel129", "Nonsense1"} {
		if got := c.out("interface " + port); got != invalid("sw1(config-vlan)#", 10) {
			t.Errorf("interface %s: %q", port, got)
		}
	}
	if got := c.out("interface Gi1/0/1"); got != "" {
		t.Errorf("interface: %q", got)
	}
	if got := c.out("ip address 10.0.0.1 255.0.0.0"); got != invalid("sw1(config-if)#", 20) {
		t.Errorf("an address on a switched port: %q", got)
	}
	if got := c.out("switchport access vlan 34"); got != "% Access VLAN does not exist. Creating vlan 34\n" {
		t.Errorf("an access VLAN that does not exist: %q", got)
	}
}

// TestTwoTerminals takes away with one terminal what the other one is configuring.
func TestTwoTerminals(t *testing.T) {
	l := newLab(t, nil)
	a, b := login(t, l.addr).config(), login(t, l.addr).config()
	for _, tt := range []struct {
		enter        []string
		remove, line string
		want         string
	}{
		{[]string{"ip access-list extended A"}, "no ip access-list extended A", "permit ip any any", "% Access list A does not exist any more\n"},
		{[]string{"interface Vlan5"}, "no interface Vlan5", "shutdown", "% Interface Vlan5 does not exist any more\n"},
		{[]string{"monitor session 1 type erspan-source"}, "no monitor session 1", "no shutdown", "% Session 1 does not exist\n"},
		{[]string{"monitor session 1 type erspan-source", "destination"}, "no monitor session 1", "erspan-id 5", "% Session 1 does not exist\n"},
		{[]string{"vlan 77"}, "no vlan 77", "name X", ""}, // a VLAN's mode makes it
		{[]string{"line vty 0 4"}, "no line vty 0 4", "length 0", ""},
	} {
		a.ok(tt.enter...)
		b.ok(tt.remove)
		if d := cmp.Diff(tt.want, a.out(tt.line)); d != "" {
			t.Errorf("%q after %q (-want +got):\n%s", tt.line, tt.remove, d)
		}
	}
	if got := l.device.MonitorSessions(); len(got) != 0 {
		t.Errorf("a session came back: %+v", got)
	}
}
