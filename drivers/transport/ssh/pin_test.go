package ssh

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/spanctl/spanctl/drivers/transport"
)

func TestPinHostKeys(t *testing.T) {
	key := func() ssh.PublicKey {
		pub, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ssh.NewPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	one, two, other := key(), key(), key()
	h, err := PinHostKeys(ssh.FingerprintSHA256(one), ssh.FingerprintSHA256(two))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []ssh.PublicKey{one, two} {
		if err := h.verify("192.0.2.1:22", nil, k); err != nil {
			t.Errorf("a pinned key is refused: %v", err)
		}
	}
	err = h.verify("192.0.2.1:22", nil, other)
	var te *transport.Error
	if !errors.As(err, &te) || te.Kind != transport.Auth || !strings.Contains(err.Error(), ssh.FingerprintSHA256(other)) {
		t.Errorf("another key: %v, want an error of kind auth with its fingerprint", err)
	}
	for _, bad := range [][]string{nil, {""}, {"MD5:aa"}, {"SHA256:short"}, {ssh.FingerprintSHA256(one), "nonsense"}} {
		if _, err := PinHostKeys(bad...); err == nil {
			t.Errorf("PinHostKeys(%q) is accepted", bad)
		}
	}
}
