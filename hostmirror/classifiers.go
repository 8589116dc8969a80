package hostmirror

import (
	"fmt"
	"strings"
)

// classifiers is what is known of the kernel's classifiers.
type classifiers struct {
	usable []string // best first
	why    []string // why others are not
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
