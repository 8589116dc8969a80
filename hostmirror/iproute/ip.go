package iproute

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// link is what concerns us of an entry of "ip -j -d addr show".
type link struct {
	Index  int             `json:"ifindex"`
	Name   string          `json:"ifname"`
	Flags  []string        `json:"flags"`
	MTU    int             `json:"mtu"`
	Master string          `json:"master"`
	Lower  string          `json:"link"` // null, or absent with link_netnsid: in another namespace
	XDP    json.RawMessage `json:"xdp"`
	Info   struct {
		Kind string `json:"info_kind"`
	} `json:"linkinfo"`
	Addresses []struct {
		Local  string `json:"local"`
		Length int    `json:"prefixlen"`
	} `json:"addr_info"`
}

// Links reads what "ip -j -d addr show" prints: devices and their IPv4 and IPv6
// addresses.
func Links(text string) ([]tcnl.Link, []tcnl.Addr, error) {
	var list []link
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, nil, malformed("ip -j: %v", err)
	}
	names := make(Names)
	for _, l := range list {
		names[l.Name] = l.Index
	}
	var links []tcnl.Link
	var addrs []tcnl.Addr
	for _, l := range list {
		if l.Index == 0 && l.Name == "" {
			continue // some versions leave empty objects
		}
		if l.Index <= 0 || l.Name == "" {
			return nil, nil, malformed("a device without index or name: %+v", l)
		}
		up := slices.Contains(l.Flags, "UP")
		out := tcnl.Link{
			Index: l.Index, Name: l.Name, Kind: l.Info.Kind, MTU: l.MTU, Up: up,
			// ip shows IFF_RUNNING by the absence of this word, which it makes up.
			Runs: up && !slices.Contains(l.Flags, "NO-CARRIER"),
			XDP:  len(l.XDP) > 0 && string(l.XDP) != "null",
		}
		if l.Master != "" {
			if out.Master = names[l.Master]; out.Master == 0 {
				return nil, nil, malformed("the master %s of %s is not there", l.Master, l.Name)
			}
		}
		if lower := names[l.Lower]; l.Lower != "" && lower != l.Index {
			out.Lower = lower
		}
		links = append(links, out)
		for _, a := range l.Addresses {
			if a.Local == "" {
				continue
			}
			ip, err := netip.ParseAddr(a.Local)
			if err != nil {
				continue // neither IPv4 nor IPv6
			}
			p := netip.PrefixFrom(ip, a.Length)
			if !p.IsValid() {
				return nil, nil, malformed("address %s/%d of %s", a.Local, a.Length, l.Name)
			}
			addrs = append(addrs, tcnl.Addr{Ifindex: l.Index, Prefix: p})
		}
	}
	return links, addrs, nil
}

// Neighs reads what "bridge -j fdb show" prints, as far as bridges learn it. Entries
// of devices that names does not have are left out.
func Neighs(text string, names Names) ([]tcnl.Neigh, error) {
	var list []struct {
		Dev    string `json:"ifname"`
		Master string `json:"master"`
		State  string `json:"state"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, malformed("bridge -j: %v", err)
	}
	var out []tcnl.Neigh
	for _, n := range list {
		if n.Master == "" || names[n.Dev] == 0 || names[n.Master] == 0 {
			continue
		}
		out = append(out, tcnl.Neigh{Ifindex: names[n.Dev], Master: names[n.Master], Permanent: n.State == "permanent"})
	}
	return out, nil
}

var versionText = regexp.MustCompile(`iproute2-(?:ss)?([0-9][0-9A-Za-z.\-]*)`)

// Version reads what "tc -V" prints: "6.1.0", or "170905" of the years when a version
// was a date (up to 5.0). It is "" for a tc that is not iproute2's. cookies says
// whether it writes and reads the cookies of actions, which it does since 4.12 of July
// 2017.
func Version(text string) (version string, cookies bool) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	if date, err := strconv.Atoi(m[1]); err == nil && len(m[1]) == 6 {
		return m[1], date >= 170701
	}
	return m[1], true
}
