package hostmirror

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// classifiers is what is known of the kernel's classifiers.
type classifiers struct {
	usable []string // best first
	why    []string // why others are not
	// noSample is why the action gact is not there, "" where it is or is not known.
	noSample string
}

// kernel is what filters can be made of, with kind for those that take every frame.
func (c classifiers) kernel(kind string) kernel {
	k := kernel{kind: kind, noSample: c.noSample}
	if len(c.usable) == 0 {
		k.noKind = cmp.Or(c.reasons(), "none may be used")
	}
	if !slices.Contains(c.usable, tcnl.BPF) {
		k.noRules = cmp.Or(c.reasons(), "it may not be used")
	}
	return k
}

func (c classifiers) best() (string, bool) {
	if len(c.usable) == 0 {
		return "", false
	}
	return c.usable[0], true
}

func (c classifiers) reasons() string { return strings.Join(c.why, "; ") }

// drop takes a classifier off the list that the kernel has turned out to lack.
func (c *classifiers) drop(kind string, err error) {
	var left []string
	for _, k := range c.usable {
		if k != kind {
			left = append(left, k)
		}
	}
	c.usable = left
	c.why = append(c.why, fmt.Sprintf("%s: %v", kind, err))
}
