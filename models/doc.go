// Package models is the neutral vocabulary of spanctl: what a person asks for
// (Intent), what one device shall do or does (Session, DeviceState), what a
// network OS can do (Capabilities), and how devices hang together (Network).
//
// It knows no vendor, no YANG and no wire. Ports and sessions keep the names that
// the device writes, case included. Everything is plain data: it can be compared,
// printed, stored and sent.
package models
