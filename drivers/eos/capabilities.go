package eos

import (
	"maps"

	"github.com/spanctl/spanctl/models"
)

// Key is the platform's key in the registry.
const Key = "arista_eos"

// NoVLAN and others are what is shown when a feature is refused: what is lacking,
// and what works instead.
const (
	whyRSPAN    = "EOS has no remote SPAN VLAN; use gre, a sensor that takes gre, or a destination port on the same switch"
	whyERSPAN   = "EOS sends copies in plain GRE (tunnel mode gre, protocol 0x88be by default) and has no ERSPAN header with session id and timestamp; use gre: receivers show such copies as ERSPAN type I"
	whyVXLAN    = "copies in VXLAN are new in EOS 4.36.0F and their syntax is in no public source; use gre"
	whyCapture  = "an intent's capture is an interface for programs on a host; mirroring to the CPU of a switch (destination cpu) is not written; use an interface, gre or a sensor"
	whyOversize = "EOS does not document what becomes of copies that are too long for the way; raise the MTU of the way, or truncate"
	whyVLAN     = "VLAN sources are in EOS since 4.28.1F, on some platforms, and their syntax is in no public source; name the ports of the VLAN as sources"
	whyVLANIn   = "a VLAN in an access list of a mirror is read differently from platform to platform (vlan 1234 0x0), so it is not written; filter by addresses, or choose sources that carry the VLAN"
)

var claims = map[models.Feature]models.Claim{
	models.FeatureSPAN:             {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd monitor-sessions.j2"},
	models.FeatureRSPANSource:      {Why: whyRSPAN, Evidence: models.EvidenceManual, Source: "absent from avd's schema of monitor_sessions"},
	models.FeatureRSPANDestination: {Why: whyRSPAN, Evidence: models.EvidenceManual, Source: "absent from avd's schema of monitor_sessions"},
	models.FeatureERSPAN1:          {Why: whyERSPAN, Evidence: models.EvidenceManual, Source: "public capture of an EOS mirror to GRE"},
	models.FeatureERSPAN2:          {Why: whyERSPAN, Evidence: models.EvidenceManual, Source: "public capture of an EOS mirror to GRE"},
	models.FeatureERSPAN3:          {Why: whyERSPAN, Evidence: models.EvidenceManual, Source: "public capture of an EOS mirror to GRE"},
	models.FeatureGRE:              {Support: models.Yes, Evidence: models.EvidenceManual, Source: "two public configurations with tunnel mode gre; a public capture of what it sends"},
	models.FeatureVXLAN:            {Why: whyVXLAN, Evidence: models.EvidenceManual, Source: "TOI EOS 4.36.0F"},
	models.FeatureCapture:          {Why: whyCapture, Evidence: models.EvidenceManual, Source: "absent from avd's schema of monitor_sessions"},

	models.FeatureRx:               {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd monitor-sessions.j2"},
	models.FeatureTx:               {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd monitor-sessions.j2"},
	models.FeatureBoth:             {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd monitor-sessions.j2"},
	models.FeaturePortSource:       {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd monitor-sessions.j2"},
	models.FeatureLAGSource:        {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd schema: interface name, range or list"},
	models.FeatureVLANSource:       {Why: whyVLAN, Evidence: models.EvidenceManual, Source: "TOI EOS 4.28.1F"},
	models.FeatureManyDestinations: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "TOI EOS 4.24.2F; avd monitor-sessions.j2"},

	models.FeatureFilterIPv4: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd; EOS user manual, mirror access control lists (received frames only on some platforms)"},
	models.FeatureFilterIPv6: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd; EOS user manual, mirror access control lists (received frames only on some platforms)"},
	models.FeatureFilterVLAN: {Why: whyVLANIn, Evidence: models.EvidenceManual, Source: "EOS user manual, mirror access control lists"},

	models.FeatureTruncate: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd (truncate size); which sizes a platform takes is not documented"},
	models.FeatureSample:   {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd; TOI Sampled Mirroring"},

	models.FeatureTunnelVRF:  {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd queue-monitor-length.j2: the same destination with its options; their order in a mirror session is unverified"},
	models.FeatureTunnelTTL:  {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd queue-monitor-length.j2: the same destination with its options; their order in a mirror session is unverified"},
	models.FeatureTunnelDSCP: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "avd queue-monitor-length.j2: the same destination with its options; their order in a mirror session is unverified"},
	models.FeatureTunnelKey:  {Support: models.Yes, Evidence: models.EvidenceManual, Source: "TOI: GRE key of mirror destinations, certain platforms; the keyword is unverified"},

	models.FeatureOversize: {Why: whyOversize, Evidence: models.EvidenceManual, Source: "absent from avd's schema of monitor_sessions"},

	// How many sessions there can be depends on the switch chip and on what the
	// sessions do; the device refuses the one too many.
	models.FeatureSessions:  {Support: models.Yes, Evidence: models.EvidenceUnknown, Source: "depends on the platform; no public number"},
	models.FeatureConfirm:   {Support: models.Yes, Evidence: models.EvidenceManual, Source: "napalm eos.py (commit timer)"},
	models.FeatureOperState: {Support: models.Yes, Evidence: models.EvidenceManual, Source: "show monitor session | json; the status of a destination is unverified"},
}

// Capabilities gives what is claimed of EOS over its CLI.
func (Dialect) Capabilities() models.Capabilities {
	return models.Capabilities{Platform: Key, Claims: maps.Clone(claims), Grain: models.GrainUpdate, Saves: true}
}
