package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// showPlan writes a plan for people: per intent and wave, what changes in words and
// as the lines that are sent, byte for byte.
func showPlan(w io.Writer, p *engine.Plan) {
	showFindings(w, p.Findings)
	for _, n := range p.Notes {
		fmt.Fprintf(w, "note: intent %s, %s: %s\n", n.Intent, n.Device, n.Text)
	}
	for _, b := range p.Blocked {
		fmt.Fprintf(w, "left alone: intent %s: %s\n", b.Intent, withDevice(b.Device, b.Reason))
	}
	for _, g := range p.Groups {
		fmt.Fprintf(w, "intent %s\n", g.Intent)
		for i, wave := range g.Waves {
			for _, cp := range wave {
				showChange(w, i, len(g.Waves), cp)
			}
		}
	}
	for _, id := range p.Gone {
		fmt.Fprintf(w, "session %s on %s is already gone; its record will be dropped\n", id.Name, id.Device)
	}
	if emulated := wayBack(p); len(emulated) > 0 && !p.Empty() {
		fmt.Fprintf(w, "note: no way back of their own: %s; spanctl undoes a failed change there, but cannot if it dies itself (then: spanctl recover)\n",
			strings.Join(emulated, ", "))
	}
	if p.Empty() && p.Failed() {
		fmt.Fprintln(w, "plan: refused; nothing would be sent")
		return
	}
	fmt.Fprintln(w, "plan: "+p.Summary())
}

// withDevice puts a device before a text that does not name it yet.
func withDevice(dev models.DeviceID, text string) string {
	if dev == "" || strings.HasPrefix(text, string(dev)+":") {
		return text
	}
	return fmt.Sprintf("%s: %s", dev, text)
}

// wayBack gives the changed devices that do not go back by themselves.
func wayBack(p *engine.Plan) []string {
	support := make(map[models.DeviceID]models.Support)
	for _, d := range p.Devices {
		support[d.Device] = d.WayBack
	}
	var out []string
	seen := make(map[models.DeviceID]bool)
	for _, g := range p.Groups {
		for _, wave := range g.Waves {
			for _, cp := range wave {
				if support[cp.Device] != models.Yes && !seen[cp.Device] {
					seen[cp.Device] = true
					out = append(out, string(cp.Device))
				}
			}
		}
	}
	return out
}

func showChange(w io.Writer, wave, waves int, cp drivers.Checkpoint) {
	head := "  " + string(cp.Device)
	if waves > 1 {
		head += fmt.Sprintf(" (wave %d of %d)", wave+1, waves)
	}
	fmt.Fprintln(w, head)
	for _, c := range cp.Changes.Changes {
		fmt.Fprintln(w, "    "+changeText(c))
	}
	for _, s := range cp.Script.Steps {
		// A command of several lines stays one block.
		fmt.Fprintln(w, "      "+strings.ReplaceAll(stepText(s), "\n", "\n      "))
	}
	if len(cp.Script.Save) > 0 {
		fmt.Fprintln(w, "    and, when it is confirmed, to be kept over a reboot")
	}
	for _, s := range cp.Script.Save {
		fmt.Fprintln(w, "      "+stepText(s))
	}
}

// changeText says a change in one line, with its sign in front.
func changeText(c models.Change) string {
	switch c.Op {
	case models.Create:
		return fmt.Sprintf("+ %s: %s", name(*c.After), describe(*c.After))
	case models.Delete:
		return fmt.Sprintf("- %s: %s", name(*c.Before), describe(*c.Before))
	default:
		return fmt.Sprintf("~ %s: %s", name(*c.After), strings.Join(plan.Differences(*c.After, *c.Before), "; "))
	}
}

func stepText(s transport.Step) string { return s.Redacted() }

func name(s models.Session) string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("session %d", s.Number)
}

// describe says a session in one line.
func describe(s models.Session) string {
	var sources []string
	for _, src := range s.Sources {
		sources = append(sources, plan.SourceText(src))
	}
	text := strings.Join(sources, ", ")
	if text == "" {
		text = "no source"
	}
	if d := plan.DestinationText(s.Destination); d != "" {
		text += " -> " + d
	} else {
		text += " -> no destination"
	}
	if f := plan.FilterText(s.Filter); f != "" {
		text += " [" + f + "]"
	}
	if s.TruncateTo > 0 {
		text += fmt.Sprintf(" truncated to %d bytes", s.TruncateTo)
	}
	if s.SampleOneIn > 1 {
		text += fmt.Sprintf(" one in %d", s.SampleOneIn)
	}
	if s.Shutdown {
		text += " (shut down)"
	}
	return text
}

func showFindings(w io.Writer, found models.Findings) {
	for _, f := range found {
		kind := "error"
		if f.Warning {
			kind = "warning"
		}
		fmt.Fprintf(w, "%s: %s [%s]\n", kind, f, f.Rule)
	}
}

// showSaved writes how saving went, where the device was to save.
func showSaved(w io.Writer, d engine.DeviceResult) {
	switch {
	case d.SaveErr != "":
		fmt.Fprintf(w, "  %s: applied, but not saved: a reboot brings back what was saved before: %s\n", d.Device, strings.TrimPrefix(d.SaveErr, string(d.Device)+": "))
	case d.Saved:
		fmt.Fprintf(w, "  %s: saved\n", d.Device)
	}
}

// showResult writes how a run ended.
func showResult(w io.Writer, r *engine.Result) {
	for _, g := range r.Groups {
		line := fmt.Sprintf("intent %s: %s", g.Intent, g.Outcome)
		if g.Err != "" {
			line += ": " + g.Err
		}
		fmt.Fprintln(w, line)
		for _, d := range g.Devices {
			if d.Outcome == engine.Applied || d.Outcome == engine.Held {
				for _, st := range d.Sessions {
					if st.State == models.OperDown {
						fmt.Fprintf(w, "  %s: configured, but the device says it is down: %s\n", d.Device, st.Reason)
					}
				}
				showSaved(w, d)
				continue
			}
			text := fmt.Sprintf("  %s: %s", d.Device, d.Outcome)
			if d.Err != "" && !strings.Contains(g.Err, d.Err) { // each cause is said once
				text += ": " + strings.TrimPrefix(d.Err, string(d.Device)+": ")
			}
			fmt.Fprintln(w, text)
		}
	}
	if !r.Held.IsZero() {
		fmt.Fprintf(w, "run %s: the devices go back at %s unless you run: spanctl confirm %s\n", r.Run, r.Held.Local().Format(time.TimeOnly), r.Run)
		if left := wayBack(r.Plan); len(left) > 0 {
			fmt.Fprintf(w, "  but not %s: spanctl recover takes those back then\n", strings.Join(left, ", "))
		}
	}
	switch r.Outcome {
	case engine.Held:
	case engine.InDoubt:
		fmt.Fprintf(w, "run %s: not all devices are settled; run: spanctl recover\n", r.Run)
	case engine.Unchanged:
		fmt.Fprintln(w, "nothing to do")
	case engine.Declined:
		fmt.Fprintln(w, "nothing was sent")
	default:
		if r.Run != "" {
			fmt.Fprintf(w, "run %s: %s\n", r.Run, r.Outcome)
		}
	}
}
