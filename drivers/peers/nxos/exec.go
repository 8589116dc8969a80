package nxos

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkpoint is a configuration that was kept.
type checkpoint struct {
	c  *config
	at time.Time
	by string
}

// maxCheckpoints: "the maximum number of checkpoints is 10" (rollback guide).
const maxCheckpoints = 10

// enterText greets in configuration mode.
const enterText = "Enter configuration commands, one per line. End with CNTL/Z.\n"

func newExecGrammar() *grammar {
	g := &grammar{}
	for _, word := range []string{"exit", "logout"} {
		g.exec(word, func(x *cli, _ args) answer { x.quit = true; return done })
	}
	g.exec("end", func(x *cli, _ args) answer { x.modes = nil; return done })
	g.exec("configure [terminal]", func(x *cli, _ args) answer { x.modes = []mode{{kind: modeGlobal}}; return say(enterText) })
	g.exec("terminal length n=0-511", func(x *cli, a args) answer { x.length = a.num("n"); return done })
	g.exec("terminal width n=24-511", func(*cli, args) answer { return done })
	// Nothing is asked here.
	for _, line := range []string{"terminal dont-ask", "terminal no dont-ask", "no terminal dont-ask"} {
		g.exec(line, func(*cli, args) answer { return done })
	}
	g.exec("terminal monitor", func(*cli, args) answer { return done })
	g.exec("copy running-config startup-config", func(x *cli, _ args) answer {
		x.d.startup = x.d.running
		return say("\n[########################################] 100%\nCopy complete, now saving to disk (please wait)...\nCopy complete.\n")
	})
	checkpointLines(g)
	showLines(g)
	showMonitorLines(g)
	return g
}

// checkpointLines: forms of the rollback guide. What "show checkpoint" and "no
// checkpoint" print is remembered and unverified.
func checkpointLines(g *grammar) {
	g.exec("checkpoint", func(x *cli, _ args) answer {
		for n := 1; n <= maxCheckpoints; n++ {
			name := "user-checkpoint-" + strconv.Itoa(n)
			if _, have := x.d.checkpoints[name]; !have {
				if out := x.keep(name); out.refused {
					return out
				}
				return say(name + " created Successfully\n\nDone\n") // unverified
			}
		}
		return full
	})
	g.exec("checkpoint name=WORD", func(x *cli, a args) answer { return x.keep(a.text["name"]) })
	g.exec("checkpoint file name=WORD", func(x *cli, a args) answer { return x.keep("file " + a.text["name"]) })
	g.exec("no checkpoint name=WORD", func(x *cli, a args) answer {
		if _, have := x.d.checkpoints[a.text["name"]]; !have {
			return noCheckpoint
		}
		delete(x.d.checkpoints, a.text["name"])
		return done
	})
	g.exec("clear checkpoint database", func(x *cli, _ args) answer { clear(x.d.checkpoints); return say("Done\n") })
	for _, how := range []string{"", " how={atomic,best-effort,stop-at-first-failure}"} {
		g.exec("rollback running-config checkpoint name=WORD"+how, func(x *cli, a args) answer { return x.rollback(a.text["name"]) })
		g.exec("rollback running-config file name=WORD"+how, func(x *cli, a args) answer { return x.rollback("file " + a.text["name"]) })
	}
	g.exec("show checkpoint summary", func(x *cli, _ args) answer {
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(x.d.checkpoints)) {
			if k := x.d.checkpoints[name]; !strings.HasPrefix(name, "file ") {
				fmt.Fprintf(&b, "User Checkpoint Summary\n%s\n%s:\nCreated by %s\nCreated at %s\nSize is %d bytes\nDescription: None\n\n",
					strings.Repeat("-", 80), name, k.by, stamp(k.at), len(k.c.render("")))
			}
		}
		return say(b.String())
	})
	g.exec("show checkpoint name=WORD", func(x *cli, a args) answer {
		k, have := x.d.checkpoints[a.text["name"]]
		if !have {
			return noCheckpoint
		}
		return say(strings.Repeat("-", 80) + "\nName: " + a.text["name"] + "\n\n" + k.c.render(x.d.version()))
	})
}

var (
	full         = errorf("the maximum number of checkpoints is reached")
	noCheckpoint = errorf("Checkpoint does not exist")
)

// keep makes a checkpoint. "Checkpoint names must be unique. You cannot overwrite
// previously saved checkpoints with the same name" (Nexus 3548 guide, rollback); the
// words of refusals are unverified.
func (x *cli) keep(name string) answer {
	if _, have := x.d.checkpoints[name]; have {
		return errorf("Checkpoint %s already exists", name)
	}
	if len(x.d.checkpoints) >= maxCheckpoints {
		return full
	}
	x.d.checkpoints[name] = checkpoint{x.d.running, x.d.opts.Clock.Now(), x.user}
	return say(".Done\n") // public notes on a Nexus 9000 with 10.2(2)
}

// rollback prints what public notes on a Nexus 9000 with 10.2(2) have.
func (x *cli) rollback(name string) answer {
	k, have := x.d.checkpoints[name]
	if !have {
		return noCheckpoint
	}
	if err := x.d.activate(k.c); err != nil {
		return errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return say("ADVISORY: Rollback operation started...\nModifying running configuration from another VSH terminal in parallel\n" +
		"is not recommended, as this may lead to Rollback failure.\n\nCollecting Running-Config\nGenerating Rollback patch for switch profile\n" +
		"Rollback Patch is Empty\nCollecting Running-Config\nGenerating Rollback Patch\nExecuting Rollback Patch\n" +
		"Generating Running-config for verification\nGenerating Rollback Patch\n\nRollback completed successfully.\n\n")
}

// stamp is a time as the heads of configurations have it.
func stamp(t time.Time) string { return t.UTC().Format("Mon Jan _2 15:04:05 2006") }
