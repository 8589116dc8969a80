package iosxe_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
)

// small is a device without hosts or server, with a startup configuration.
func small(t testing.TB, router bool, startup string) *iosxe.Device {
	t.Helper()
	sw, err := fabric.New().AddSwitch("sw1")
	must(t, err)
	for i := 1; i <= 4; i++ {
		must(t, sw.AddPort(gi(i)))
	}
	d, err := iosxe.New(iosxe.Options{Hostname: "sw1", Switch: sw, Router: router, Users: map[string]string{"admin": "admin"}, StartupConfig: startup, HeaderTypeIII: true})
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, startup)
	}
	return d
}

// samePrinted checks that a device that boots with what another one prints, prints the
// same and has the same sessions.
func samePrinted(t testing.TB, d *iosxe.Device, router bool) {
	t.Helper()
	text := d.RunningConfig()
	startup := text
	if !strings.Contains(text, "\nhostname ") {
		startup = "no hostname\n" + text // New gives it the one of the options
	}
	again := small(t, router, startup)
	if diff := cmp.Diff(text, again.RunningConfig()); diff != "" {
		t.Fatalf("a printed configuration reads differently (-printed +read):\n%s", diff)
	}
	if diff := cmp.Diff(d.MonitorSessions(), again.MonitorSessions(), comparers); diff != "" {
		t.Fatalf("sessions of\n%s\n(-had +read):\n%s", text, diff)
	}
}

// Random sessions: every line that is accepted is printed so that it reads back, and
// removing them all gives the first configuration.
func TestRandomSessionsReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for _, router := range []bool{false, true} {
		d := small(t, router, "")
		must(t, d.Configure("vlan 900", "remote-span", "vlan 10,20", "interface Port-channel1", "ip access-list extended A", "permit tcp any any eq www"))
		before := d.RunningConfig()
		accepted := 0
		for range 3000 {
			n := pick("1", "2", "3", "4")
			no := pick("", "", "no ")
			interfaces := pick("Gi1/0/1", "Gi1/0/1 - 3", "Gi1/0/2 , Gi1/0/4", "Po1", "gi1/0/3")
			direction := pick("", " rx", " tx", " both")
			vlans := pick("10", "20 - 22", "10 , 30")
			flat := pick("source interface "+interfaces+direction, "source vlan "+vlans+direction, "source remote vlan 900", "filter vlan "+vlans,
				"filter ip access-group A", "destination remote vlan 900",
				"destination interface "+interfaces+pick("", " encapsulation replicate", " encapsulation dot1q ingress vlan 10", " ingress untagged vlan 5"))
			typed := pick("source interface "+interfaces+direction, "source vlan "+vlans+direction, "filter vlan "+vlans, "filter access-group A", "shutdown", "description some words",
				"destination interface "+interfaces, "header-type 3")
			inner := pick("erspan-id 7", "ip address 10.0.0.9", "origin ip address 10.0.0.1", "ip ttl 9", "ip dscp 10", "mtu 1000", "vrf RED", "ipv6 address 2001:db8::1")
			session := "monitor session " + n
			lines := [][]string{
				{no + session + " " + flat},
				{session + " type " + pick("erspan-source", "erspan-destination", "local"), no + typed},
				{session + " type erspan-source", "destination", no + inner},
				{session + " type erspan-destination", "source", no + inner},
			}[r.IntN(4)]
			if r.IntN(30) == 0 {
				lines = []string{"no " + session}
			}
			if d.Configure(lines...) == nil {
				accepted++
			}
			if r.IntN(20) == 0 {
				samePrinted(t, d, router)
			}
		}
		if accepted < 500 {
			t.Errorf("only %d of 3000 changes were accepted", accepted)
		}
		samePrinted(t, d, router)
		must(t, d.Configure("no monitor session all"))
		if diff := cmp.Diff(before, d.RunningConfig()); diff != "" {
			t.Errorf("after all sessions were removed (-before +after):\n%s", diff)
		}
	}
}

// FuzzConfigure enters lines: none panics, a refused one leaves nothing, and what is
// printed reads back.
func FuzzConfigure(f *testing.F) {
	for _, s := range []string{
		"monitor session 1 source interface Gi1/0/1 - 3 , Gi1/0/4 rx\nmonitor session 1 destination interface Gi1/0/2",
		"monitor session 2 type erspan-source\nsource vlan 10 , 20 - 30\ndestination\norigin ipv6 address 2001:db8::1\nip address 10.0.0.1",
		"vlan 900\nname X\nremote-span\nmonitor session 3 source remote vlan 900",
		"ip access-list extended A\n10 permit tcp 10.0.0.0 0.0.0.255 range 1 5 host 10.0.0.1 eq www log\nremark some words\nno 10",
		"ip access-list standard 7\npermit 10.0.0.0 0.0.0.255\ndeny host 10.0.0.1\npermit any log",
		"ipv6 access-list B\npermit udp 2001:db8::/32 any eq domain",
		"interface Gi1/0/1\nswitchport trunk allowed vlan 1-10,20\nswitchport trunk allowed vlan remove 5\nswitchport mode trunk\nchannel-group 5 mode active",
		"line vty 0 4\nexec-timeout 0\nexit\nno ip http server\nusername u privilege 15 secret x\narchive\npath flash:a\nmaximum 5",
		"interface range Gi1/0/1 - 2\nno switchport\nip address 10.0.0.1 255.255.255.0\nspanning-tree portfast\nno snmp trap link-status\nspeed 1000",
		"hostname x\nno hostname\nvrf definition Mgmt-vrf\naddress-family ipv4\nexit-address-family", "do show run\nend", "exit\nexit",
	} {
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, router bool) {
		if len(text) > 2000 {
			return
		}
		d := small(t, router, "")
		for _, block := range strings.Split(text, "\n\n") {
			before := d.RunningConfig()
			if err := d.Configure(strings.Split(block, "\n")...); err != nil {
				if diff := cmp.Diff(before, d.RunningConfig()); diff != "" {
					t.Fatalf("%v, but (-before +after):\n%s", err, diff)
				}
			}
		}
		samePrinted(t, d, router)
	})
}
