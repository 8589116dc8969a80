package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/zalando/go-keyring"
)

const (
	// defaultCommandTimeout bounds a command or a keyring that gives a secret.
	defaultCommandTimeout = 30 * time.Second
	maxSecret             = 64 << 10 // bytes
)

// Credential says how to log in. Its secrets are references, followed by Resolve at
// the time of use. The zero value has nothing: an agent or a certificate may do.
type Credential struct {
	Name       string // of the inventory's credentials section; "" = given in place
	Username   Reference
	Password   Reference
	KeyFile    string // SSH private key; relative names count from the inventory file
	Passphrase Reference
	Agent      bool // use the SSH agent

	// Default tells that it is the public default of a containerlab kind.
	Default bool
}

// IsZero reports whether nothing is given.
func (c Credential) IsZero() bool {
	return c.Username.IsZero() && c.Password.IsZero() && c.KeyFile == "" && !c.Agent
}

// Login is what a credential resolves to.
type Login struct {
	Username   string
	Password   Secret
	KeyFile    string
	Passphrase Secret
	Agent      bool
	Warnings   []string // such as a secret's file that others can read
}

// Resolve follows the references. It runs commands and asks keyrings, so it may
// take until ctx ends. Errors name the reference, never a value.
func (c Credential) Resolve(ctx context.Context) (Login, error) {
	l := Login{KeyFile: c.KeyFile, Agent: c.Agent}
	user, warn, err := c.Username.resolve(ctx)
	if err != nil {
		return Login{}, fmt.Errorf("username: %w", err)
	}
	l.Username = user.Reveal()
	l.Warnings = append(l.Warnings, warn...)
	if l.Password, warn, err = c.Password.resolve(ctx); err != nil {
		return Login{}, fmt.Errorf("password: %w", err)
	}
	l.Warnings = append(l.Warnings, warn...)
	if l.Passphrase, warn, err = c.Passphrase.resolve(ctx); err != nil {
		return Login{}, fmt.Errorf("passphrase: %w", err)
	}
	l.Warnings = append(l.Warnings, warn...)
	return l, nil
}

// Reference points to a secret: an environment variable, a file, a command's
// output, an entry of the OS keyring, or the text itself. One of the fields is set;
// the zero value is no secret.
type Reference struct {
	Env     string
	File    string // its text without the last line end
	Command []string
	Timeout time.Duration // of Command; 0 = 30 s
	Service string        // of the keyring, with User
	User    string
	Literal Secret
}

// IsZero reports whether r points to nothing.
func (r Reference) IsZero() bool {
	return r.Env == "" && r.File == "" && len(r.Command) == 0 && r.Service == "" && r.Literal.IsZero()
}

// String says where the secret is, and nothing of its text.
func (r Reference) String() string {
	switch {
	case r.Env != "":
		return "environment variable " + r.Env
	case r.File != "":
		return "file " + r.File
	case len(r.Command) > 0:
		return "command " + r.Command[0]
	case r.Service != "":
		return fmt.Sprintf("keyring entry %s of %s", r.User, r.Service)
	default:
		return r.Literal.String()
	}
}

func (r Reference) resolve(ctx context.Context) (s Secret, warnings []string, err error) {
	var text string
	switch {
	case r.IsZero() || !r.Literal.IsZero():
		return r.Literal, nil, nil
	case r.Env != "":
		text = os.Getenv(r.Env)
	case r.File != "":
		if text, warnings, err = readSecretFile(r.File); err != nil {
			return Secret{}, nil, fmt.Errorf("%s: %w", r, err)
		}
	case len(r.Command) > 0:
		if text, err = r.run(ctx); err != nil {
			return Secret{}, nil, fmt.Errorf("%s: %w", r, err)
		}
	default:
		if text, err = r.ask(ctx); err != nil {
			return Secret{}, nil, fmt.Errorf("%s: %w", r, err)
		}
	}
	if text == "" {
		return Secret{}, nil, fmt.Errorf("%s: is empty or not set", r)
	}
	return NewSecret(text), warnings, nil
}

func readSecretFile(name string) (text string, warnings []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", nil, unwrapPath(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", nil, unwrapPath(err)
	}
	if fi.IsDir() {
		return "", nil, errors.New("is a directory")
	}
	if w := modeWarning(name, fi); w != "" {
		warnings = append(warnings, w)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", nil, unwrapPath(err)
	}
	if len(b) > maxSecret {
		return "", nil, fmt.Errorf("is larger than %d bytes", maxSecret)
	}
	return trimLineEnd(b), warnings, nil
}

func modeWarning(name string, fi os.FileInfo) string {
	if runtime.GOOS != "windows" && fi.Mode().IsRegular() && fi.Mode().Perm()&0o044 != 0 {
		return fmt.Sprintf("%s can be read by others (mode %04o): chmod 600 it", name, fi.Mode().Perm())
	}
	return ""
}

// unwrapPath drops the file's name, which the reference gives already.
func unwrapPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func trimLineEnd(b []byte) string {
	return string(bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")))
}

func (r Reference) run(ctx context.Context) (string, error) {
	limit := r.Timeout
	if limit == 0 {
		limit = defaultCommandTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("took longer than %s", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes open
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if line, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n"); line != "" {
			return "", fmt.Errorf("%w: %s", err, line)
		}
		return "", err
	}
	if out.Len() > maxSecret {
		return "", fmt.Errorf("gave more than %d bytes", maxSecret)
	}
	return trimLineEnd(out.Bytes()), nil
}

// ask asks the keyring, whose library knows no context: when ctx ends first the
// question is left behind.
func (r Reference) ask(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, defaultCommandTimeout, fmt.Errorf("the keyring did not answer within %s", defaultCommandTimeout))
	defer cancel()
	type answer struct {
		text string
		err  error
	}
	c := make(chan answer, 1)
	go func() {
		s, err := keyring.Get(r.Service, r.User)
		c <- answer{s, err}
	}()
	select {
	case a := <-c:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// absFile makes the name of a file that base names absolute; "~/" is the home
// directory.
func absFile(base, name string) string {
	if name == "" {
		return ""
	}
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(name) || base == "" || base == "-" {
		return name
	}
	return filepath.Join(filepath.Dir(base), name)
}
