package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/peers/lab"
)

// newCLICmd makes the command that types at a switch as a person would: over its
// management server, with nothing of spanctl in between.
func newCLICmd() *cobra.Command {
	var user, password string
	cmd := clientCmd("cli NODE LINE...", "Type lines at a switch of the lab and show what it says", cobra.MinimumNArgs(2),
		func(cmd *cobra.Command, c lab.Client, args []string) error {
			r, err := c.Nodes(cmd.Context())
			if err != nil {
				return err
			}
			for _, n := range r.Nodes {
				if n.Name == args[0] && n.Management != "" {
					ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
					defer cancel()
					return typeLines(ctx, cmd.OutOrStdout(), n.Management, user, password, args[1:])
				}
			}
			return fmt.Errorf("no switch %q", args[0])
		})
	cmd.Flags().StringVar(&user, "user", "admin", "user of the switch")
	cmd.Flags().StringVar(&password, "password", "admin", "password of the switch; the default is containerlab's public one")
	return cmd
}

// typeLines opens a shell without a terminal, so that nothing is echoed or paged.
func typeLines(ctx context.Context, out io.Writer, address, user, password string, lines []string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	c, chans, reqs, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), // a lab on loopback, whose address it has just told itself
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		return err
	}
	s.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	s.Stdout, s.Stderr = out, out
	if err := s.Shell(); err != nil {
		return err
	}
	err = s.Wait()
	var missing *ssh.ExitMissingError
	if errors.As(err, &missing) {
		return nil // the switch hangs up without a status
	}
	return err
}
