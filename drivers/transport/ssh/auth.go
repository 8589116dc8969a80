package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// config makes the client configuration of an endpoint. seen is told what the
// endpoint's callbacks found, since package ssh does not always pass it on.
func (e *Endpoint) config(ctx context.Context, seen *evidence) (cfg *ssh.ClientConfig, done func(), err error) {
	alg := ssh.SupportedAlgorithms()
	if e.Legacy {
		old := ssh.InsecureAlgorithms()
		alg.KeyExchanges = append(alg.KeyExchanges, old.KeyExchanges...)
		alg.Ciphers = append(alg.Ciphers, old.Ciphers...)
		alg.MACs = append(alg.MACs, old.MACs...)
		alg.HostKeys = append(alg.HostKeys, old.HostKeys...)
	}
	methods, done, err := e.Auth.methods(ctx, seen)
	if err != nil {
		return nil, nil, err
	}
	return &ssh.ClientConfig{
		Config: ssh.Config{KeyExchanges: alg.KeyExchanges, Ciphers: alg.Ciphers, MACs: alg.MACs},
		User:   e.User,
		Auth:   methods,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			if err := e.HostKeys.verify(host, remote, key); err != nil {
				seen.hostKey = err
				return err
			}
			seen.hostKeyOK = true
			return nil
		},
		HostKeyAlgorithms: e.HostKeys.algorithms(e.Address, alg.HostKeys),
	}, done, nil
}

// evidence is what a handshake found out.
type evidence struct {
	hostKey   error // the host key was refused
	hostKeyOK bool  // it was accepted: what fails after that is the login
	secret    error // a secret could not be had
}

// methods gives the ways to log in. done is to be called after the handshake.
func (a Auth) methods(ctx context.Context, seen *evidence) (ms []ssh.AuthMethod, done func(), err error) {
	done = func() {}
	var fixed []ssh.Signer
	if a.PrivateKey != nil {
		s, err := a.signer(ctx)
		if err != nil {
			return nil, nil, err
		}
		fixed = append(fixed, s)
	}
	var keys agent.ExtendedAgent
	if a.AgentSocket != "" {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", a.AgentSocket)
		if err != nil {
			return nil, nil, fmt.Errorf("ssh agent: %w", err)
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		done = func() { stop(); _ = c.Close() }
		keys = agent.NewClient(c)
	}
	if fixed != nil || keys != nil {
		ms = append(ms, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			all := slices.Clone(fixed)
			if keys != nil {
				more, err := keys.Signers()
				if err != nil {
					seen.secret = fmt.Errorf("ssh agent: %w", err)
					return nil, seen.secret
				}
				all = append(all, more...)
			}
			return all, nil
		}))
	}
	if a.Password != nil {
		// The two methods are one and the same login to most devices, which lock an
		// account after a few wrong ones: the password is given once.
		given := false
		give := func() (string, error) {
			if given {
				return "", errors.New("the password was refused")
			}
			given = true
			p, err := a.Password(ctx)
			if err != nil {
				seen.secret = fmt.Errorf("password: %w", err)
			}
			return p, err
		}
		ms = append(ms, ssh.PasswordCallback(give), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				switch {
				case len(questions) == 0:
					return nil, nil
				case len(questions) > 1 || echos[0]:
					return nil, errors.New("the device asks more than a password")
				}
				p, err := give()
				return []string{p}, err
			}))
	}
	return ms, done, nil
}

func (a Auth) signer(ctx context.Context) (ssh.Signer, error) {
	text, err := a.PrivateKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	s, err := ssh.ParsePrivateKey([]byte(text))
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && a.Passphrase != nil {
		pass, err := a.Passphrase(ctx)
		if err != nil {
			return nil, fmt.Errorf("passphrase of the private key: %w", err)
		}
		s, err = ssh.ParsePrivateKeyWithPassphrase([]byte(text), []byte(pass))
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return s, nil
}
