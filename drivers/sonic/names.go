package sonic

import (
	"regexp"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Ports count lanes: Ethernet0, Ethernet4; of a breakout also Ethernet1. A recycle port
// and the like are none. The alias mode of names (SONIC_CLI_IFACE_MODE) changes what
// the tables for people show, not CONFIG_DB.
var (
	portName    = regexp.MustCompile(`^Ethernet[0-9]{1,4}$`)
	lagName     = regexp.MustCompile(`^PortChannel[0-9]{1,4}$`)
	sessionName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,31}$`) // [yang]
	plainWord   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

// maxName is the longest name of a session in bytes [yang].
const maxName = 32

// PortKind tells a port from a LAG by its name.
func (Dialect) PortKind(name string) models.SourceKind {
	if strings.HasPrefix(name, "PortChannel") {
		return models.SourceLAG
	}
	return models.SourcePort
}

func isPort(name string) bool { return portName.MatchString(name) || lagName.MatchString(name) }
