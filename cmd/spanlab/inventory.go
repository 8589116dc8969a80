package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/spanctl/spanctl/inventory"
)

// The part of spanctl's inventory format that is written here.
type inventoryFile struct {
	APIVersion  string                    `yaml:"apiVersion"`
	Kind        string                    `yaml:"kind"`
	Topology    string                    `yaml:"topology,omitempty"`
	Credentials map[string]credentialSpec `yaml:"credentials,omitempty"`
	Defaults    defaultSpec               `yaml:"defaults"`
	Devices     []deviceSpec              `yaml:"devices"`
}

type credentialSpec struct {
	Username string        `yaml:"username"`
	Password referenceSpec `yaml:"password"`
}

type referenceSpec struct {
	File string `yaml:"file"`
}

type defaultSpec struct {
	HostKey hostKeySpec `yaml:"hostKey"`
}

type hostKeySpec struct {
	Policy     string `yaml:"policy"`
	KnownHosts string `yaml:"knownHosts"`
}

type deviceSpec struct {
	Name         string            `yaml:"name"`
	Address      string            `yaml:"address"`
	Port         uint16            `yaml:"port"`
	TunnelSource string            `yaml:"tunnelSource,omitempty"`
	Platform     string            `yaml:"platform,omitempty"`
	Labels       map[string]string `yaml:"labels,omitempty"`
	Credentials  string            `yaml:"credentials,omitempty"`
	Ports        []string          `yaml:"ports,omitempty"`
}

// writeInventory writes an inventory of the running lab, absolute path and all, and
// beside it a known-hosts file of the same name. An inventory that stands alone has
// no reference to the topology: what devices take from it stands in the file, and
// passwords in files of their own.
func writeInventory(path string, t *inventory.Topology, b *built, addresses map[string]string, alone bool) error {
	base := strings.TrimSuffix(path, filepath.Ext(path))
	known := base + ".known_hosts"
	f := inventoryFile{
		APIVersion: "spanctl/v1", Kind: inventory.KindInventory,
		Defaults: defaultSpec{hostKeySpec{Policy: "strict", KnownHosts: filepath.Base(known)}},
	}
	if !alone {
		topology, err := filepath.Abs(t.File)
		if err != nil {
			return err
		}
		f.Topology = topology
	}
	logins := logins{base: base, names: map[[2]string]string{}}
	var keys strings.Builder
	for _, s := range b.switches {
		addr, err := netip.ParseAddrPort(addresses[s.name])
		if err != nil {
			return err
		}
		d := deviceSpec{Name: s.name, Address: addr.Addr().String(), Port: addr.Port(), TunnelSource: label(s.node, "tunnel-source")}
		if alone {
			d.Platform, d.Labels = s.node.Platform, plainLabels(s.node)
			for _, i := range s.node.Interfaces {
				d.Ports = append(d.Ports, i.Name)
			}
			if d.Credentials, err = logins.name(s.node); err != nil {
				return err
			}
		}
		f.Devices = append(f.Devices, d)
		fmt.Fprintln(&keys, knownhosts.Line([]string{addr.String()}, s.hostKey))
	}
	f.Credentials = logins.specs
	text, err := yaml.Marshal(f)
	if err != nil {
		return err
	}
	if err := writeFile(known, []byte(keys.String()), 0o644); err != nil {
		return err
	}
	const head = "# Written by spanlab for a running lab; the addresses are good until it ends.\n"
	return writeFile(path, append([]byte(head), text...), 0o644)
}

// plainLabels are the labels as the inventory names those of a topology: spanctl's
// own without their prefix, too.
func plainLabels(n *inventory.Node) map[string]string {
	out := map[string]string{}
	for k, v := range n.Labels {
		out[k] = v
		for _, prefix := range []string{"spanctl.", "spanctl-"} {
			if plain, ok := strings.CutPrefix(k, prefix); ok {
				out[plain] = v
			}
		}
	}
	return out
}

// logins names each pair of user and password once.
type logins struct {
	base  string
	names map[[2]string]string
	specs map[string]credentialSpec
}

func (l *logins) name(n *inventory.Node) (string, error) {
	pair := [2]string{n.Username, n.Password.Reveal()}
	if name, ok := l.names[pair]; ok {
		return name, nil
	}
	name := fmt.Sprintf("lab%d", len(l.names)+1)
	file := l.base + "." + name + ".password"
	if err := writeFile(file, []byte(pair[1]), 0o600); err != nil {
		return "", err
	}
	if l.specs == nil {
		l.specs = map[string]credentialSpec{}
	}
	l.specs[name] = credentialSpec{Username: pair[0], Password: referenceSpec{File: filepath.Base(file)}}
	l.names[pair] = name
	return name, nil
}
