package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/spanctl/spanctl/drivers/peers/ovs"
	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"spanlab": func() { os.Exit(run()) }})
}

func TestScripts(t *testing.T) { scripts(t, "script") }

// TestScriptsVSwitch are those with Open vSwitch as the data plane.
func TestScriptsVSwitch(t *testing.T) {
	why := ovs.Missing()
	require.Need(t, require.OpenVSwitch, why == "", why)
	scripts(t, "ovs")
}

func scripts(t *testing.T, dir string) {
	labs := filepath.Join(require.ProjectRoot(t), "testdata", "labs")
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", dir),
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LABS", labs)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"cli": cli, "frames": frames},
	})
}

// cli INVENTORY NODE FILE types the lines of FILE at a node, which it finds and
// trusts by nothing but the inventory; what the node says is standard output.
func cli(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cli INVENTORY NODE FILE")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := typed(ctx, ts.MkAbs(args[0]), args[1], ts.ReadFile(args[2]))
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), out)
	ts.Check(err)
}

// frames FILE prints the layers, addresses and length of each frame of a pcapng file.
func frames(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: frames FILE")
	}
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	ts.Check(err)
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return
		}
		ts.Check(err)
		p := gopacket.NewPacket(data, r.LinkType(), gopacket.Default)
		var names []string
		for _, l := range p.Layers() {
			names = append(names, l.LayerType().String())
		}
		_, err = fmt.Fprintln(ts.Stdout(), strings.Join(names, "/"), p.NetworkLayer().NetworkFlow(), info.Length)
		ts.Check(err)
	}
}

func typed(ctx context.Context, inventoryFile, node, lines string) (string, error) {
	inv, err := inventory.LoadInventory([]string{inventoryFile}, inventory.Options{})
	if err != nil {
		return "", err
	}
	c, err := dial(ctx, inv, node)
	if err != nil {
		return "", err
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	s.Stdin = strings.NewReader(lines + "exit\n")
	var out strings.Builder
	s.Stdout = &out
	if err := s.Shell(); err != nil {
		return "", err
	}
	if err := s.Wait(); err != nil {
		return out.String(), fmt.Errorf("%w after:\n%s", err, out.String())
	}
	return out.String(), nil
}

// dial logs in with strict host key checking.
func dial(ctx context.Context, inv *inventory.Inventory, node string) (*ssh.Client, error) {
	a, err := inv.Access(models.DeviceID(node))
	if err != nil {
		return nil, err
	}
	login, err := a.Credential.Resolve(ctx)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.New(a.HostKey.KnownHosts)
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", fmt.Sprintf("%s:%d", a.Address, a.Port), &ssh.ClientConfig{
		User: login.Username, Auth: []ssh.AuthMethod{ssh.Password(login.Password.Reveal())}, HostKeyCallback: known, Timeout: 10 * time.Second,
	})
}
