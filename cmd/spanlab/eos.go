package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/peers/lab"
	"github.com/spanctl/spanctl/drivers/peers/sshd"
	"github.com/spanctl/spanctl/inventory"
)

func makeEOS(s frontSpec) (lab.FrontEnd, ssh.PublicKey, error) {
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
	d, err := eos.New(eos.Options{
		Hostname:       s.name,
		Switch:         s.sw,
		Users:          map[string]string{s.node.Username: s.node.Password.Reveal()},
		LoginPrivilege: 15, // containerlab's users of EOS have it
		StartupConfig:  startup,
		RTT:            s.rtt,
		HostKey:        key,
		Management:     "Management0", // containerlab maps eth0 to it
		Neighbor:       func(e fabric.End) (string, string, bool) { return s.neighbor(e) },
	})
	if err != nil {
		return nil, nil, err
	}
	return faulted{d}, key.PublicKey(), nil
}

// startupConfig renders a node's startup configuration as containerlab does for
// cEOS (nodes/ceos/ceos.go, createCEOSFiles): a Go template, in a file whose name
// counts from the topology, or as text of several lines in the topology itself.
// Lines of containerlab's own templates that begin with // say nothing to a switch.
func startupConfig(n *inventory.Node, name, dir string) (string, error) {
	text := n.StartupConfig
	switch {
	case text == "":
		return "", nil
	case strings.Contains(text, "://") && !strings.Contains(text, "\n"):
		return "", fmt.Errorf("startup-config %s: only files and text are read", text)
	case !strings.Contains(text, "\n"):
		if !filepath.IsAbs(text) {
			text = filepath.Join(dir, text)
		}
		b, err := os.ReadFile(text)
		if err != nil {
			return "", fmt.Errorf("startup-config: %w", err)
		}
		text = string(b)
	}
	t, err := template.New("startup-config").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("startup-config: %w", err)
	}
	var out strings.Builder
	err = t.Execute(&out, map[string]any{
		"ShortName": name, "LongName": n.LongName, "Fqdn": n.FQDN, "Kind": n.Kind, "Group": n.Group, "Labels": n.Labels, "Env": n.Env,
		"MgmtIntf": "", "MgmtIPv4Address": "", "MgmtIPv4PrefixLength": 0, "MgmtIPv6Address": "", "MgmtIPv6PrefixLength": 0,
	})
	if err != nil {
		return "", fmt.Errorf("startup-config: %w", err)
	}
	var lines strings.Builder
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "//") {
			_, _ = io.WriteString(&lines, line)
		}
	}
	return lines.String(), nil
}
