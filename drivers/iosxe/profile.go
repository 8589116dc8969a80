package iosxe

import (
	"regexp"

	"github.com/spanctl/spanctl/drivers/transport"
)

// Prompts are NAME> and NAME#, and NAME(config...)# in configuration, where IOS
// cuts the name of the host to 20 characters and the mode is at most 32 long
// [un, sg, gl]. "config" is not always the beginning of the mode:
// (config-mon-erspan-src)#, (config-ext-nacl)#, (ca-trustpoint)#.
var cliProfile = transport.Profile{
	Name:   "Cisco IOS-XE",
	Prompt: regexp.MustCompile(`^(?P<host>[\w.@/:+-]{1,63}?)(\([\w.@/:+ -]{1,64}\))?[>#] ?$`),
	Exec:   regexp.MustCompile(`^[\w.@/:+-]{1,63}# ?$`),
	Open:   []string{"terminal length 0", "terminal width 511"},
	Home:   "end",
	Privilege: &transport.Privilege{
		Unprivileged: regexp.MustCompile(`^[\w.@/:+-]{1,63}> ?$`),
		Command:      "enable",
		Question:     regexp.MustCompile(`^Password: ?$`),
	},
	Refused: []*regexp.Regexp{
		regexp.MustCompile(`^% ?[A-Z]`), // % Invalid input detected at '^' marker., %Please turn config archive on
		regexp.MustCompile(`^Command authorization failed`),
	},
	Busy: []*regexp.Regexp{
		// "configuration mode exclusive" of another user.
		regexp.MustCompile(`^%? ?(The )?[Cc]onfiguration mode .*(locked|is in use)`), // unverified
	},
	// Logging to the terminal, with or without a sequence number and a time:
	// *Mar  1 00:05:40.771: %SYS-5-CONFIG_I: Configured from console by admin on vty0
	// 000123: Jun 17 12:47:37.123 UTC: %LINK-3-UPDOWN: ...
	Async: regexp.MustCompile(`^(\d{1,10}: )?([*.]?[A-Z][a-z]{2} [ \d]\d (\d{4} )?\d\d:\d\d:\d\d(\.\d{1,6})?( [A-Z]{1,5})?: |(\d+[wdhms])+: |\d\d:\d\d:\d\d: )?%[A-Z][A-Z0-9_]*(-[A-Z0-9_]+)*-\d-[A-Z0-9_]+: `),
	Pager: regexp.MustCompile(`^ ?--More-- ?$`),
	Questions: []transport.Question{
		{Pattern: regexp.MustCompile(`\[(y/n|yes/no|yes|no|Y/N)\] ?[:?]? ?$`), Refuse: "no"},
		{Pattern: regexp.MustCompile(`\[confirm\] ?$`)}, // any key but n and ^C means yes
	},
	Hot: "?",
	// An empty line is what IOS ignores in every mode; a line of blanks is, too.
	Marker:  "   ",
	Columns: 511,
}

// Profile tells how the command line of IOS-XE is driven.
func (Dialect) Profile() *transport.Profile {
	p := cliProfile
	return &p
}
