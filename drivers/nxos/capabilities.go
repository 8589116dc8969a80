package nxos

import (
	"maps"

	"github.com/spanctl/spanctl/models"
)

// Key is the platform's key in the registry.
const Key = "cisco_nxos"

// What is shown when a feature is refused: what is lacking, and what works instead.
const (
	whyRSPAN    = "a Nexus 9000 has no RSPAN, and how a Nexus 5000 or 7000 sends copies into an RSPAN VLAN is in no public source that we have; use erspan"
	whyRSPANDst = "a Nexus 9000 has no RSPAN; a Nexus 7000 takes an RSPAN VLAN as a source, in lines that no public source that we have shows; use erspan, and " +
		"receive it elsewhere"
	whyERSPAN1   = "NX-OS sends ERSPAN of type II or III (header-type 2 or 3), not of type I; use version 2"
	whyERSPAN3   = "header-type 3 is in the schema of 9.3(2) and later; a model may refuse it"
	whyGRE       = "NX-OS has no mirror into plain GRE; use erspan version 2, which is in GRE too"
	whyVXLAN     = "NX-OS has no mirror into VXLAN; use erspan version 2"
	whyCapture   = "an intent's capture is an interface for programs on a host; copies to the CPU of a Nexus 9000 (sup-eth0) are for Ethanalyzer and are limited in rate; use an interface or erspan"
	whyOversize  = "NX-OS has no choice for copies that are too long for the way; raise the MTU of the way, or truncate copies"
	whyFilter4   = "an access list filters received frames only, and needs room in the switch (hardware access-list tcam region span, and a reload, on some models)"
	whyFilter6   = "IPv6 access lists of layer 2 ports are not supported on Nexus 9000; filter at the receiver"
	whyVLANAlone = "a filter of VLANs on NX-OS is one include of VLANs and nothing else; filter by addresses in a mirror of its own"
	whySample    = "a Nexus 9000 mirrors every frame; filter, or truncate copies"
	whyKey       = "the GRE header of ERSPAN on NX-OS has no key of ours; leave the key out, and tell streams apart by sessionId"
	whyConfirm   = "NX-OS has no timed commit; a checkpoint is made before a change, and the way back is spanctl's: by sessions, and where that fails by a rollback to the checkpoint"
	whyMany      = "a session of a Nexus 9000 has one destination port; use one mirror for each"
	whyVLANRx    = "VLANs are mirrored in the direction rx only, but for Nexus 9200 and 9300-EX, -FX, -FX2, -FX3 and -GX; name the ports, or use rx"
	whyTruncate  = "64 to 10239 bytes; 320 to 1518 on Nexus 9300-EX; the switch refuses what its model has not"
	whySessions  = "numbers are 1 to 32; how many run at once depends on the model (4 on each ASIC of Cloud Scale switches; a fourth on a 9300 beside three of both directions " +
		"takes rx only): the one too many is down for lack of hardware"
	whyOperState = "state: up, or down (reason)"
)

const (
	srcDev = "Cisco-NX-OS-device.yang, 9.3(2), span-items"
	srcTF  = "terraform-provider-nxos, span.yaml"
	srcDC  = "NX-API REST guide 9.3(x), SPAN and ERSPAN"
	srcG7  = "Nexus 9000 system management guide 7.x, SPAN"
	srcG10 = "Nexus 9000 system management guide 10.3(x), SPAN and ERSPAN"
	srcTAC = "a letter of Cisco TAC on access lists of SPAN"
)

func yes(e models.Evidence, source string) models.Claim {
	return models.Claim{Support: models.Yes, Evidence: e, Source: source}
}

func limited(e models.Evidence, why, source string) models.Claim {
	return models.Claim{Support: models.Yes, Why: why, Evidence: e, Source: source}
}

func no(e models.Evidence, why, source string) models.Claim {
	return models.Claim{Why: why, Evidence: e, Source: source}
}

var claims = map[models.Feature]models.Claim{
	models.FeatureSPAN:             yes(models.EvidenceSchema, srcDev+"; "+srcDC),
	models.FeatureRSPANSource:      no(models.EvidenceSchema, whyRSPAN, "absent from "+srcDev),
	models.FeatureRSPANDestination: no(models.EvidenceManual, whyRSPANDst, "absent from "+srcDev+"; Nexus 7000 system management guide 6.x"),
	models.FeatureERSPAN1:          no(models.EvidenceSchema, whyERSPAN1, srcDev+" (headerType)"),
	models.FeatureERSPAN2:          yes(models.EvidenceSchema, srcDev+"; "+srcDC+"; public notes with an output"),
	models.FeatureERSPAN3:          limited(models.EvidenceSchema, whyERSPAN3, srcDev+" (headerType); public notes with an output"),
	models.FeatureGRE:              no(models.EvidenceSchema, whyGRE, "absent from "+srcDev),
	models.FeatureVXLAN:            no(models.EvidenceSchema, whyVXLAN, "absent from "+srcDev),

	models.FeatureCapture:  no(models.EvidenceSchema, whyCapture, "absent from "+srcDev+"; public notes on SPAN to the CPU of Nexus 9000"),
	models.FeatureOversize: no(models.EvidenceSchema, whyOversize, "absent from "+srcDev),

	models.FeatureRx:               yes(models.EvidenceSchema, srcDev+"; "+srcG10),
	models.FeatureTx:               yes(models.EvidenceSchema, srcDev+"; "+srcG10),
	models.FeatureBoth:             yes(models.EvidenceSchema, srcDev+"; "+srcG10),
	models.FeaturePortSource:       {Support: models.Yes, Limit: 48, Evidence: models.EvidenceSchema, Source: srcDev + "; " + srcG7 + " (48 source interfaces)"},
	models.FeatureLAGSource:        yes(models.EvidenceManual, srcG7+" (port channels); "+srcG10+", ERSPAN sources; public examples"),
	models.FeatureVLANSource:       limited(models.EvidenceSchema, whyVLANRx, srcDev+"; "+srcG10),
	models.FeatureManyDestinations: no(models.EvidenceManual, whyMany, srcG7+"; "+srcDev+" (destinationPorts is one leaf)"),

	models.FeatureFilterIPv4: limited(models.EvidenceSchema, whyFilter4, srcDev+" (aclName); Cisco's example of UDF-based ERSPAN, which names an ip access-list; "+srcTAC),
	models.FeatureFilterIPv6: no(models.EvidenceManual, whyFilter6, "Nexus 9000 system management guide 9.3(x), SPAN"),
	models.FeatureFilterVLAN: limited(models.EvidenceSchema, whyVLANAlone, srcDev+" (FilterVlan); "+srcTF),
	models.FeatureTruncate:   limited(models.EvidenceSchema, whyTruncate, srcDev+" (mtu); "+srcG10),
	models.FeatureSample:     no(models.EvidenceSchema, whySample, "absent from "+srcDev),

	models.FeatureTunnelVRF:  yes(models.EvidenceSchema, srcDev+"; "+srcDC),
	models.FeatureTunnelTTL:  yes(models.EvidenceSchema, srcDev+"; "+srcDC),
	models.FeatureTunnelDSCP: yes(models.EvidenceSchema, srcDev+"; "+srcDC),
	models.FeatureTunnelKey:  no(models.EvidenceSchema, whyKey, "absent from "+srcDev),

	models.FeatureSessions: limited(models.EvidenceManual, whySessions, srcDev+"; "+srcG7+"; public notes on Cloud Scale switches"),
	models.FeatureConfirm: {Support: models.Emulated, Why: whyConfirm, Evidence: models.EvidenceManual,
		Source: "napalm, nxos.py refuses a timed commit; public notes on checkpoint and rollback with 10.2(2)"},
	models.FeatureOperState: limited(models.EvidenceSchema, whyOperState, srcDev+" (operState); outputs in genieparser and public notes"),
}

// Capabilities gives what is claimed of NX-OS over its CLI.
func (Dialect) Capabilities() models.Capabilities {
	return models.Capabilities{Platform: Key, Claims: maps.Clone(claims), Grain: models.GrainSession, Numbered: true, Saves: true}
}
