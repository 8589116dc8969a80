package sonic

import (
	"maps"

	"github.com/spanctl/spanctl/models"
)

// Key is the platform's key in the registry.
const Key = "sonic"

// Why features are refused: what is lacking, and what works instead.
const (
	whyRSPAN    = "SONiC has no remote SPAN VLAN; use gre, a sensor that takes gre, or a destination port on the same switch"
	whyERSPAN   = "what SONiC calls ERSPAN is plain GRE (type 0x88be by default) without an ERSPAN header; use gre: receivers show such copies as ERSPAN type I"
	whyVXLAN    = "SONiC sends copies in GRE only; use gre"
	whyCapture  = "an intent's capture is an interface for programs on a host; use an interface, gre or a sensor"
	whyVLAN     = "SONiC mirrors ports and port channels only; name the ports of the VLAN as sources"
	whyMany     = "a session of SONiC has one destination; use one intent for each"
	whyFilter   = "SONiC filters mirrors by rules of ACL tables (everflow), which are loaded from files; writing them is not part of this version. Filter at the sensor, or add the rules by hand"
	whyVRF      = "a mirror session of SONiC has no VRF; the receiver must be reached in the default one"
	whyKey      = "a mirror session of SONiC has no GRE key"
	whyOversize = "SONiC does not document what becomes of copies that are too long for the way; raise the MTU of the way, or truncate"
)

const (
	sourceMain   = "sonic-utilities config/main.py"
	sourceYANG   = "sonic-mirror-session.yang, revision 2026-04-14"
	sourceAbsent = "absent from sonic-mirror-session.yang, revision 2026-04-14"
)

var claims = map[models.Feature]models.Claim{
	models.FeatureSPAN:             {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureRSPANSource:      {Why: whyRSPAN, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureRSPANDestination: {Why: whyRSPAN, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureERSPAN1:          {Why: whyERSPAN, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureERSPAN2:          {Why: whyERSPAN, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureERSPAN3:          {Why: whyERSPAN, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureGRE: {
		Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG,
		Why: "inactive until the switch knows the way to the receiver (sonic-utilities, Command-Reference)",
	},
	models.FeatureVXLAN:   {Why: whyVXLAN, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureCapture: {Why: whyCapture, Evidence: models.EvidenceSchema, Source: sourceAbsent},

	models.FeatureRx:               {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureTx:               {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureBoth:             {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeaturePortSource:       {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureLAGSource:        {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureVLANSource:       {Why: whyVLAN, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureManyDestinations: {Why: whyMany, Evidence: models.EvidenceSchema, Source: sourceYANG},

	models.FeatureFilterIPv4: {Why: whyFilter, Evidence: models.EvidenceManual, Source: "sonic-acl.yang; sonic-utilities, acl-loader"},
	models.FeatureFilterIPv6: {Why: whyFilter, Evidence: models.EvidenceManual, Source: "sonic-acl.yang; sonic-utilities, acl-loader"},
	models.FeatureFilterVLAN: {Why: whyFilter, Evidence: models.EvidenceManual, Source: "sonic-acl.yang; sonic-utilities, acl-loader"},

	models.FeatureTruncate: {
		Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG,
		Why: "of copies in GRE only, 64 to 9216 bytes, on images made since May 2026; older ones refuse the option",
	},
	models.FeatureSample: {
		Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG,
		Why: "of copies in GRE only, on images made since May 2026; older ones refuse the option",
	},

	models.FeatureTunnelVRF:  {Why: whyVRF, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureTunnelTTL:  {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureTunnelDSCP: {Support: models.Yes, Evidence: models.EvidenceSchema, Source: sourceYANG},
	models.FeatureTunnelKey:  {Why: whyKey, Evidence: models.EvidenceSchema, Source: sourceAbsent},
	models.FeatureOversize:   {Why: whyOversize, Evidence: models.EvidenceSchema, Source: sourceAbsent},

	// The ASIC decides; the session too many is there, and its state is error.
	models.FeatureSessions: {Support: models.Yes, Evidence: models.EvidenceUnknown, Source: "depends on the switch chip; no public number"},
	models.FeatureConfirm: {
		Support: models.Emulated, Evidence: models.EvidenceManual, Source: sourceMain,
		Why: "checkpoints of SONiC have no timer, and a rollback to one would take other people's changes back as well; spanctl takes its own lines back",
	},
	models.FeatureOperState: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "sonic-utilities, show mirror_session (from STATE_DB)"},
}

// Capabilities gives what is claimed of community SONiC.
func (Dialect) Capabilities() models.Capabilities {
	return models.Capabilities{Platform: Key, Claims: maps.Clone(claims), Grain: models.GrainSession, NameMax: maxName, Saves: true}
}
