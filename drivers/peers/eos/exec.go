package eos

import (
	"errors"
	"regexp"
	"strings"
)

var (
	userGrammar = newUserGrammar()
	privGrammar = newPrivGrammar()
)

func (g *grammar) exec(pattern string, run execFunc) { g.add(pattern, run) }

// newUserGrammar has what every user may do.
func newUserGrammar() *grammar {
	g := newGrammar()
	g.exec("enable", enable)
	g.exec("exit", logout)
	g.exec("logout", logout)
	g.exec("quit", logout)
	g.exec("terminal length n=<0-32767>", func(x *cli, a args) answer {
		x.length = a.num("n")
		if x.length == 0 {
			return say("Pagination disabled.\n") // netmiko waits for this text
		}
		return say("Pagination set to " + a.str("n") + " lines.\n") // unverified
	})
	g.exec("terminal width n=<10-32767>", func(x *cli, a args) answer {
		x.width = a.num("n")
		return say("Width set to " + a.str("n") + " columns.\n") // netmiko waits for this text
	})
	g.exec("terminal monitor", func(*cli, args) answer { return say("") })
	g.exec("no terminal monitor", func(*cli, args) answer { return say("") })
	showCommands(g)
	return g
}

func newPrivGrammar() *grammar {
	g := newGrammar()
	g.exec("disable", func(x *cli, _ args) answer { x.leaveAll(); x.priv = 1; return say("") })
	g.exec("configure [terminal]", func(x *cli, _ args) answer {
		if out := x.leaveAll(); out != "" {
			return say(out)
		}
		x.modes = []mode{{kind: modeConfig}}
		return say("")
	})
	g.exec("configure session [name=WORD]", func(x *cli, a args) answer { return say(x.enterSession(a.str("name"))) })
	g.exec("configure session name=WORD commit [timer t=TIME]", func(x *cli, a args) answer {
		s, out := x.d.named(a.str("name"))
		if out != "" {
			return say(out)
		}
		return say(x.commitSession(s, a))
	})
	g.exec("configure session name=WORD abort", func(x *cli, a args) answer {
		s, out := x.d.named(a.str("name"))
		if out != "" {
			return say(out)
		}
		return say(x.d.abort(s))
	})
	g.exec("no configure session name=WORD", func(x *cli, a args) answer {
		s, out := x.d.named(a.str("name"))
		if out != "" {
			return say(out)
		}
		return say(x.d.abort(s))
	})
	g.exec("write [memory]", save)
	g.exec("copy running-config startup-config", save)
	g.exec("show running-config", func(x *cli, _ args) answer { return x.showConfig("show running-config") })
	g.exec("show running-config section what=LINE", func(x *cli, a args) answer {
		// Quotes and regular expressions both reach the section filter.
		re, err := regexp.Compile("(?i)" + strings.Trim(a.str("what"), `"`))
		if err != nil {
			return say("% " + errInvalid + "\n")
		}
		return say(sections(x.d.running.render(x.d.opts.KeepSourceLines), re, false))
	})
	g.exec("show running-config interfaces names=INTFS", func(x *cli, a args) answer {
		var b strings.Builder
		for _, n := range a.list("names") {
			b.WriteString("interface " + n + "\n" + joinLines(x.d.running.intfs[n].lines()))
		}
		return say(b.String())
	})
	g.exec("show startup-config", func(x *cli, _ args) answer {
		return say(x.d.startup)
	})
	g.exec("show session-config named name=WORD [diffs]", func(x *cli, a args) answer {
		s, out := x.d.named(a.str("name"))
		if out != "" {
			return say(out)
		}
		if a.has("diffs") {
			return say(x.d.diffs(s))
		}
		return say(x.d.configText("show session-configuration named "+s.name, s.shown()))
	})
	g.exec("show configuration sessions [detail]", func(x *cli, a args) answer { return x.d.sessionsAnswer(a.has("detail"), x) })
	return g
}

func joinLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func logout(x *cli, _ args) answer { x.quit = true; return say("") }

// enable asks for the secret if there is one, three times (the count and the
// answer to a wrong one are unverified).
func enable(x *cli, _ args) answer {
	secret := x.d.opts.EnableSecret
	if x.priv == 15 || secret == "" {
		x.priv = 15
		return say("")
	}
	if x.ask == nil {
		return say("% Error: no terminal to ask for the password at\n")
	}
	for range 3 {
		got, err := x.ask("Password: ")
		if err != nil {
			x.quit = !errors.Is(err, errCancelled)
			return say("")
		}
		if got == secret {
			x.priv = 15
			return say("")
		}
	}
	return say("% Bad secret\n")
}

// save answers as EOS does after "write memory".
func save(x *cli, _ args) answer {
	x.d.startup = x.d.configText("show startup-config", x.d.running)
	return say("Copy completed successfully.\n")
}

// showConfig has the JSON form that eAPI gives configurations: lines as keys,
// with what is below them.
func (x *cli) showConfig(command string) answer {
	c := x.d.running
	cmds := map[string]any{}
	var below map[string]any
	for _, l := range strings.Split(c.render(x.d.opts.KeepSourceLines), "\n") {
		switch {
		case l == "" || l == "!":
		case strings.HasPrefix(l, " ") && below != nil:
			below[strings.TrimSpace(l)] = nil
		default:
			below = map[string]any{}
			cmds[l] = map[string]any{"comments": []string{}, "cmds": below}
		}
	}
	for l, v := range cmds {
		if len(v.(map[string]any)["cmds"].(map[string]any)) == 0 && !strings.HasPrefix(l, "interface ") {
			cmds[l] = nil
		}
	}
	text := x.d.configText(command, c)
	header := strings.Split(text, "\n")[1]
	return answer{text: text, json: map[string]any{"cmds": cmds, "comments": []string{}, "header": []string{header}}}
}

// errCancelled is ^C while a password is asked.
var errCancelled = errors.New("cancelled")
