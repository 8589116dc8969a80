package hostmirror

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Platform is the key of the Linux host among the platforms.
const Platform = "linux"

const (
	labSource    = "Linux 6.1 (Debian cloud kernel in a virtual machine) and 6.18: frames counted in network namespaces"
	tunnelSource = "Linux 6.1 (Debian cloud kernel in a virtual machine): frames decoded, by us and by tshark"
	notWritten   = "not implemented in this version: "
	// maxSample is what the tc command documents; the kernel would count to 65535.
	maxSample = 10000
)

func capabilities() models.Capabilities {
	seen := models.Claim{Support: models.Yes, Evidence: models.EvidenceLab, Source: labSource}
	lacks := func(why string) models.Claim { return models.Claim{Why: notWritten + why} }
	rules := seen
	rules.Why = fmt.Sprintf("by the kernel's classifier bpf, which runs the rules of a session as one classic program of at most %d instructions; else by a BPF program", tcnl.MaxProgram)
	sample := seen
	sample.Why = fmt.Sprintf("by the kernel's action gact, each N-th frame, N up to %d, counted for each port, direction and destination; else by a BPF program, by chance", maxSample)
	cut := seen
	cut.Why = fmt.Sprintf("to %d bytes or more, by a BPF program, which needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; in ERSPAN to %d or more, by the kernel's tunnel, which sets the truncation bit of types II and III",
		bpfcopy.MinTruncate, linknl.MinTruncate)
	made := func(why string) models.Claim {
		return models.Claim{Support: models.Yes, Evidence: models.EvidenceLab, Source: tunnelSource, Why: why}
	}
	tunnel, vxlan := made(""), made("two sessions of a host cannot have one VNI")
	erspan1 := made("the kernel has type I over IPv4 only")
	dscp := made("ERSPAN over IPv6 gives it to copies of untagged IP packets only")
	capture := made("on a dummy interface named " + linknl.Prefix + "...; its alias names the session")
	rspanSource := made("by one interface, which the topology or the inventory's uplinks tell; frames of the VLAN that come in by it do not reach the host")
	rspanDestination := made("copies keep the tag of the RSPAN VLAN; the interface by which they come must be promiscuous, which is not seen to")
	oversize := made("truncate in ERSPAN only; fragment over IPv4 only")
	ports := seen
	ports.Why = fmt.Sprintf("at most %d copies of one port and direction by filters, and %d by a BPF program", maxOfOnePortHas, bpfcopy.MaxCopies)
	return models.Capabilities{
		Platform: Platform,
		Grain:    models.GrainUpdate,

		RSPANPort: true,
		Claims: map[models.Feature]models.Claim{
			models.FeatureSPAN:             seen,
			models.FeatureRx:               seen,
			models.FeatureTx:               seen,
			models.FeatureBoth:             seen,
			models.FeaturePortSource:       ports,
			models.FeatureManyDestinations: seen,
			models.FeatureSessions:         seen,
			models.FeatureOperState:        seen,
			models.FeatureConfirm: {
				Support: models.Emulated, Evidence: models.EvidenceLab, Source: labSource,
				Why: "the kernel has no timer that takes a change back; it is not undone when spanctl dies",
			},
			models.FeatureLAGSource:        lacks("a bond is an interface like others here: name it as a port"),
			models.FeatureVLANSource:       lacks("filters that match a VLAN are lacking; name the VLAN's interface as a port, where there is one"),
			models.FeatureRSPANSource:      rspanSource,
			models.FeatureRSPANDestination: rspanDestination,
			models.FeatureERSPAN1:          erspan1,
			models.FeatureERSPAN2:          tunnel,
			models.FeatureERSPAN3:          tunnel,
			models.FeatureGRE:              tunnel,
			models.FeatureVXLAN:            vxlan,
			models.FeatureCapture:          capture,
			models.FeatureOversize:         oversize,
			models.FeatureFilterIPv4:       rules,
			models.FeatureFilterIPv6:       rules,
			models.FeatureFilterVLAN:       rules,
			models.FeatureTruncate:         cut,
			models.FeatureSample:           sample,
			models.FeatureTunnelVRF:        lacks(whyVRF),
			models.FeatureTunnelTTL:        tunnel,
			models.FeatureTunnelDSCP:       dscp,
			models.FeatureTunnelKey:        tunnel,
		},
	}
}

// capabilitiesOn gives those of a host whose kernel is known.
func capabilitiesOn(k kernel) models.Capabilities {
	out := capabilities()
	lacks := func(why string, features ...models.Feature) {
		for _, f := range features {
			if why != "" {
				out.Claims[f] = models.Claim{Why: "this kernel lacks it: " + why}
			}
		}
	}
	for feature, word := range map[models.Feature]string{
		models.FeatureERSPAN1: "erspan", models.FeatureERSPAN2: "erspan", models.FeatureERSPAN3: "erspan",
		models.FeatureGRE: "gretap", models.FeatureTunnelKey: "gretap", models.FeatureVXLAN: "vxlan",
		models.FeatureCapture: "dummy", models.FeatureRSPANSource: "vlan",
	} {
		if why := k.noLinks[word]; why != "" {
			out.Claims[feature] = models.Claim{Why: why}
		}
	}
	if why := k.noLinks["vxlan"]; why != "" && k.noLinks["erspan"] != "" && k.noLinks["gretap"] != "" { // no tunnel at all
		for _, feature := range []models.Feature{models.FeatureTunnelTTL, models.FeatureTunnelDSCP, models.FeatureOversize} {
			out.Claims[feature] = models.Claim{Why: why}
		}
	}
	var why string // there are no programs
	switch {
	case k.method == MethodTC:
		why = "BPF programs may not be used"
	case k.noPrograms != nil:
		why = k.noPrograms.Error()
	default:
		return out
	}
	lacks(k.noRules, models.FeatureFilterIPv4, models.FeatureFilterIPv6, models.FeatureFilterVLAN)
	lacks(k.noSample, models.FeatureSample)
	lacks(why, models.FeatureTruncate)
	return out
}

// check gives what is refused of a wanted session whatever the host looks like.
func check(s models.Session) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if s.Name == "" {
		add("a session needs a name")
	}
	if _, foreign := cutForeign(s.Name); foreign || strings.HasPrefix(s.Name, unknownPrefix) {
		add("session name %q: names that begin with %s or %s stand for what is found on the host", s.Name, foreignPrefix, unknownPrefix)
	}
	if s.Number != 0 {
		add("sessions have no numbers here, so %d cannot be one", s.Number)
	}
	if s.Shutdown {
		add("a session cannot be kept switched off: delete it")
	}
	if s.FilterName != "" {
		add("filters have no names here, so %q cannot be one", s.FilterName)
	}
	if _, err := compileRules(s.Filter); err != nil && !errors.Is(err, errTooLarge) {
		add("%s", strings.TrimPrefix(err.Error(), drivers.ErrUnsupported.Error()+": "))
	}
	if len(s.Filter) >= bpfcopy.MaxRules {
		add("a filter has %d rules; a program holds fewer than %d", len(s.Filter), bpfcopy.MaxRules)
	}
	if len(s.Destination.Ports) > bpfcopy.MaxCopies {
		add("a session has %d destinations; a program holds %d", len(s.Destination.Ports), bpfcopy.MaxCopies)
	}
	if s.TruncateTo != 0 && s.TruncateTo < bpfcopy.MinTruncate {
		add("copies cannot be cut to %d bytes: the kernel keeps headers whole, so %d is the least", s.TruncateTo, bpfcopy.MinTruncate)
	}
	if len(s.Extra) > 0 {
		add("cannot make %q", s.Extra[0])
	}
	if len(s.Sources) == 0 {
		add("a session needs a source")
	}
	checkRemote(s, add)
	for _, src := range s.Sources {
		switch {
		case src.Kind == models.SourceRemoteVLAN: // checkRemote has seen it
		case src.Kind != models.SourcePort:
			add("a source of kind %s cannot be mirrored: name an interface", src.Kind)
		case !validPort(src.Name):
			add("source %q cannot be the name of an interface", src.Name)
		case len(hooksOf(src.Direction)) == 0:
			add("source %s has no direction", src.Name)
		}
	}
	checkDestination(s, add)
	return out
}

// validName follows dev_valid_name of the kernel (net/core/dev.c): 1 to 15 bytes, not
// "." or "..", without slash, colon and white space.
func validName(s string) bool {
	return s != "" && len(s) <= 15 && s != "." && s != ".." && !strings.ContainsAny(s, "/: \t\n\v\f\r")
}

// validPort takes the names of interfaces here, and of those elsewhere on the host.
func validPort(s string) bool {
	place, name, elsewhere := models.CutPlace(s)
	return validName(name) && (!elsewhere || models.PlaceError(place) == nil)
}

func cutForeign(name string) (string, bool) { return strings.CutPrefix(name, foreignPrefix) }
