package plan

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/spanctl/spanctl/models"
)

// plain compares addresses and prefixes, which have no exported fields, by ==.
var plain = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fake is a platform whose claims a test edits.
type fake struct {
	caps   models.Capabilities
	refuse []string // what Check gives
}

func (f *fake) Capabilities() models.Capabilities { return f.caps }
func (f *fake) Check(models.Session) []string     { return f.refuse }
func (f *fake) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, "po") {
		return models.SourceLAG
	}
	return models.SourcePort
}

// able gives a platform that can do everything, but for what is taken away.
func able(without ...models.Feature) *fake {
	claims := make(map[models.Feature]models.Claim)
	for _, f := range models.Features() {
		claims[f] = models.Claim{Support: models.Yes}
	}
	for _, f := range without {
		claims[f] = models.Claim{Why: "the chip has no " + string(f)}
	}
	return &fake{caps: models.Capabilities{Platform: "fakeos", Claims: claims}}
}

func (f *fake) limit(feature models.Feature, n int) *fake {
	f.caps.Claims[feature] = models.Claim{Support: models.Yes, Limit: n}
	return f
}

// host gives a platform that has to be told by which port RSPAN copies leave.
func host() *fake {
	f := able()
	f.caps.RSPANPort = true
	return f
}

func (f *fake) numbered() *fake { f.caps.Numbered = true; return f }

func all(p Platform) Platforms { return func(models.DeviceID) Platform { return p } }

func byDevice(ps map[models.DeviceID]Platform) Platforms {
	return func(d models.DeviceID) Platform { return ps[d] }
}

// names expands "e1-3"; "bad" is refused and "none" names nothing.
type names struct{}

func (names) Ports(dev models.DeviceID, pattern string) ([]string, error) {
	switch pattern {
	case "bad":
		return nil, fmt.Errorf("%s has no port bad; name one that it has", dev)
	case "none":
		return nil, nil
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(pattern, "e"), "-")
	if !ok {
		return []string{pattern}, nil
	}
	f, _ := strconv.Atoi(first)
	l, _ := strconv.Atoi(last)
	var out []string
	for n := f; n <= l; n++ {
		out = append(out, fmt.Sprintf("e%d", n))
	}
	return out, nil
}

// leafSpine is leaf1 - spine1 - leaf2 and leaf1 - spine2 - leaf2; leaf3 hangs on
// nothing. Links leave by e51 (spine1) and e52 (spine2), and come in at e1 and e2.
func leafSpine() *models.Network {
	end := func(dev models.DeviceID, port string) models.End { return models.End{Device: dev, Port: port} }
	leaf := func(id models.DeviceID, site string) models.Device {
		return models.Device{ID: id, Platform: "fakeos", Labels: map[string]string{"role": "leaf", "site": site}}
	}
	n := &models.Network{
		Devices: []models.Device{
			leaf("leaf1", "ams"), leaf("leaf2", "ams"), leaf("leaf3", "fra"),
			{ID: "spine1", Platform: "fakeos", Labels: map[string]string{"role": "spine"}},
			{ID: "spine2", Platform: "fakeos", Labels: map[string]string{"role": "spine"}},
		},
		Links: []models.Link{
			{A: end("leaf1", "e51"), B: end("spine1", "e1")},
			{A: end("leaf2", "e51"), B: end("spine1", "e2")},
			{A: end("leaf1", "e52"), B: end("spine2", "e1")},
			{A: end("leaf2", "e52"), B: end("spine2", "e2")},
			{A: end("leaf1", "e10"), B: end("a-host", "eth0")},
		},
		Sensors: []models.Sensor{
			{Name: "ids1", At: end("leaf2", "e48")},
			{Name: "cloud", Address: netip.MustParseAddr("192.0.2.9"), Accepts: []string{"erspan3", "erspan2", "gre", "vxlan"}, VRF: "mgmt"},
			{Name: "plain", Address: netip.MustParseAddr("192.0.2.9")},
		},
		RSPANVLANs: []models.Range{{First: 900, Last: 902}},
	}
	for i := range n.Devices[:2] {
		n.Devices[i].TunnelSource = netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1))
	}
	return n
}

// intent gives one that copies rx of e1 of leaf1 to its e48, as edited.
func intent(name string, edits ...func(*models.Spec)) models.Intent {
	in := models.Intent{
		APIVersion: models.APIVersion, Kind: models.KindMirror, Metadata: models.Metadata{Name: name},
		Spec: models.Spec{
			Sources:     []models.SourceSpec{{Device: "leaf1", Interfaces: []string{"e1"}, Direction: models.Rx}},
			Destination: models.DestinationSpec{Interface: &models.InterfaceSpec{Device: "leaf1", Name: "e48"}},
			Expires:     models.NeverExpires,
		},
		Origin: models.Origin{File: name + ".yaml", Line: 1},
	}
	for _, e := range edits {
		e(&in.Spec)
	}
	return in
}

func from(ss ...models.SourceSpec) func(*models.Spec) {
	return func(s *models.Spec) { s.Sources = ss }
}

func to(d models.DestinationSpec) func(*models.Spec) {
	return func(s *models.Spec) { s.Destination = d }
}

func port(name string) models.Source {
	return models.Source{Kind: models.SourcePort, Name: name, Direction: models.Rx}
}

func toPorts(names ...string) models.Destination {
	return models.Destination{Kind: models.DestinationPort, Ports: names}
}

func toVLAN(vlan uint16) models.Destination {
	return models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: vlan}
}

func fromVLAN(vlan uint16) models.Source {
	return models.Source{Kind: models.SourceRemoteVLAN, VLAN: vlan, Direction: models.Rx}
}

// session gives a normalized one of an intent.
func session(dev models.DeviceID, intent string, dest models.Destination, sources ...models.Source) models.Session {
	s := models.Session{Device: dev, Intent: intent, Sources: sources, Destination: dest}.Normalize()
	if intent != "" {
		s.Name = SessionName(intent, s.Role)
	}
	return s
}

// brief is a finding as "rule device field", with "warning " before it where it is
// one.
func brief(fs models.Findings) []string {
	var out []string
	for _, f := range fs {
		s := fmt.Sprintf("%s %s %s", f.Rule, f.Device, f.Field)
		if f.Warning {
			s = "warning " + s
		}
		out = append(out, s)
	}
	return out
}

// wantText fails t unless a finding of the rule has the text in its message.
func wantText(t *testing.T, fs models.Findings, text string) {
	t.Helper()
	if text != "" && !strings.Contains(fs.Error(), text) {
		t.Errorf("no finding says %q:\n%s", text, fs.Error())
	}
}
