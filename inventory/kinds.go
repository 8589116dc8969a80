package inventory

import (
	"maps"
	"slices"
	"sync"
)

// Platform keys: our names of network OSes, in scrapli's style. Drivers register
// under them; kinds and names of other tools are mapped to them here.
const (
	PlatformAOSCX    = "aruba_aoscx"
	PlatformEOS      = "arista_eos"
	PlatformIOS      = "cisco_ios"
	PlatformIOSXE    = "cisco_iosxe"
	PlatformIOSXR    = "cisco_iosxr"
	PlatformNXOS     = "cisco_nxos"
	PlatformCumulus  = "cumulus_linux"
	PlatformOS10     = "dell_os10"
	PlatformVRP      = "huawei_vrp"
	PlatformOcNOS    = "ipinfusion_ocnos"
	PlatformOVS      = "ovs" // as containerlab names the kind, less -bridge
	PlatformJunos    = "juniper_junos"
	PlatformLinux    = "linux"
	PlatformRouterOS = "mikrotik_routeros"
	PlatformSRL      = "nokia_srl"
	PlatformSROS     = "nokia_sros"
	PlatformSONiC    = "sonic"
	PlatformVyOS     = "vyatta_vyos"
)

// otherNames are names that other tools use for our platforms: containerlab's
// scrapli names, NAPALM, Netmiko's common ones. Kinds of containerlab are added
// from its table. Source: containerlab nodes/*/*.go (ScrapliPlatformName,
// NapalmPlatformName); scrapli v1 and v2 differ in nokia_srlinux.
var otherNames = map[string]string{
	"aoscx": PlatformAOSCX, "eos": PlatformEOS, "ios": PlatformIOS, "iosxr": PlatformIOSXR,
	"cisco_xr": PlatformIOSXR, "cisco_xe": PlatformIOSXE, "nxos": PlatformNXOS, "junos": PlatformJunos,
	"nokia_srlinux": PlatformSRL, "srlinux": PlatformSRL, "sros": PlatformSROS, "dell_emc": PlatformOS10,
	"vyos": PlatformVyOS,
}

// kind is a node kind of containerlab.
type kind struct {
	names    []string // as a topology may write it, any case
	platform string   // ours; a kind that is no network OS of ours has containerlab's name
	user     string   // default credentials; public, "" = none
	password string
	scrapli  string // containerlab's own names for other tools, "" = none
	napalm   string
	naming   labNaming
	// passive kinds are no devices to log in to: bridges of the host, the host
	// itself, and containers that are hosts of the lab.
	passive bool
}

// kinds is the table of containerlab's node kinds. Source: srl-labs/containerlab
// commit 39ff2b7ccce20f3c4610fcbd1fc030582f4499c1, nodes/*/*.go (kindNames,
// defaultCredentials, scrapliPlatformName, NapalmPlatformName, InterfaceRegexp,
// InterfaceOffset, CheckInterfaceName) and docs/manual/kinds/*.md (NOS names).
var kinds = []kind{
	{names: []string{"arista_ceos", "ceos"}, platform: PlatformEOS, user: "admin", password: "admin", scrapli: "arista_eos", napalm: "eos", naming: ceosNaming},
	{names: []string{"arista_veos", "vr-veos", "vr-arista_veos"}, platform: PlatformEOS, user: "admin", password: "admin", scrapli: "arista_eos", napalm: "eos",
		naming: vm(`(?:Et|Ethernet)1/(?P<port>\d+)`, 1, "Ethernet1/%d")},
	{names: []string{"nokia_srlinux", "srl"}, platform: PlatformSRL, user: "admin", password: "NokiaSrl1!", scrapli: "nokia_srlinux", naming: srlNaming},
	{names: []string{"nokia_sros", "vr-sros", "vr-nokia_sros"}, platform: PlatformSROS, user: "admin", password: "admin", scrapli: "nokia_sros", naming: srosNaming},
	{names: []string{"nokia_srsim"}, platform: PlatformSROS, user: "admin", password: "NokiaSros1!", scrapli: "nokia_sros", naming: srsimNaming},
	{names: []string{"cisco_xrd", "xrd"}, platform: PlatformIOSXR, user: "clab", password: "clab@123", scrapli: "cisco_iosxr", napalm: "iosxr", naming: xrdNaming},
	{names: []string{"cisco_xrd_vrouter"}, platform: PlatformIOSXR, user: "clab", password: "clab@123", scrapli: "cisco_iosxr", napalm: "iosxr",
		naming: vm(`(?:Gi|GigabitEthernet|Te|TenGigE|TenGigabitEthernet)\s?0/0/0/(?P<port>\d+)`, 0, "TenGigE0/0/0/%d")},
	{names: []string{"cisco_xrv9k", "vr-xrv9k", "vr-cisco_xrv9k"}, platform: PlatformIOSXR, user: "clab", password: "clab@123", scrapli: "cisco_iosxr", napalm: "iosxr",
		naming: vm(`(?:Gi|GigabitEthernet|Te|TenGigE|TenGigabitEthernet)\s?0/0/0/(?P<port>\d+)`, 0, "GigabitEthernet0/0/0/%d")},
	{names: []string{"cisco_xrv", "vr-xrv", "vr-cisco_xrv"}, platform: PlatformIOSXR, user: "clab", password: "clab@123", scrapli: "cisco_iosxr", napalm: "iosxr",
		naming: vm(`(?:Gi|GigabitEthernet)\s?0/0/0/(?P<port>\d+)$`, 0, "GigabitEthernet0/0/0/%d")},
	{names: []string{"cisco_c8000", "c8000"}, platform: PlatformIOSXR, user: "cisco", password: "cisco123", scrapli: "cisco_iosxr", napalm: "iosxr", naming: c8000Naming},
	{names: []string{"cisco_cat9kv"}, platform: PlatformIOSXE, user: "admin", password: "admin", scrapli: "cisco_iosxe",
		naming: vm(`(?:Gi|GigabitEthernet)\s?1/0/(?P<port>\d+)$`, 1, "GigabitEthernet1/0/%d")},
	{names: []string{"cisco_c8000v"}, platform: PlatformIOSXE, user: "admin", password: "admin", scrapli: "cisco_iosxe",
		naming: vm(`(?:Gi|GigabitEthernet)\s?(?P<port>\d+)$`, 2, "GigabitEthernet%d")},
	{names: []string{"cisco_csr1000v", "vr-csr", "vr-cisco_csr1000v"}, platform: PlatformIOSXE, user: "admin", password: "admin", scrapli: "cisco_iosxe",
		naming: vm(`(?:Gi|GigabitEthernet)\s?(?P<port>\d+)$`, 2, "GigabitEthernet%d")},
	{names: []string{"cisco_sdwan"}, platform: PlatformIOSXE, user: "admin", password: "admin", scrapli: "cisco_iosxe", naming: ethOnly("")},
	{names: []string{"cisco_iol"}, platform: PlatformIOS, user: "admin", password: "admin", scrapli: "cisco_ios", napalm: "ios", naming: iolNaming},
	{names: []string{"cisco_vios"}, platform: PlatformIOS, user: "admin", password: "admin", scrapli: "cisco_ios",
		naming: vm(`(?:Gi|GigabitEthernet)\s?(?P<port>\d+)$`, 0, "GigabitEthernet%d")},
	{names: []string{"cisco_n9kv", "vr-n9kv", "vr-cisco_n9kv"}, platform: PlatformNXOS, user: "admin", password: "admin", scrapli: "cisco_nxos", napalm: "nxos",
		naming: vm(`(?:Ethernet|Et)\s?1/(?P<port>\d+)`, 1, "Ethernet1/%d")},
	{names: []string{"juniper_vjunosswitch", "juniper_vjunosrouter"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(junosPort, 0, "ge-0/0/%d")},
	{names: []string{"juniper_vjunosevolved"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(junosPort, 0, "et-0/0/%d")},
	{names: []string{"juniper_cjunosevolved", "cjunosevolved"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(`et-0/0/(?P<port>\d+)$`, -3, "et-0/0/%d")},
	{names: []string{"juniper_vqfx", "vr-vqfx", "vr-juniper_vqfx"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(junosPort, 0, "et-0/0/%d")}, // docs: "eth1 ... mapped to et-0/0/0"; a vQFX itself says xe-0/0/0: unverified
	{names: []string{"juniper_vmx", "vr-vmx", "vr-juniper_vmx"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(junosPort, 0, "ge-0/0/%d")},
	{names: []string{"juniper_vsrx", "vr-vsrx", "vr-juniper_vsrx"}, platform: PlatformJunos, user: "admin", password: "admin@123", scrapli: "juniper_junos", napalm: "junos",
		naming: vm(junosPort, 0, "ge-0/0/%d")},
	{names: []string{"juniper_crpd", "crpd"}, platform: PlatformJunos, user: "root", password: "clab123", scrapli: "juniper_junos", napalm: "junos"},
	{names: []string{"juniper_csrx"}, platform: PlatformJunos, user: "root", password: "clab123", scrapli: "juniper_junos", napalm: "junos"},
	{names: []string{"sonic-vs"}, platform: PlatformSONiC, scrapli: "sonic", naming: sonicNaming},
	{names: []string{"sonic-vm"}, platform: PlatformSONiC, user: "admin", password: "admin", scrapli: "sonic", naming: sonicVMNaming},
	{names: []string{"dell_sonic"}, platform: PlatformSONiC, user: "admin", password: "admin", scrapli: "sonic", naming: sonicVMNaming},
	{names: []string{"plvision_sonic"}, platform: PlatformSONiC, user: "admin", password: "admin", scrapli: "sonic", naming: sonicVMNaming},
	{names: []string{"nvidia_cumulusvx"}, platform: PlatformCumulus, user: "cumulus", password: "Clab123!", naming: vm(`swp(?P<port>\d+)`, 1, "swp%d")},
	{names: []string{"cumulus_cvx", "cvx"}, platform: PlatformCumulus, naming: sameName(`swp[\d.]+$`, "swpX")},
	{names: []string{"aruba_aoscx", "vr-aoscx", "vr-aruba_aoscx"}, platform: PlatformAOSCX, user: "admin", password: "admin", scrapli: "aruba_aoscx",
		naming: vm(`1/1/(?P<port>\d+)`, 1, "1/1/%d")},
	{names: []string{"huawei_vrp"}, platform: PlatformVRP, user: "admin", password: "admin", scrapli: "huawei_vrp", naming: ethOnly("Ethernet1/0/%d")},
	{names: []string{"dell_ftosv", "vr-ftosv", "vr-dell_ftosv"}, platform: PlatformOS10, user: "admin", password: "admin", scrapli: "dell_emc", naming: ethOnly("")},
	{names: []string{"ipinfusion_ocnos"}, platform: PlatformOcNOS, user: "admin", password: "admin@123", scrapli: "ipinfusion_ocnos", naming: ethOnly("")},
	{names: []string{"arrcus_arcos"}, platform: "arrcus_arcos", user: "clab", password: "clab@123", naming: sameName(`^swp\d+(\.\d+)?$`, "swpX")},
	{names: []string{"ciena_saos", "vr-ciena_saos"}, platform: "ciena_saos", user: "diag", password: "ciena123", naming: vm(`^(?P<port>[1-9]\d*)$`, 1, "%d")},
	{names: []string{"vyosnetworks_vyos"}, platform: PlatformVyOS, user: "admin", password: "admin", scrapli: "vyatta_vyos", napalm: "vyos", naming: sameName(`eth[1-9][0-9]*$`, "ethX (X >= 1)")},
	{names: []string{"mikrotik_ros", "vr-ros", "vr-mikrotik_ros"}, platform: PlatformRouterOS, user: "admin", password: "admin", scrapli: "mikrotik_routeros",
		naming: vm(`ether(?P<port>\d+)`, 2, "ether%d")},

	// No platform of ours: known so that a topology with them loads.
	{names: []string{"6wind_vsr"}, platform: "6wind_vsr", user: "admin", password: "admin"},
	{names: []string{"checkpoint_cloudguard"}, platform: "checkpoint_cloudguard", user: "admin", password: "admin", naming: ethOnly("")},
	{names: []string{"cisco_asav"}, platform: "cisco_asa", user: "admin", password: "CiscoAsa1!", scrapli: "cisco_asa",
		naming: vm(`(?:GigabitEthernet|Gi)\s?0/(?P<port>\d+)`, 0, "GigabitEthernet0/%d")},
	{names: []string{"cisco_ftdv"}, platform: "cisco_ftd", user: "admin", password: "Admin@123", scrapli: "cisco_ftd",
		naming: vm(`(?:GigabitEthernet|Gi)\s?0/(?P<port>\d+)`, 0, "GigabitEthernet0/%d")},
	{names: []string{"f5_bigip-ve"}, platform: "f5_bigip-ve", user: "admin", password: "Labl@b!234", naming: vm(`^1\.(?P<port>\d+)$`, 1, "1.%d")},
	{names: []string{"fdio_vpp"}, platform: "fdio_vpp", user: "root", password: "vpp"},
	{names: []string{"fortinet_fortigate"}, platform: "fortinet_fortios", user: "admin", password: "admin", scrapli: "fortinet_fortios",
		naming: vm(`port(?P<port>\d+)$`, 2, "port%d")},
	{names: []string{"freebsd"}, platform: "freebsd", user: "admin", password: "admin", naming: vm(`vtnet(?P<port>\d+)`, 1, "vtnet%d")},
	{names: []string{"openbsd"}, platform: "openbsd", user: "admin", password: "admin", naming: vm(`vio(?P<port>\d+)`, 1, "vio%d")},
	{names: []string{"generic_vm"}, platform: "generic_vm", user: "clab", password: "clab@123", naming: ethOnly("")},
	{names: []string{"keysight_ixia-c-one"}, platform: "keysight_ixia-c-one"},
	{names: []string{"openwrt"}, platform: "openwrt", naming: ethOnly("")},
	{names: []string{"paloalto_panos", "vr-pan", "vr-paloalto_panos"}, platform: "paloalto_panos", user: "admin", password: "Admin@123", scrapli: "paloalto_panos",
		naming: vm(`Ethernet1/(?P<port>\d+)`, 1, "ethernet1/%d")},
	{names: []string{"rare"}, platform: "rare"},
	{names: []string{"spirent_stc"}, platform: "spirent_stc"},
	{names: []string{"veesix_osvbng"}, platform: "veesix_osvbng"},

	{names: []string{"linux"}, platform: PlatformLinux, passive: true},
	{names: []string{"ext-container"}, platform: PlatformLinux, passive: true},
	{names: []string{"k8s-kind"}, platform: PlatformLinux, passive: true},
	{names: []string{"bridge"}, platform: PlatformLinux, passive: true},
	{names: []string{"ovs-bridge"}, platform: PlatformOVS, passive: true},
	{names: []string{"host"}, platform: PlatformLinux, passive: true},
}

var kindIndex = sync.OnceValue(func() map[string]*kind {
	index := map[string]*kind{}
	for i := range kinds {
		for _, n := range kinds[i].names {
			index[n] = &kinds[i]
		}
	}
	return index
})

var platformIndex = sync.OnceValue(func() map[string]string {
	index := maps.Clone(otherNames)
	for _, k := range kinds {
		for _, n := range k.names {
			if _, ok := index[n]; !ok && !k.passive {
				index[n] = k.platform
			}
		}
	}
	for _, k := range kinds {
		index[k.platform] = k.platform
	}
	return index
})

// Platforms gives the platform keys that an inventory may name, sorted. It is not
// the list of platforms that spanctl has a driver for.
func Platforms() []string {
	set := map[string]bool{}
	for _, p := range platformIndex() {
		set[p] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// PlatformKey gives our key for a platform's name in another tool: scrapli, NAPALM,
// containerlab's kinds. Our own keys give themselves.
func PlatformKey(name string) (key string, ok bool) {
	key, ok = platformIndex()[name]
	return key, ok
}
