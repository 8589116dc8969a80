package sonic

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers/transport"
)

// The login is a bash with the prompt USER@HOST:DIRECTORY$ (root: #). What a program
// prints goes through no pager of the shell; the variables are for those that would
// page or cut lines of their own accord.
var shellProfile = transport.Profile{
	Name:   "SONiC",
	Prompt: regexp.MustCompile(`^(?P<host>[\w.-]{1,64}@[\w.-]{1,64}):\S*[$#] ?$`),
	Open:   []string{"export PAGER=cat SYSTEMD_PAGER=cat LC_ALL=C.UTF-8"},
	Refused: []*regexp.Regexp{
		regexp.MustCompile(`^-?(ba)?sh: `),
		regexp.MustCompile(`^Usage: `), // click, before its "Error: ..."
		regexp.MustCompile(`^Error: `),
		regexp.MustCompile(`^Traceback \(most recent call last\)`),
		regexp.MustCompile(`^Root privileges are required`),
		regexp.MustCompile(`[Pp]ermission denied`),
	},
	Questions: []transport.Question{
		{Pattern: regexp.MustCompile(`\[y/N\]: ?$`), Refuse: "n"},
		{Pattern: regexp.MustCompile(`^\[sudo\] password for \S+: ?$`)},
	},
	Marker: "   ", // bash ignores a line of spaces
}

// Profile tells how the shell is driven.
func (Dialect) Profile() *transport.Profile {
	p := shellProfile
	return &p
}
