package ovs

import (
	"maps"

	"github.com/spanctl/spanctl/models"
)

// Key is the platform's key in the registry.
const Key = "ovs"

// Shown when a feature is refused: what is lacking, and what works instead.
const (
	whyERSPAN1 = "Open vSwitch makes ERSPAN headers of type II and III only; use version 2, or gre"
	whyFilter  = "mirrors of Open vSwitch choose by port and VLAN; filters by address came with a later release than the driver was tried on, and match whole addresses only: filter at the receiver"
	whyMany    = "a mirror of Open vSwitch has one output; make an intent for each destination"
	whySample  = "Open vSwitch mirrors every frame; truncate instead"
	whyVRF     = "the host's routing decides which way a tunnel takes; leave vrf out"
	whyCapture = "use an internal port of the bridge as the destination interface, and capture there"
	whyLong    = "Open vSwitch does not look at the path of a tunnel; use truncate"
	whyConfirm = "spanctl takes the change back itself; Open vSwitch has no timer"
	whyRSPAN   = "copies keep the tag of the RSPAN VLAN unless the destination is an access port; set flood_vlans on the bridge, or addresses of mirrored hosts are learned from copies"
)

// srcLab is what was seen by the tests of this package.
const srcLab = "Open vSwitch 3.1.0, userspace datapath: frames counted"

func lab(source string) models.Claim {
	return models.Claim{Support: models.Yes, Evidence: models.EvidenceLab, Source: source}
}

func no(why, source string) models.Claim {
	return models.Claim{Why: why, Evidence: models.EvidenceManual, Source: source}
}

// maxMirrors is how many mirrors a bridge has [code: MAX_MIRRORS, the width of a mask];
// seen in the lab.
const maxMirrors = 32

var claims = map[models.Feature]models.Claim{
	models.FeatureSPAN:             lab(srcLab),
	models.FeatureRSPANSource:      lab(srcLab),
	models.FeatureRSPANDestination: {Support: models.Yes, Evidence: models.EvidenceLab, Source: srcLab, Why: whyRSPAN},
	models.FeatureERSPAN1:          no(whyERSPAN1, "ovs-vswitchd.conf.db(5), erspan_ver"),
	models.FeatureERSPAN2:          lab(srcLab + " and decoded"),
	models.FeatureERSPAN3:          lab(srcLab + " and decoded"),
	models.FeatureGRE:              lab(srcLab + " and decoded"),
	models.FeatureVXLAN:            lab(srcLab + " and decoded"),
	models.FeatureCapture:          no(whyCapture, "ovs-vswitchd.conf.db(5), Interface type internal"),

	models.FeatureRx:               lab(srcLab),
	models.FeatureTx:               lab(srcLab),
	models.FeatureBoth:             lab(srcLab),
	models.FeaturePortSource:       lab(srcLab),
	models.FeatureLAGSource:        {Support: models.Yes, Evidence: models.EvidenceManual, Source: "ovs-vswitchd.conf.db(5): a bond is a Port like others; set up in the lab, copies were counted for ports only"},
	models.FeatureVLANSource:       lab(srcLab),
	models.FeatureManyDestinations: no(whyMany, "vswitch.ovsschema 8.3.1: output_port holds at most one"),

	models.FeatureFilterIPv4: no(whyFilter, "vswitch.ovsschema 8.3.1 has no filter column; ovs-dev: that of later ones takes exact values"),
	models.FeatureFilterIPv6: no(whyFilter, "vswitch.ovsschema 8.3.1 has no filter column; ovs-dev: that of later ones takes exact values"),
	models.FeatureFilterVLAN: lab(srcLab),

	models.FeatureTruncate: lab(srcLab),
	models.FeatureSample:   no(whySample, "vswitch.ovsschema 8.3.1: Mirror has no such column"),

	models.FeatureTunnelVRF:  no(whyVRF, "ovs-vswitchd.conf.db(5), Tunnel Options"),
	models.FeatureTunnelTTL:  lab(srcLab + " and decoded"),
	models.FeatureTunnelDSCP: lab(srcLab + " and decoded"),
	models.FeatureTunnelKey:  lab(srcLab + " and decoded"),
	models.FeatureOversize:   no(whyLong, "ovs-vswitchd.conf.db(5), df_default"),

	models.FeatureSessions:  {Support: models.Yes, Limit: maxMirrors, Evidence: models.EvidenceLab, Source: "Open vSwitch 3.1.0: 32 of each bridge; the log names the 33rd"},
	models.FeatureConfirm:   {Support: models.Emulated, Why: whyConfirm, Evidence: models.EvidenceLab, Source: "one transaction; the way back is another"},
	models.FeatureOperState: lab("state of the output port's interface, by the database"),
}

// Capabilities gives what is claimed of Open vSwitch by its command line.
func (Dialect) Capabilities() models.Capabilities {
	return models.Capabilities{Platform: Key, Claims: maps.Clone(claims), NameMax: 255}
}
