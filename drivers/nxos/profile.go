package nxos

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Prompts are NAME> and NAME#, and NAME(config...)# in configuration, such as
// (config-monitor)#, (config-erspan-src)#, (config-if)# [an, zs, ox]. A switch in
// maintenance mode puts (maint-mode) behind the name in every mode [an].
var cliProfile = transport.Profile{
	Name:   "Cisco NX-OS",
	Prompt: regexp.MustCompile(`^(?P<host>[\w.@/:+-]{1,63}?)(\(maint-mode\))?(\(config[\w.@/:+ -]{0,64}\))?[>#] ?$`),
	Exec:   regexp.MustCompile(`^[\w.@/:+-]{1,63}(\(maint-mode\))?# ?$`),
	Open:   []string{"terminal length 0", "terminal width 511"},
	Home:   "end",
	Refused: []*regexp.Regexp{
		regexp.MustCompile(`^% ?[A-Z]`),                          // % Invalid command at '^' marker. [ox], % Permission denied for the role
		regexp.MustCompile(`^(?i:ERROR): `),                      // ERROR: Eth1/3: Interface is a PC member (public notes)
		regexp.MustCompile(`^(Invalid|Ambiguous) .*'\^' marker`), // Invalid range at '^' marker. [an]
		regexp.MustCompile(`^(?i:syntax error)`),                 // Syntax error while parsing ... [rb]
	},
	// 2026 Nov 24 16:44:15 NAME %ETHPORT-5-IF_DOWN: ..., and with a VDC behind the name
	// on Nexus 7000 (%$ VDC-1 %$).
	Async: regexp.MustCompile(`^\d{4} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(\.\d{1,6})? \S{1,63} (%\$ VDC-\d+ %\$ )?%[A-Z][A-Z0-9_]*(-[A-Z0-9_]+)*-\d-[A-Z0-9_]+: `),
	Pager: regexp.MustCompile(`^ ?--More-- ?$`),
	Questions: []transport.Question{
		{Pattern: regexp.MustCompile(`[(\[](y/n|yes/no)[)\]] ?\??( *\[[a-z]*\])? ?[:?]? ?$`), Refuse: "n"},
	},
	Hot:     "?",
	Marker:  "   ",
	Columns: 511,
}

// Profile tells how the command line of NX-OS is driven.
func (Dialect) Profile() *transport.Profile {
	p := cliProfile
	return &p
}
