package iosxe

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/drivers/peers/sshd"
)

// enterText greets in configuration mode.
const enterText = "Enter configuration commands, one per line.  End with CNTL/Z.\n"

var (
	userGrammar    = newUserGrammar()
	enabledGrammar = newEnabledGrammar()
)

func (g *grammar) exec(pattern string, run execFunc) { g.add(pattern, run) }

// newUserGrammar has what every user may do.
func newUserGrammar() *grammar {
	g := &grammar{}
	g.exec("enable", enable)
	for _, word := range []string{"exit", "logout", "quit"} {
		g.exec(word, func(x *cli, _ args) answer { x.quit = true; return done })
	}
	g.exec("terminal length n=<0-512>", func(x *cli, a args) answer { x.length = a.num("n"); return done })
	g.exec("terminal width n=<0-512>", func(x *cli, a args) answer { x.width = a.num("n"); return done })
	g.exec("terminal [no] monitor", func(*cli, args) answer { return done })
	g.exec("terminal exec prompt timestamp", func(x *cli, _ args) answer { x.stamp = true; return done })
	g.exec("terminal no exec prompt timestamp", func(x *cli, _ args) answer { x.stamp = false; return done })
	showLines(g)
	return g
}

// newEnabledGrammar has what needs privilege 15.
func newEnabledGrammar() *grammar {
	g := &grammar{}
	g.exec("disable", func(x *cli, _ args) answer { x.priv = 1; return done })
	g.exec("configure", func(x *cli, _ args) answer {
		got, err := x.question("Configuring from terminal, memory, or network [terminal]? ")
		if err != nil {
			return done
		}
		if got != "" && !strings.HasPrefix("terminal", strings.ToLower(got)) {
			return answer{text: "?Must be \"terminal\", \"memory\" or \"network\"\n", refused: true}
		}
		return enterConfig(x, args{})
	})
	g.exec("configure terminal", enterConfig)
	g.exec("configure terminal revert timer n=<1-120>", func(x *cli, a args) answer { return x.enterTimed(a.num("n")) })
	g.exec("configure confirm", confirm)
	g.exec("configure revert now", revertNow)
	g.exec("configure revert timer n=<1-120>", resetTimer)
	g.exec("write [memory]", func(x *cli, _ args) answer { x.d.save(x.user); return say("Building configuration...\n[OK]\n") })
	g.exec("copy running-config startup-config", func(x *cli, _ args) answer {
		got, err := x.question("Destination filename [startup-config]? ")
		if err != nil {
			return done
		}
		if got != "" && got != "startup-config" {
			return answer{text: "%Error opening nvram:" + got + " (Permission denied)\n", refused: true} // unverified
		}
		x.d.save(x.user)
		return say("Building configuration...\n[OK]\n")
	})
	g.exec("show running-config [all]", func(x *cli, _ args) answer { return say(x.d.shownConfig()) })
	g.exec("show running-config interface name=PORT", showPortConfig)
	g.exec("show startup-config", func(x *cli, _ args) answer {
		if x.d.startup == "" {
			return say("startup-config is not present\n")
		}
		return say(fmt.Sprintf("Using %d out of 2097152 bytes\n%s\n", len(x.d.startup), x.d.startup))
	})
	g.exec("show archive", showArchive)
	g.exec("show archive config rollback timer", showTimer)
	return g
}

func enterConfig(x *cli, _ args) answer {
	x.modes = []mode{{kind: modeGlobal}}
	return say(enterText)
}

// question asks, or takes the default where nobody can answer.
func (x *cli) question(text string) (string, error) {
	if x.ask == nil {
		return "", nil
	}
	got, err := x.ask(text, false)
	if err != nil && !errors.Is(err, sshd.ErrInterrupt) {
		x.quit = true
	}
	return strings.TrimSpace(got), err
}

// enable asks for the secret if there is one, three times.
func enable(x *cli, _ args) answer {
	secret := x.d.opts.EnableSecret
	if x.priv >= 15 || secret == "" {
		x.priv = 15
		return done
	}
	if x.ask == nil {
		return answer{text: "% No password set\n", refused: true}
	}
	for range 3 {
		got, err := x.ask("Password: ", true)
		if err != nil {
			x.quit = !errors.Is(err, sshd.ErrInterrupt)
			return done
		}
		if sshd.EqualSecret(got, secret) {
			x.priv = 15
			return done
		}
	}
	return answer{text: "% Bad secrets\n\n", refused: true}
}

func (d *Device) save(by string) {
	d.saved = stamp{d.clock.Now(), by}
	d.startup = d.configText()
}

func showPortConfig(x *cli, a args) answer {
	name := a.ports["name"][0]
	lines := slices.Concat([]string{"!", "interface " + name}, x.d.running.ports[name].lines(name, x.d.opts.Router), []string{"end", ""})
	text := strings.Join(lines, "\n")
	return say(fmt.Sprintf("Building configuration...\n\nCurrent configuration : %d bytes\n%s\n", len(text), text))
}

// showArchive: texts of public captures.
func showArchive(x *cli, _ args) answer {
	a := x.d.running.archive
	if a.path == "" {
		return say("Archive feature not enabled\n\n")
	}
	most := a.maximum
	if most == 0 {
		most = 10
	}
	return say(fmt.Sprintf("The maximum archive configurations allowed is %d.\nThere are currently %d archive configurations saved.\n"+
		"The next archive file will be named %s-<timestamp>-%d\n", most, min(x.d.backups, most), a.path, x.d.backups))
}
