package drivertest

import (
	"context"
	"testing"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// Subject is a driver and the kind of peer that it is tested with.
type Subject struct {
	// Planner is the driver's platform, with no device in reach.
	Planner drivers.Planner
	// Dialect is Planner for a driver that reads text from a transport.Conn; nil for
	// one that does not, such as one over netlink. The point "text" needs it.
	Dialect drivers.Dialect
	// Start makes a device in its first state, with sessions of strangers on it. What
	// it starts ends with t. It is called once for each part of the suite.
	Start func(t testing.TB) *Peer
	// Ask changes a session that asks for a feature, where the platform has the
	// feature for some sessions only, such as truncation of copies in a tunnel; the
	// suite's own copies a port to a port. Nil changes nothing.
	Ask func(f models.Feature, s *models.Session)
}

// Peer is a device and the suite's ways around the driver. All functions may be
// called while the driver is not at work; Refuse and Hang are about what comes
// next.
type Peer struct {
	Device models.DeviceID
	Ports  Ports
	// Foreign are the sessions that are there at the start, as Truth gives them.
	Foreign []models.Session
	// Open makes a driver with a connection of its own.
	Open func(ctx context.Context) (drivers.Driver, error)
	// Dial makes a connection alone; nil where Subject.Dialect is.
	Dial func(ctx context.Context) (transport.Conn, error)
	// Truth gives all sessions that the device has, by its own view: not made with
	// any code of the driver. Status, Intent and FilterName are not looked at.
	Truth func() []models.Session
	// Config gives the whole configuration as text, to be compared as it is; nil
	// where there is none.
	Config func() string
	// Saved tells whether the device would boot with the configuration that it runs; nil
	// where it has but one.
	Saved func() bool
	// Wire gives the steps that the device received since ResetWire, in order:
	// their texts, without what a transport types of its own accord.
	Wire      func() []string
	ResetWire func()
	// Lapse lets time pass for the device.
	Lapse func(d time.Duration)
	// Refuse makes the device refuse the step of this text, once.
	Refuse func(step string)
	// Hang makes the device go silent at the step or request of this text; with ""
	// at whatever comes next.
	Hang func(text string)
	// Frames makes the switch receive rx frames on a port and send tx frames out of
	// it, and gives the number of copies that came out of the port to. Nil where
	// frames cannot be sent.
	Frames func(t testing.TB, port string, rx, tx int, to string) (copies int)
}

// Ports are what the suite may use of a device. None of them is in a session of
// Foreign.
type Ports struct {
	Sources      []string // at least 3, up to the claimed limit and one more
	Destinations []string // at least 2, with links that are up
	LAG          string   // "" where LAG sources are not claimed
	VLAN         uint16   // 0 where VLAN sources are not claimed
	RemoteVLAN   uint16   // an RSPAN VLAN; 0 where RSPAN is not claimed
	// Tunnel has Source, Destination and VRF for tunnels; nil where none is claimed.
	Tunnel *models.Tunnel
}
