package eos

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Prompts are NAME> and NAME#, with (vrf:X) or a supervisor's (s1) in between, and
// with (config...) in configuration: (config-s-NAME)# in a configuration session,
// whose name is cut to six characters [un, oxi].
var cliProfile = transport.Profile{
	Name:   "Arista EOS",
	Prompt: regexp.MustCompile(`^(?P<host>[\w.-]{1,64})(\([^()]{1,100}\)){0,3}[>#] ?$`),
	Exec:   regexp.MustCompile(`^[\w.-]{1,64}(\((vrf:[^()]+|s[12])\))*# ?$`),
	Open:   []string{"terminal length 0", "terminal width 32767"},
	Home:   "end",
	Privilege: &transport.Privilege{
		Unprivileged: regexp.MustCompile(`^[\w.-]{1,64}(\([^()]{1,100}\)){0,3}> ?$`),
		Command:      "enable",
		Question:     regexp.MustCompile(`^Password: ?$`),
	},
	Refused: []*regexp.Regexp{regexp.MustCompile(`^% `)},
	Busy: []*regexp.Regexp{
		regexp.MustCompile(`^% Maximum number of pending sessions`),
		regexp.MustCompile(`^% .*(locked by|pending commit timer)`), // unverified
	},
	Async: regexp.MustCompile(`^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(\.\d+)? \S+ [\w-]+: %[A-Z0-9_]+-\d-[A-Z0-9_]+:`),
	Pager: regexp.MustCompile(`^ ?--More-- ?$`),
	Questions: []transport.Question{
		{Pattern: regexp.MustCompile(`\[(y/n|yes/no|confirm)\] ?:? ?$`), Refuse: "n"},
	},
	Marker: "   ", // EOS ignores a line of spaces
	Hot:    "?",
	// EOS keeps what is typed before its first prompt in the terminal's buffer
	// (unverified); without it an apply costs a round trip more.
	EarlyInput: true,
	Columns:    32767,
}

// Profile tells how the command line of EOS is driven.
func (Dialect) Profile() *transport.Profile {
	p := cliProfile
	return &p
}
