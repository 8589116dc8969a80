package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// TestMain lets scripts and tests run spanctl as a process of its own: this test
// binary under the name spanctl.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"spanctl": func() {
		dieAtWrite()
		os.Exit(Main())
	}})
}

// TestScripts runs each script in a folder of its own with a lab of its own, whose
// inventory is inventory.yaml there.
//
// Commands beside those of testscript, all of which look at the switches
// themselves, never by way of spanctl:
//
//	exits N COMMAND...      runs a command that must end with status N
//	valid json|yaml KEY...  fails unless the last standard output is one such value with these
//	                        keys and no others; of a list, its elements
//	run-id                  sets RUN to the first run in the last standard output
//	sent PLAN NODE WIRE     fails unless the lines that the file PLAN shows for a switch are in WIRE,
//	                        one after the other with nothing between
//	sleep TIME              waits
//	half FROM TO            copies the first half of a file
//	config NODE             prints a switch's running configuration
//	same                    fails unless all switches are as at the beginning, byte for byte
//	strangers               fails unless the sessions of others are as at the beginning
//	mark                    makes what the switches hold now the beginning
//	fault NODE JSON         sets the faults of a switch
//	type NODE LINE...       configures a switch by hand
//	wire NODE               prints what a switch received since the last wire
//	quiet                   fails if a switch received anything since the last wire or quiet
func TestScripts(t *testing.T) {
	topology, err := filepath.Abs(filepath.Join("testdata", "lab", "pair.clab.yml"))
	if err != nil {
		t.Fatal(err)
	}
	of := func(ts *testscript.TestScript) *testLab { return ts.Value(labKey{}).(*testLab) }
	node := func(ts *testscript.TestScript, args []string, n int, usage string) string {
		if len(args) < n || of(ts).switches[args[0]] == nil {
			ts.Fatalf("usage: %s, of %v", usage, of(ts).order)
		}
		return args[0]
	}
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		RequireUniqueNames: true,
		ContinueOnError:    true, // all that fails in a script, at once
		Setup: func(e *testscript.Env) error {
			l, err := startLab(topology, e.WorkDir)
			if err != nil {
				return err
			}
			e.Defer(l.close)
			e.Values[labKey{}] = l
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "settings"))
			e.Setenv("SPANCTL_STORE", filepath.Join(e.WorkDir, "store.db"))
			e.Setenv("CONTROL", l.lab.ControlAddress().String())
			for _, name := range l.order {
				addr, _ := l.lab.Address(name)
				e.Setenv(strings.ToUpper(name), addr.String())
				_, port, _ := strings.Cut(addr.String(), ":")
				e.Setenv(strings.ToUpper(name)+"_PORT", port)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 2 {
					ts.Fatalf("usage: exits N COMMAND...")
				}
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					got = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if args[0] != strconv.Itoa(got) {
					ts.Fatalf("status %d, want %s", got, args[0])
				}
			},
			"valid": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 1 {
					ts.Fatalf("usage: valid json|yaml KEY...")
				}
				got, err := keysOf(args[0], ts.ReadFile("stdout"))
				ts.Check(err)
				want := slices.Sorted(slices.Values(args[1:]))
				if d := cmp.Diff(want, got); d != "" {
					ts.Fatalf("keys (-want +got):\n%s", d)
				}
			},
			"run-id": func(ts *testscript.TestScript, _ bool, _ []string) {
				id := regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{8}`).FindString(ts.ReadFile("stdout"))
				if id == "" {
					ts.Fatalf("no run id in standard output")
				}
				ts.Setenv("RUN", id)
			},
			"sent": func(ts *testscript.TestScript, _ bool, args []string) {
				if len(args) != 3 {
					ts.Fatalf("usage: sent PLAN NODE WIRE")
				}
				lines := shownLines(ts.ReadFile(args[0]), args[1])
				if len(lines) < 3 {
					ts.Fatalf("%s shows only %q for %s", args[0], lines, args[1])
				}
				if text := strings.Join(lines, "\n") + "\n"; !strings.Contains("\n"+ts.ReadFile(args[2]), "\n"+text) {
					ts.Fatalf("what was shown was not sent:\n%s", text)
				}
			},
			"sleep": func(ts *testscript.TestScript, _ bool, args []string) {
				d, err := time.ParseDuration(strings.Join(args, " "))
				ts.Check(err)
				time.Sleep(d)
			},
			"half": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(args[0])
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text[:len(text)/2]), 0o600))
			},
			"config": func(ts *testscript.TestScript, _ bool, args []string) {
				_, err := io.WriteString(ts.Stdout(), of(ts).switches[node(ts, args, 1, "config NODE")].RunningConfig())
				ts.Check(err)
			},
			"startup": func(ts *testscript.TestScript, _ bool, args []string) {
				_, err := io.WriteString(ts.Stdout(), of(ts).switches[node(ts, args, 1, "startup NODE")].StartupConfig())
				ts.Check(err)
			},
			"same": func(ts *testscript.TestScript, neg bool, _ []string) {
				d := of(ts).unchanged()
				if neg && d == "" {
					ts.Fatalf("nothing has changed on any switch")
				}
				if !neg && d != "" {
					ts.Fatalf("switches are not as before (-before +after):\n%s", d)
				}
			},
			"strangers": func(ts *testscript.TestScript, _ bool, _ []string) {
				if d := of(ts).strangers(); d != "" {
					ts.Fatalf("%s", d)
				}
			},
			"mark": func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).before = of(ts).configs() },
			"fault": func(ts *testscript.TestScript, _ bool, args []string) {
				d := of(ts).switches[node(ts, args, 2, "fault NODE JSON")]
				ts.Check(labFront{d}.SetFaults(json.RawMessage(args[1])))
			},
			"type": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(of(ts).switches[node(ts, args, 2, "type NODE LINE...")].Configure(args[1:]...))
			},
			"wire": func(ts *testscript.TestScript, _ bool, args []string) {
				d := of(ts).switches[node(ts, args, 1, "wire NODE")]
				_, err := fmt.Fprintln(ts.Stdout(), strings.Join(d.Wire(), "\n"))
				ts.Check(err)
				d.ResetWire()
			},
			"quiet": func(ts *testscript.TestScript, _ bool, _ []string) {
				for name, d := range of(ts).switches {
					if got := cmp.Diff([]string(nil), d.Wire()); got != "" {
						ts.Fatalf("%s received (-want +got):\n%s", name, got)
					}
					d.ResetWire()
				}
			},
		},
	})
}

type labKey struct{}

// shownLines gives the lines that a plan shows for a device.
func shownLines(plan, device string) []string {
	var out []string
	mine := false
	for line := range strings.Lines(plan) {
		line = strings.TrimSuffix(line, "\n")
		switch text, deep := strings.CutPrefix(line, "      "); {
		case deep && mine:
			out = append(out, text)
		case strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   "):
			mine = strings.TrimSpace(line) == device
		}
	}
	return out
}

// keysOf gives the keys of the one object in text, or of all objects of the one
// list in it, sorted.
func keysOf(form, text string) ([]string, error) {
	var v any
	switch form {
	case "json":
		dec := json.NewDecoder(strings.NewReader(text))
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("more than one value")
		}
	case "yaml":
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no form %q", form)
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	keys := make(map[string]bool)
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%T where an object is wanted", e)
		}
		for k := range m {
			keys[k] = true
		}
	}
	return slices.Sorted(maps.Keys(keys)), nil
}
