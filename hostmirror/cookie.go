package hostmirror

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

const (
	magic      = "SPN\x01"
	roleMirror = 'm'
)

// sessionHash is what a cookie holds of a session's identity.
type sessionHash [8]byte

func hashOf(dev models.DeviceID, session string) sessionHash {
	if h, ok := unknownHash(session); ok {
		return h
	}
	sum := sha256.Sum256([]byte(string(dev) + "/" + session))
	return sessionHash(sum[:8])
}

// unknownPrefix begins the name of a session of ours whose name nobody knows.
const unknownPrefix = "cookie:"

func (h sessionHash) name() string { return unknownPrefix + hex.EncodeToString(h[:]) }

// unknownHash reads the name that sessionHash.name gave.
func unknownHash(name string) (sessionHash, bool) {
	digits, ok := strings.CutPrefix(name, unknownPrefix)
	if !ok {
		return sessionHash{}, false
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(sessionHash{}) {
		return sessionHash{}, false
	}
	return sessionHash(b), true
}

// mark is what our cookie says.
type mark struct {
	session sessionHash
	hook    tcnl.Hook
}

var hookBytes = map[tcnl.Hook]byte{tcnl.Ingress: 'I', tcnl.Egress: 'E'}

func (m mark) cookie() tcnl.Cookie {
	var c tcnl.Cookie
	copy(c[:], magic)
	copy(c[4:], m.session[:])
	c[12] = hookBytes[m.hook]
	c[13] = roleMirror
	return c
}

// parseMark reads a cookie. One of another layout version, of another role or with
// something in the reserved bytes is not ours to touch.
func parseMark(b []byte) (mark, bool) {
	if len(b) != tcnl.CookieSize || string(b[:4]) != magic || b[13] != roleMirror || b[14] != 0 || b[15] != 0 {
		return mark{}, false
	}
	m := mark{session: sessionHash(b[4:12])}
	for hook, letter := range hookBytes {
		if b[12] == letter {
			m.hook = hook
			return m, true
		}
	}
	return mark{}, false
}

// isIn reports whether the first cookie of a filter can be one of this session. markOf
// looks closer.
func (h sessionHash) isIn(f tcnl.Filter) bool {
	return len(f.Actions) > 0 && len(f.Actions[0].Cookie) == tcnl.CookieSize && string(f.Actions[0].Cookie[4:12]) == string(h[:])
}

// markOf tells whose filter f is. It is ours only if all of its actions say the same.
func markOf(f tcnl.Filter) (mark, bool) {
	if len(f.Actions) == 0 || f.Block != 0 {
		return mark{}, false
	}
	first, ok := parseMark(f.Actions[0].Cookie)
	if !ok {
		return mark{}, false
	}
	for _, a := range f.Actions[1:] {
		if m, ok := parseMark(a.Cookie); !ok || m != first {
			return mark{}, false
		}
	}
	return first, true
}
