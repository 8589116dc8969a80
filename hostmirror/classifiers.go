package hostmirror

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// classifiers is what is known of the kernel's classifiers.
type classifiers struct {
	usable []string // best first
	why    []string // why others are not
	// noSample is why the action gact is not there, "" where it is or is not known.
	noSample string
	// asked is set when the kernel was asked. Else usable is what is hoped for.
	asked bool
	// noLinks are the types of links that the kernel has turned out to lack, and its words.
	noLinks map[string]string
}

// lackingLink begins what is lacking of links, before their type.
const lackingLink = "link "

// Lacking remembers what a kernel has turned out to lack. Its zero value is ready for
// use, from several goroutines.
type Lacking struct {
	mu   sync.Mutex
	errs map[string]error // by classifier; "gact" is the action, "link erspan" a type of links
}

// Len is the number of things that are known to be lacking.
func (l *Lacking) Len() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.errs)
}

func (l *Lacking) add(what string, err error) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.errs == nil {
		l.errs = make(map[string]error)
	}
	l.errs[what] = err
}

// tell takes what is lacking off the list of what is hoped for.
func (l *Lacking) tell(c *classifiers) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(l.errs)) {
		word, link := strings.CutPrefix(what, lackingLink)
		switch {
		case link: // which are not asked for: the answer could load a module
			c.lackLink(word, l.errs[what])
		case c.asked:
		case what == "gact":
			c.noSample = l.errs[what].Error()
		default:
			c.drop(what, l.errs[what])
		}
	}
}

// kernel is what filters can be made of, with kind for those that take every frame.
func (c classifiers) kernel(kind string) kernel {
	k := kernel{kind: kind, noSample: c.noSample, noLinks: c.noLinks}
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

// lackLink takes a type of links off what the kernel has.
func (c *classifiers) lackLink(word string, err error) {
	if c.noLinks == nil {
		c.noLinks = make(map[string]string)
	}
	c.noLinks[word] = "this kernel lacks it: " + err.Error()
}
