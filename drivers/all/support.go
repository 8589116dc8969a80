package all

import (
	"fmt"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// SupportTable gives, in Markdown, what each platform claims: a table of features
// with the evidence of each claim, and below it why something is not supported and
// what works instead.
func SupportTable(platforms []Planned) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, p := range platforms {
		b.WriteString(" " + cell(p.Name) + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(platforms)) + "\n")
	for _, f := range models.Features() {
		b.WriteString("| " + string(f) + " |")
		for _, p := range platforms {
			b.WriteString(" " + claimText(p.Planner.Capabilities().Of(f)) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\nEvidence: *lab* was seen on the real system, *server* on a real server with the vendor's schema, " +
		"*schema* follows from the vendor's schema, *manual* from the vendor's text or public code and was never run on the system by us.\n")
	for _, p := range platforms {
		reasons := reasonsOf(p.Planner.Capabilities())
		if len(reasons) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s cannot, or with a limit:\n\n", p.Name)
		for _, r := range reasons {
			fmt.Fprintf(&b, "- %s: %s\n", strings.Join(r.features, ", "), r.why)
		}
	}
	return b.String()
}

func claimText(c models.Claim) string {
	if c.Support == models.No {
		return "–"
	}
	text := string(c.Support)
	if c.Limit > 0 {
		text += fmt.Sprintf(", up to %d", c.Limit)
	}
	if c.Evidence != models.EvidenceUnknown {
		text += fmt.Sprintf(" (*%s*)", c.Evidence)
	}
	return cell(text)
}

type reason struct {
	features []string
	why      string
}

// reasonsOf gives what is said of features, those of one reason together, in the
// order of the table.
func reasonsOf(caps models.Capabilities) []reason {
	var out []reason
	at := make(map[string]int)
	for _, f := range models.Features() {
		why := caps.Of(f).Why
		if why == "" {
			continue
		}
		i, ok := at[why]
		if !ok {
			i = len(out)
			at[why] = i
			out = append(out, reason{why: why})
		}
		out[i].features = append(out[i].features, string(f))
	}
	return out
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
