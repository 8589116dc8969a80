package drivertest

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// claims tests every feature, claimed or not.
func claims(t *testing.T, s Subject) {
	for _, f := range models.Features() {
		t.Run(string(f), func(t *testing.T) {
			r := newRig(t, s)
			switch f {
			case models.FeatureSessions:
				r.sessions()
			case models.FeatureConfirm:
				// Every plan looks whether the script goes back as claimed, and the point
				// "timer" whether the device does.
				r.plan([]models.Session{r.session(0, func(*models.Session) {})})
			case models.FeatureOperState:
				r.operState()
			default:
				r.feature(f)
			}
		})
	}
}

// feature asks for one feature.
func (r *rig) feature(f models.Feature) {
	r.t.Helper()
	claim := r.caps.Of(f)
	s := r.session(0, func(s *models.Session) {
		r.ask(s, f)
		if r.s.Ask != nil {
			r.s.Ask(f, s)
		}
	})
	if claim.Support == models.No {
		if claim.Why == "" {
			r.t.Errorf("%s is refused without a reason", f)
		}
		r.refused(s)
		return
	}
	if s.Destination.Tunnel != nil && r.p.Ports.Tunnel == nil {
		r.t.Fatal("the subject gives no addresses for the tunnels that are claimed")
	}
	r.reach(s)
	r.reach()
	r.untouched("afterwards")
	if claim.Limit > 0 {
		r.limit(f, claim.Limit)
	}
}

// ask makes s need a feature.
func (r *rig) ask(s *models.Session, f models.Feature) {
	tunnel := func(kind models.DestinationKind, version uint8) {
		t := models.Tunnel{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.9"), Version: version}
		if p := r.p.Ports.Tunnel; p != nil {
			t.Source, t.Destination = p.Source, p.Destination
		}
		s.Destination = models.Destination{Kind: kind, Tunnel: &t}
		switch kind {
		case models.DestinationERSPAN:
			if version > 1 {
				t.SessionID = 100
			}
		case models.DestinationVXLAN:
			t.VNI = 5000
		}
	}
	match := func(m models.Match) { s.Filter = []models.Rule{{Action: models.Include, Match: m}} }
	switch f {
	case models.FeatureSPAN, models.FeatureRx:
	case models.FeatureTx:
		s.Sources[0].Direction = models.Tx
	case models.FeatureBoth:
		s.Sources[0].Direction = models.Both
	case models.FeatureRSPANSource:
		s.Destination = models.Destination{Kind: models.DestinationRemoteVLAN, VLAN: orElse(r.p.Ports.RemoteVLAN, 900)}
	case models.FeatureRSPANDestination:
		s.Sources = []models.Source{{Kind: models.SourceRemoteVLAN, VLAN: orElse(r.p.Ports.RemoteVLAN, 900), Direction: models.Rx}}
	case models.FeatureERSPAN1, models.FeatureERSPAN2, models.FeatureERSPAN3:
		tunnel(models.DestinationERSPAN, f[len(f)-1]-'0')
	case models.FeatureGRE:
		tunnel(models.DestinationGRE, 0)
	case models.FeatureVXLAN:
		tunnel(models.DestinationVXLAN, 0)
	case models.FeatureCapture:
		s.Destination = models.Destination{Kind: models.DestinationCapture}
	case models.FeaturePortSource:
		s.Sources = []models.Source{r.source(0, models.Rx), r.source(1, models.Rx)}
	case models.FeatureLAGSource:
		if r.caps.Has(f) && r.p.Ports.LAG == "" {
			r.t.Fatal("the subject gives no LAG, and LAG sources are claimed")
		}
		s.Sources = []models.Source{{Kind: models.SourceLAG, Name: r.p.Ports.LAG, Direction: models.Rx}}
	case models.FeatureVLANSource:
		s.Sources = []models.Source{{Kind: models.SourceVLAN, VLAN: orElse(r.p.Ports.VLAN, 10), Direction: models.Rx}}
	case models.FeatureManyDestinations:
		s.Destination = r.to(0, 1)
	case models.FeatureFilterIPv4:
		match(models.Match{Proto: "tcp", Dst: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, Dport: []models.Range{models.One(443)}})
	case models.FeatureFilterIPv6:
		match(models.Match{Proto: "udp", Src: models.Prefix{Prefix: netip.MustParsePrefix("2001:db8::/32")}})
	case models.FeatureFilterVLAN:
		match(models.Match{Src: models.Prefix{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, VLANs: []models.Range{models.One(orElse(r.p.Ports.VLAN, 10))}})
	case models.FeatureTruncate:
		s.TruncateTo = 128
	case models.FeatureSample:
		s.SampleOneIn = 10
	case models.FeatureTunnelVRF, models.FeatureTunnelTTL, models.FeatureTunnelDSCP, models.FeatureTunnelKey, models.FeatureOversize:
		kind, version := r.anyTunnel()
		tunnel(kind, version)
		t := s.Destination.Tunnel
		switch f {
		case models.FeatureTunnelVRF:
			t.VRF = "MGMT"
			if p := r.p.Ports.Tunnel; p != nil && p.VRF != "" {
				t.VRF = p.VRF
			}
		case models.FeatureTunnelTTL:
			t.TTL = 33
		case models.FeatureTunnelDSCP:
			t.DSCP = 10
		case models.FeatureTunnelKey:
			t.Key = 77
		case models.FeatureOversize:
			t.Oversize = models.OversizeFragment
		}
	default:
		r.t.Fatalf("the suite has no session that needs %s: write one", f)
	}
}

// anyTunnel gives a tunnel that the platform has; GRE where it has none.
func (r *rig) anyTunnel() (models.DestinationKind, uint8) {
	switch {
	case r.caps.Has(models.FeatureGRE):
		return models.DestinationGRE, 0
	case r.caps.Has(models.FeatureERSPAN2):
		return models.DestinationERSPAN, 2
	case r.caps.Has(models.FeatureERSPAN3):
		return models.DestinationERSPAN, 3
	case r.caps.Has(models.FeatureERSPAN1):
		return models.DestinationERSPAN, 1
	case r.caps.Has(models.FeatureVXLAN):
		return models.DestinationVXLAN, 0
	}
	return models.DestinationGRE, 0
}

func orElse(n, other uint16) uint16 {
	if n != 0 {
		return n
	}
	return other
}

// limit fills a session up to its limit, which works, and asks for one more, which
// is refused.
func (r *rig) limit(f models.Feature, limit int) {
	r.t.Helper()
	var fill func(s *models.Session, n int)
	switch f {
	case models.FeaturePortSource:
		fill = func(s *models.Session, n int) {
			s.Sources = nil
			for i := range n {
				s.Sources = append(s.Sources, r.source(i, models.Rx))
			}
		}
	case models.FeatureManyDestinations:
		fill = func(s *models.Session, n int) {
			s.Destination = models.Destination{Kind: models.DestinationPort}
			for i := range n {
				s.Destination.Ports = append(s.Destination.Ports, r.to(i).Ports...)
			}
		}
	case models.FeatureTruncate:
		fill = func(s *models.Session, n int) { s.TruncateTo = uint16(n) }
	default:
		r.t.Fatalf("the suite does not know what the limit %d of %s counts", limit, f)
	}
	r.reach(r.session(0, func(s *models.Session) { fill(s, limit) }))
	r.reach()
	over := r.session(0, func(s *models.Session) { fill(s, limit+1) })
	if found := r.check(over); len(found) == 0 {
		r.t.Errorf("%s: %d is claimed as the limit, and a plan takes %d", f, limit, limit+1)
	}
}

// check gives what a plan refuses of sessions.
func (r *rig) check(sessions ...models.Session) models.Findings {
	r.t.Helper()
	net := &models.Network{Devices: []models.Device{{ID: r.p.Device, Platform: r.caps.Platform}}}
	platforms := func(models.DeviceID) plan.Platform { return r.s.Planner }
	states := map[models.DeviceID]models.DeviceState{r.p.Device: r.observe()}
	found := plan.Check(net, platforms, nil, sessions, plan.Policy{}, r.now())
	found = append(found, plan.CheckState(net, platforms, nil, sessions, states, func(string) bool { return false }, plan.Policy{})...)
	return found.Errors()
}

// sessions fills the device up to the claimed number, which works, and asks for one
// more, which is refused. Sessions of strangers count.
func (r *rig) sessions() {
	r.t.Helper()
	claim := r.caps.Of(models.FeatureSessions)
	if claim.Support == models.No {
		r.t.Fatal("sessions are not claimed; a platform without any has no driver")
	}
	n := 2
	if claim.Limit > 0 {
		n = claim.Limit - len(r.p.Foreign)
	}
	var want []models.Session
	for i := range n {
		want = append(want, r.session(i, func(*models.Session) {}))
	}
	r.reach(want...)
	if claim.Limit > 0 {
		more := r.session(n, func(*models.Session) {})
		if found := r.check(append(want, more)...); len(found) == 0 {
			r.t.Errorf("%d sessions are claimed as the limit, and a plan takes %d", claim.Limit, claim.Limit+1)
		}
	}
	r.reach()
	r.untouched("afterwards")
}

// operState looks whether the device says that a session is up, where it is claimed
// that it does.
func (r *rig) operState() {
	r.t.Helper()
	s := r.session(0, func(*models.Session) {})
	r.reach(s)
	for _, got := range r.observe().Sessions {
		if got.ID() != s.ID() {
			continue
		}
		claimed := r.caps.Has(models.FeatureOperState)
		switch {
		case claimed && got.Status.State != models.OperUp:
			r.t.Errorf("the session is set up and its state is %s (%s); want up", got.Status.State, got.Status.Reason)
		case !claimed && got.Status != models.Status{}:
			r.t.Errorf("no state is claimed, but the driver says %s", fmt.Sprint(got.Status))
		}
		return
	}
	r.t.Error("the session is not there")
}
