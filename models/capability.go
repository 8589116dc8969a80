package models

// Feature is something that an intent can ask for or that a run relies on.
type Feature string

// Features. Each is claimed on its own; silence means No.
const (
	FeatureSPAN             Feature = "span"
	FeatureRSPANSource      Feature = "rspan-source"
	FeatureRSPANDestination Feature = "rspan-destination"
	FeatureERSPAN1          Feature = "erspan-1"
	FeatureERSPAN2          Feature = "erspan-2"
	FeatureERSPAN3          Feature = "erspan-3"
	FeatureGRE              Feature = "gre"
	FeatureVXLAN            Feature = "vxlan"
	FeatureCapture          Feature = "capture"
	FeatureRx               Feature = "rx"
	FeatureTx               Feature = "tx"
	FeatureBoth             Feature = "both"
	FeaturePortSource       Feature = "port-source" // Limit: sources of a session
	FeatureLAGSource        Feature = "lag-source"
	FeatureVLANSource       Feature = "vlan-source"
	FeatureManyDestinations Feature = "many-destinations" // Limit: destinations of a session
	FeatureFilterIPv4       Feature = "filter-ipv4"
	FeatureFilterIPv6       Feature = "filter-ipv6"
	FeatureFilterVLAN       Feature = "filter-vlan"
	FeatureTruncate         Feature = "truncate"
	FeatureSample           Feature = "sample"
	FeatureTunnelVRF        Feature = "tunnel-vrf"
	FeatureTunnelTTL        Feature = "tunnel-ttl"
	FeatureTunnelDSCP       Feature = "tunnel-dscp"
	FeatureTunnelKey        Feature = "tunnel-key"
	FeatureOversize         Feature = "oversize" // copies that are too long are cut or fragmented, as chosen
	FeatureSessions         Feature = "sessions" // Limit: sessions of a device
	FeatureConfirm          Feature = "confirm"  // the device goes back by itself unless confirmed
	FeatureOperState        Feature = "oper-state"
)

// Features lists all features in the order of the support table.
func Features() []Feature {
	return []Feature{
		FeatureSPAN, FeatureRSPANSource, FeatureRSPANDestination,
		FeatureERSPAN1, FeatureERSPAN2, FeatureERSPAN3, FeatureGRE, FeatureVXLAN, FeatureCapture,
		FeatureRx, FeatureTx, FeatureBoth,
		FeaturePortSource, FeatureLAGSource, FeatureVLANSource, FeatureManyDestinations,
		FeatureFilterIPv4, FeatureFilterIPv6, FeatureFilterVLAN,
		FeatureTruncate, FeatureSample,
		FeatureTunnelVRF, FeatureTunnelTTL, FeatureTunnelDSCP, FeatureTunnelKey, FeatureOversize,
		FeatureSessions, FeatureConfirm, FeatureOperState,
	}
}

// Support says whether, and by whom, a feature is there.
type Support string

// Kinds of support. The zero value means No.
const (
	No       Support = ""
	Yes      Support = "yes"
	Emulated Support = "emulated" // by spanctl, not by the device
)

// Evidence says what a claim rests on, from strong to weak.
type Evidence string

// Kinds of evidence. The zero value is that of a No without a source.
const (
	EvidenceLab     Evidence = "lab"    // seen on the real OS or kernel
	EvidenceServer  Evidence = "server" // seen on a real server with the vendor's schema
	EvidenceSchema  Evidence = "schema" // the vendor's YANG or MIB
	EvidenceManual  Evidence = "manual" // the vendor's text or public code, never run on the OS by us
	EvidenceUnknown Evidence = ""
)

// Claim is what is said of one feature on one platform.
type Claim struct {
	Support  Support  `json:"support,omitempty"`
	Limit    int      `json:"limit,omitempty"` // sessions, sources, bytes; 0 = no known limit
	Why      string   `json:"why,omitempty"`   // shown when refused: what is lacking and what would work instead
	Evidence Evidence `json:"evidence,omitempty"`
	Source   string   `json:"source,omitempty"` // manual, schema with revision, transcript
}

// Grain is the smallest thing that a network OS can change without deleting and
// creating the session.
type Grain string

// Grains. The zero value means GrainSession.
const (
	GrainSession Grain = ""          // an update is a delete and a create
	GrainUpdate  Grain = "attribute" // single attributes change in place
)

// Capabilities is all that is claimed of one platform over one transport.
type Capabilities struct {
	Platform string            `json:"platform"`
	Claims   map[Feature]Claim `json:"claims"`
	Grain    Grain             `json:"grain,omitempty"`
	Numbered bool              `json:"numbered,omitempty"` // sessions have numbers instead of names
	NameMax  int               `json:"nameMax,omitempty"`  // longest session name in bytes; 0 = not known

	// Saves tells that a reboot ends sessions which are not written to the configuration
	// that the device boots with, and that the platform can write it: always as a whole.
	Saves bool `json:"saves,omitempty"`

	// RSPANMark tells that the OS takes a VLAN for RSPAN only where it is set apart for
	// that (VLAN.RemoteSPAN).
	RSPANMark bool `json:"rspanMark,omitempty"`

	// RSPANPort tells that the OS does not carry the RSPAN VLAN over its trunks by
	// itself, but has to be told by which one: sessions of the role source then name it
	// as the destination's port, sessions of the role destination as the source's.
	RSPANPort bool `json:"rspanPort,omitempty"`
}

// Of gives the claim for f; silence is No.
func (c Capabilities) Of(f Feature) Claim { return c.Claims[f] }

// Has reports whether f is there, emulated or not.
func (c Capabilities) Has(f Feature) bool { return c.Claims[f].Support != No }
