package ssh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/spanctl/spanctl/drivers/transport"
)

// HostKeyPolicy is what happens to host keys.
type HostKeyPolicy string

// Policies. The zero value is Strict.
const (
	Strict    HostKeyPolicy = "strict"     // only known keys
	AcceptNew HostKeyPolicy = "accept-new" // the key of an unknown host is written down; a changed one is refused
	Insecure  HostKeyPolicy = "insecure"   // any key: anybody on the way can be the device
)

// HostKeys knows the keys of hosts, from known_hosts files of OpenSSH. It is
// read once and serves any number of connections at the same time.
type HostKeys struct {
	policy HostKeyPolicy
	files  []string
	pins   []string // fingerprints; when there are some, nothing else counts

	mu       sync.Mutex
	check    ssh.HostKeyCallback
	accepted map[string][]ssh.PublicKey // by normalized address, since the files were read
}

// NewHostKeys reads known_hosts files. New keys are appended to the first, which
// AcceptNew creates with its folder; other files may be absent. Policy "" is
// Strict, and Insecure reads nothing.
func NewHostKeys(policy HostKeyPolicy, files ...string) (*HostKeys, error) {
	h := &HostKeys{policy: policy, files: files, accepted: make(map[string][]ssh.PublicKey)}
	switch policy {
	case "":
		h.policy = Strict
	case Strict, AcceptNew:
	case Insecure:
		return h, nil
	default:
		return nil, fmt.Errorf("host key policy %q: it is %s, %s or %s", policy, Strict, AcceptNew, Insecure)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("host key policy %s: no known_hosts file", h.policy)
	}
	var have []string
	for _, f := range files {
		switch _, err := os.Stat(f); {
		case err == nil:
			have = append(have, f)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("known hosts: %w", err)
		}
	}
	check, err := knownhosts.New(have...)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	h.check = check
	return h, nil
}

// PinHostKeys makes HostKeys that accept the keys with these fingerprints, in the
// form of ssh-keygen -l (SHA256:...), and no others; no file is read. At least one
// is needed.
func PinHostKeys(fingerprints ...string) (*HostKeys, error) {
	if len(fingerprints) == 0 {
		return nil, errors.New("no fingerprint of a host key")
	}
	for _, f := range fingerprints {
		text, ok := strings.CutPrefix(f, "SHA256:")
		if sum, err := base64.RawStdEncoding.DecodeString(text); !ok || err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("host key fingerprint %q: want SHA256: and 43 letters, as ssh-keygen -l prints it", f)
		}
	}
	return &HostKeys{policy: Strict, pins: slices.Clone(fingerprints)}, nil
}

// Policy gives the policy.
func (h *HostKeys) Policy() HostKeyPolicy { return h.policy }

// verify is a callback of package ssh. Its errors are *transport.Error.
func (h *HostKeys) verify(address string, remote net.Addr, key ssh.PublicKey) error {
	if h.policy == Insecure {
		return nil
	}
	print := ssh.FingerprintSHA256(key)
	name := knownhosts.Normalize(address)
	if len(h.pins) > 0 {
		if slices.Contains(h.pins, print) {
			return nil
		}
		return &transport.Error{Kind: transport.Auth, Err: fmt.Errorf("the host key of %s is none of the pinned ones: %s %s", name, key.Type(), print),
			Hint: "somebody may be in between; compare the fingerprint on the device's console with the inventory's"}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.accepted[name] {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
	}
	err := h.check(address, named(address), key)
	if err == nil {
		return nil
	}
	refuse := func(why error, hint string) error {
		return &transport.Error{Kind: transport.Auth, Err: why, Hint: hint}
	}
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		return refuse(fmt.Errorf("host key %s of %s is revoked by %s line %d", print, name, revoked.Revoked.Filename, revoked.Revoked.Line),
			"do not connect; ask whoever revoked it")
	}
	var ke *knownhosts.KeyError
	if !errors.As(err, &ke) {
		return refuse(fmt.Errorf("host key %s of %s: %w", print, name, err), "look at the known_hosts file")
	}
	if len(ke.Want) > 0 {
		old := ke.Want[0]
		return refuse(fmt.Errorf("the host key of %s has changed: %s %s is not the one in %s line %d",
			name, key.Type(), print, old.Filename, old.Line),
			fmt.Sprintf("somebody may be in between; if the device was replaced or reset, compare the fingerprint on its console, then: ssh-keygen -R %q -f %s", name, old.Filename))
	}
	if len(h.accepted[name]) > 0 {
		return refuse(fmt.Errorf("the host key of %s has changed since it was accepted in this run: %s %s", name, key.Type(), print),
			"somebody may be in between; compare the fingerprint on the device's console")
	}
	if h.policy != AcceptNew {
		return refuse(fmt.Errorf("the host key of %s is not known: %s %s", name, key.Type(), print),
			fmt.Sprintf("compare the fingerprint on the device's console and add the key to %s, or use --host-key=accept-new", h.files[0]))
	}
	if err := appendLine(h.files[0], knownhosts.Line([]string{name}, key)); err != nil {
		return refuse(fmt.Errorf("the host key of %s cannot be written down: %w", name, err), "make the file writable")
	}
	h.accepted[name] = append(h.accepted[name], key)
	return nil
}

// algorithms puts the host key algorithms first for which address has a key, so
// that a device with several keys shows the one that is known.
func (h *HostKeys) algorithms(address string, all []string) []string {
	if h.policy == Insecure || len(h.pins) > 0 {
		return all
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var types []string
	for _, k := range h.accepted[knownhosts.Normalize(address)] {
		types = append(types, k.Type())
	}
	var ke *knownhosts.KeyError
	if errors.As(h.check(address, named(address), nobody), &ke) {
		for _, w := range ke.Want {
			types = append(types, w.Key.Type())
		}
	}
	first := func(alg string) bool {
		switch alg {
		case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
			alg = ssh.KeyAlgoRSA
		}
		return slices.Contains(types, alg)
	}
	var head, tail []string
	for _, a := range all {
		if first(a) {
			head = append(head, a)
		} else {
			tail = append(tail, a)
		}
	}
	return append(head, tail...)
}

// nobody is a key that no host has: asking for it lists those that one has.
var nobody = func() ssh.PublicKey {
	k, err := ssh.NewPublicKey(make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		panic(err) // a constant of the right size
	}
	return k
}()

// named is the address as it was given. The resolved one is not consulted: behind
// a jump host there is none.
type named string

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return string(n) }

// appendLine adds a line to a file that may lack its last line feed.
func appendLine(file, line string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if n := st.Size(); n > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, n-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line + "\n")
	return err
}
