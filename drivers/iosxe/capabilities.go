package iosxe

import (
	"maps"

	"github.com/spanctl/spanctl/models"
)

// Key is the platform's key in the registry.
const Key = "cisco_iosxe"

// What is shown when a feature is refused: what is lacking, and what works instead.
const (
	whyERSPAN1 = "IOS-XE sends ERSPAN of type II or III (header-type 2 or 3), not of type I; use version 2"
	whyGRE     = "IOS-XE has no mirror into plain GRE; use erspan version 2, which is in GRE too"
	whyVXLAN   = "IOS-XE has no mirror into VXLAN; use erspan version 2"
	whyVLANIn  = "a session of IOS-XE has either a filter of VLANs of trunk ports or an access list, and an access list of a mirror knows no VLANs; " +
		"filter by addresses, or take the VLAN as the source"
	whySample    = "IOS-XE mirrors every frame; filter, or truncate copies sent by erspan"
	whyKey       = "the GRE header of ERSPAN on IOS-XE has no key of ours; leave the key out, and tell streams apart by sessionId"
	whyConfirm   = "without archive and its path, and where nothing was seen of the device yet, the way back is spanctl's; with archive it is the device's timer"
	whyOperState = "show monitor session tells what is configured (Admin Enabled is not up), and what is programmed is told per session of the forwarding engine, " +
		"by numbers of its own; verify with frames"
	whyTruncate = "IOS-XE cuts copies that it sends by erspan, to 176 bytes or more, and only those that hold an IP packet; copies to a port or RSPAN VLAN stay whole"
	whyCapture  = "an intent's capture is an interface for programs on a host; the packet capture of IOS-XE (monitor capture) is no mirror session; use an interface or erspan"
	whyOversize = "IOS-XE has no choice for copies that are too long for the way; raise the MTU of the way, or truncate copies sent by erspan"
	whyERSPAN3  = "header type III is in the configuration of every release, but a platform may send type II only: ask it by show capability feature monitor erspan-source"
	whySessions = "a Catalyst has the numbers 1 to 66 for all sessions and takes fewer that copy (8 in the forwarding engine of Catalyst 9000, 8 local and RSPAN sources of Catalyst 3650); " +
		"the device refuses the one too many"
)

const (
	srcCR  = "Catalyst 9500 and 9400 command reference, IOS XE 16.12 and 17.12: monitor session"
	srcCG  = "Catalyst 9300 guide, IOS XE 17.17: Configuring ERSPAN"
	srcXE  = "Cisco-IOS-XE-native.yang, IOS XE 17.18.1"
	srcGP  = "Cisco genielibs and genieparser: lines that their tests type, outputs that they read"
	srcRCC = "Configuration Rollback Confirmed Change, IOS XE 17; napalm ios.py"
)

func yes(e models.Evidence, source string) models.Claim {
	return models.Claim{Support: models.Yes, Evidence: e, Source: source}
}

func no(why, source string) models.Claim {
	return models.Claim{Why: why, Evidence: models.EvidenceSchema, Source: source}
}

var claims = map[models.Feature]models.Claim{
	models.FeatureSPAN:             yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureRSPANSource:      yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureRSPANDestination: yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureERSPAN1:          no(whyERSPAN1, srcXE+" (header-type 2..3)"),
	models.FeatureERSPAN2:          yes(models.EvidenceSchema, srcXE+"; "+srcCG),
	models.FeatureERSPAN3:          {Support: models.Yes, Why: whyERSPAN3, Evidence: models.EvidenceSchema, Source: srcXE + "; " + srcCG},
	models.FeatureGRE:              no(whyGRE, "absent from "+srcXE),
	models.FeatureVXLAN:            no(whyVXLAN, "absent from "+srcXE),
	models.FeatureCapture:          no(whyCapture, "absent from "+srcXE),
	models.FeatureOversize:         no(whyOversize, "absent from "+srcXE),

	models.FeatureRx:               yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureTx:               yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureBoth:             yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeaturePortSource:       yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureLAGSource:        yes(models.EvidenceManual, srcCR+"; an output of a Catalyst 9000 with Port-channel1 as the source"),
	models.FeatureVLANSource:       yes(models.EvidenceSchema, srcXE+"; "+srcCR),
	models.FeatureManyDestinations: yes(models.EvidenceSchema, srcXE+"; Catalyst 3650 command reference (up to 64 on a switch)"),

	models.FeatureFilterIPv4: yes(models.EvidenceSchema, srcXE+"; Cisco document 116133; "+srcGP),
	models.FeatureFilterIPv6: yes(models.EvidenceManual, srcCG+"; Cisco document 116133 (IPv6 FSPAN access lists)"),
	models.FeatureFilterVLAN: no(whyVLANIn, "Catalyst 2960-X guide: filter vlan and filter ip access-group exclude each other"),

	models.FeatureTruncate: {Support: models.Yes, Why: whyTruncate, Evidence: models.EvidenceSchema, Source: srcXE + "; " + srcCG},
	models.FeatureSample:   no(whySample, "absent from "+srcXE),

	models.FeatureTunnelVRF:  yes(models.EvidenceSchema, srcXE+"; "+srcCG),
	models.FeatureTunnelTTL:  yes(models.EvidenceSchema, srcXE+"; "+srcCG),
	models.FeatureTunnelDSCP: yes(models.EvidenceSchema, srcXE+"; "+srcCG),
	models.FeatureTunnelKey:  no(whyKey, "absent from "+srcXE),

	models.FeatureSessions:  {Support: models.Yes, Why: whySessions, Evidence: models.EvidenceManual, Source: srcCR + "; Cisco document 218111; Catalyst 3650 command reference"},
	models.FeatureConfirm:   {Support: models.Emulated, Why: whyConfirm, Evidence: models.EvidenceManual, Source: srcRCC},
	models.FeatureOperState: {Why: whyOperState, Evidence: models.EvidenceManual, Source: "Cisco document 218111; outputs in genieparser"},
}

// Capabilities gives what is claimed of IOS-XE over its CLI.
func (Dialect) Capabilities() models.Capabilities {
	return models.Capabilities{Platform: Key, Claims: maps.Clone(claims), Grain: models.GrainSession, Numbered: true, RSPANMark: true, Saves: true}
}
