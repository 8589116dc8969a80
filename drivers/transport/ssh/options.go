package ssh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Defaults of Options.
const (
	DefaultConnectTimeout = 20 * time.Second
	DefaultStepTimeout    = 30 * time.Second
)

// Options say which device is reached and how.
type Options struct {
	// Device is the name for messages and logs.
	Device string
	// Endpoint is the device; Jumps are the hosts on the way to it, nearest first.
	Endpoint
	Jumps []Endpoint

	// Profile is how the device's command line is driven; required by Dial, unused by
	// DialExec.
	Profile *transport.Profile
	// EnableSecret gives the secret of the privileged mode. Nil where the login has
	// the rights, or gets them without a secret. It is asked for only when the
	// device asks.
	EnableSecret Secret

	// ConnectTimeout bounds Dial; 0 means DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// StepTimeout is the longest silence while an answer is awaited; 0 means
	// DefaultStepTimeout. A device that goes on printing is not timed out: the
	// caller's ctx bounds the whole.
	StepTimeout time.Duration
	// KeepAlive is the pause between SSH keep-alives of an idle connection; one
	// without an answer by the next ends the connection. 0 sends none.
	KeepAlive time.Duration

	// Logger gets Debug for what is said (secrets removed) and Warn for what lowers
	// security. Nil discards.
	Logger *slog.Logger
	// NetDial makes the first TCP connection; nil means a net.Dialer.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Endpoint is one SSH server and how we and it prove who we are.
type Endpoint struct {
	Address  string // host:port
	User     string
	Auth     Auth
	HostKeys *HostKeys // required; share one between devices
	// Legacy also offers algorithms that are no longer safe, for old devices:
	// diffie-hellman-group1-sha1 and -group14-sha1, aes128-cbc, 3des-cbc,
	// hmac-sha1-96, ssh-rsa (SHA-1). Who can change traffic on the way may then
	// break the connection open.
	Legacy bool
}

// Secret gives a secret when it is needed.
type Secret func(ctx context.Context) (string, error)

// Auth is what a login can prove itself with. All that are set are tried: key,
// agent, password. Devices count tries, so set only what fits.
type Auth struct {
	PrivateKey  Secret // PEM or OpenSSH text
	Passphrase  Secret // of PrivateKey, where it has one
	AgentSocket string // path of an SSH agent's socket
	Password    Secret // also given to keyboard-interactive, when it asks one hidden question
}

func (a Auth) empty() bool {
	return a.PrivateKey == nil && a.AgentSocket == "" && a.Password == nil
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.StepTimeout == 0 {
		o.StepTimeout = DefaultStepTimeout
	}
	if o.NetDial == nil {
		o.NetDial = (&net.Dialer{}).DialContext
	}
}

// Validate gives all that is wrong with the options for Dial.
func (o *Options) Validate() error {
	err := errors.New("no CLI profile")
	if o.Profile != nil {
		err = o.Profile.Validate()
	}
	if err != nil {
		err = fmt.Errorf("device %q: %w", o.Device, err)
	}
	return errors.Join(err, o.validateAccess())
}

// validateAccess gives what is wrong with the way to the device.
func (o *Options) validateAccess() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("device %q: "+format, append([]any{o.Device}, args...)...))
	}
	for i, e := range append(append([]Endpoint(nil), o.Jumps...), o.Endpoint) {
		what := "jump host " + e.Address + ": "
		if i == len(o.Jumps) {
			what = ""
		}
		if host, port, err := net.SplitHostPort(e.Address); err != nil || host == "" || port == "" {
			bad("%saddress %q is not host:port", what, e.Address)
		}
		if e.User == "" {
			bad("%sno user", what)
		}
		if e.Auth.empty() {
			bad("%sno password, key or agent", what)
		}
		if e.HostKeys == nil {
			bad("%sno host key policy", what)
		}
	}
	for name, d := range map[string]time.Duration{"connect timeout": o.ConnectTimeout, "step timeout": o.StepTimeout, "keep-alive": o.KeepAlive} {
		if d < 0 {
			bad("%s %v is negative", name, d)
		}
	}
	return errors.Join(errs...)
}

// checkLine gives an error for a text that is not one line to type.
func checkLine(p *transport.Profile, text string) error {
	for i, r := range text {
		if r < 0x20 || r == 0x7f {
			return fmt.Errorf("control character %#x at byte %d cannot be typed", r, i)
		}
		if strings.ContainsRune(p.Hot, r) {
			return fmt.Errorf("character %q at byte %d cannot be typed: %s acts on it at once", r, i, p.Name)
		}
	}
	return nil
}
