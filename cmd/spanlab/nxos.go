package main

import (
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/nxos"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// makeNXOS makes a Nexus 9000.
func makeNXOS(s frontSpec) (lab.FrontEnd, ssh.PublicKey, error) {
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
	d, err := nxos.New(nxos.Options{
		Hostname:      s.name,
		Switch:        s.sw,
		Users:         map[string]string{s.node.Username: s.node.Password.Reveal()},
		StartupConfig: startup,
		RTT:           s.rtt,
		HostKey:       key,
		Neighbor:      func(e fabric.End) (string, string, bool) { return s.neighbor(e) },
	})
	if err != nil {
		return nil, nil, err
	}
	return faulted{d}, key.PublicKey(), nil
}
