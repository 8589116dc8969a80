package main

import (
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/iosxe"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// makeIOSXE makes a Catalyst of a cisco_cat9kv, and a router of the other kinds. The
// label "archive" of a node, "yes", configures an archive, which timed changes need.
func makeIOSXE(s frontSpec) (lab.FrontEnd, ssh.PublicKey, error) {
	if s.node.Username == "" {
		return nil, nil, errors.New("no user may log in: the topology names none")
	}
	key, err := sshd.NewHostKey()
	if err != nil {
		return nil, nil, err
	}
	startup, err := startupConfig(s.node, s.name, s.dir)
	if err != nil {
		return nil, nil, err
	}
	d, err := iosxe.New(iosxe.Options{
		Hostname:       s.name,
		Switch:         s.sw,
		Router:         s.node.Kind != "cisco_cat9kv",
		Users:          map[string]string{s.node.Username: s.node.Password.Reveal()},
		LoginPrivilege: 15, // containerlab's images make their user so
		StartupConfig:  startup,
		Archive:        label(s.node, "archive") == "yes",
		RTT:            s.rtt,
		HostKey:        key,
		Neighbor:       func(e fabric.End) (string, string, bool) { return s.neighbor(e) },
	})
	if err != nil {
		return nil, nil, err
	}
	return faulted{d}, key.PublicKey(), nil
}
