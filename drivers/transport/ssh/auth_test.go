package ssh

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/spanctl/spanctl/drivers/transport"
)

func TestWrongPassword(t *testing.T) {
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			got, err := ask("", "", []string{"Password: "}, []bool{false})
			if err == nil {
				s.note("keyboard " + got[0])
			}
			return nil, errors.New("no")
		}
	})
	o := optionsFor(t, srv)
	o.Auth.Password = secret("wrong")
	e := dialFails(t, o)
	if e.Kind != transport.Auth || e.Hint == "" || strings.Contains(e.Error(), "wrong") {
		t.Errorf("got %v", e)
	}
	if d := cmp.Diff([]string{"password admin"}, srv.logins); d != "" {
		t.Errorf("the password was tried more than once (-want +got):\n%s", d)
	}
	o.Auth.Password = func(context.Context) (string, error) { return "", errors.New("the keyring is locked") }
	if e := dialFails(t, o); e.Kind != transport.Auth || !strings.Contains(e.Error(), "the keyring is locked") {
		t.Errorf("got %v", e)
	}
}

func TestKeyboardInteractive(t *testing.T) {
	questions, echo := []string{"Password: "}, []bool{false}
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.PasswordCallback = nil
		c.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			got, err := ask("", "", questions, echo)
			if err != nil || got[0] != "right" {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	})
	works(t, optionsFor(t, srv))
	echo[0] = true // a question that is no password
	if e := dialFails(t, optionsFor(t, srv)); e.Kind != transport.Auth {
		t.Errorf("got %v", e)
	}
}

// TestKeys logs in by key, locked key and agent.
func TestKeys(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	srv := serve(t, switchCLI{host: "leaf1"}.serve, func(s *testServer, c *ssh.ServerConfig) {
		c.PublicKeyCallback = func(m ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(k.Marshal(), want.Marshal()) {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	})
	open, err := ssh.MarshalPrivateKey(priv, "")
	if err != nil {
		t.Fatal(err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(priv, "", []byte("hush"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(b *pem.Block) Secret { return secret(string(pem.EncodeToMemory(b))) }
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: &priv}); err != nil {
		t.Fatal(err)
	}
	sock := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })

	for name, a := range map[string]Auth{
		"key":        {PrivateKey: text(open)},
		"locked key": {PrivateKey: text(locked), Passphrase: secret("hush")},
		"agent":      {AgentSocket: sock},
		"key that fits not, then the password": {PrivateKey: func(context.Context) (string, error) {
			_, p, _ := ed25519.GenerateKey(rand.Reader)
			b, err := ssh.MarshalPrivateKey(p, "")
			return string(pem.EncodeToMemory(b)), err
		}, Password: secret("right")},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, srv)
			o.Auth = a
			works(t, o)
		})
	}
	for name, a := range map[string]Auth{
		"no passphrase":    {PrivateKey: text(locked)},
		"wrong passphrase": {PrivateKey: text(locked), Passphrase: secret("loud")},
		"no key":           {PrivateKey: secret("nonsense")},
		"no agent":         {AgentSocket: sock + "x"},
	} {
		t.Run(name, func(t *testing.T) {
			o := optionsFor(t, srv)
			o.Auth = a
			if e := dialFails(t, o); e.Kind != transport.Auth || strings.Contains(e.Error(), "loud") {
				t.Errorf("got %v", e)
			}
		})
	}
}
