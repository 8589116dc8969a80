package ovs

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// mark is the key of external_ids of rows that are ours; its value is the session's
// name. rspanMark says that the VLAN of a mirror is meant as an RSPAN VLAN.
const (
	mark      = "spanctl"
	rspanMark = "spanctl-rspan"
)

// ownPrefix begins the names of sessions that spanctl makes (plan.SessionPrefix).
const ownPrefix = "sp-"

var (
	// plainText needs no quotes as a value of ovs-vsctl.
	plainText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	uuidText  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	// shellSafe needs no quotes in a shell.
	shellSafe = regexp.MustCompile(`^[A-Za-z0-9_./:=@,+-]+$`)
	// settingText is a line of Extra: a column, or a column and a key, and its value.
	settingText = regexp.MustCompile(`^[a-z_]+(:[^=]+)?=`)
)

// PortKind tells a bond from a port by its name: those that begin with "bond" are
// taken for bonds, as Linux names them. To a mirror both are ports.
func (Dialect) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, "bond") {
		return models.SourceLAG
	}
	return models.SourcePort
}

// tunnelPort gives the name of the port that is made for a session's tunnel. Names of
// tunnel ports have at most 15 bytes [db, Interface name].
func tunnelPort(session string) string {
	sum := sha256.Sum256([]byte(session))
	return ownPrefix + hex.EncodeToString(sum[:6])
}

// shellWord quotes an argument for a POSIX shell.
func shellWord(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// isName reports whether s can be the name of a port, bridge or mirror in a command:
// visible ASCII that is no option. Names that look like a part of a row's identity
// would mean another row.
func isName(s string) bool {
	if s == "" || len(s) > 255 || s[0] == '-' || s[0] == '@' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
