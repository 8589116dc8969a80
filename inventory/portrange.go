package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	maxPorts  = 4096    // that one pattern may expand to
	maxNumber = 1 << 30 // in a name
)

// expandPorts gives the names that a pattern stands for, in order and without
// repetition; the grammar is that of Inventory.Ports. A "-" between two numbers is a
// range unless single reports that the item as a whole is one port; nil = none is.
func expandPorts(pattern string, single func(string) bool) ([]string, error) {
	items, err := splitItems(pattern)
	if err != nil {
		return nil, err
	}
	e := expansion{pattern: pattern, seen: map[string]bool{}, single: single}
	for _, it := range items {
		if err := e.item(it); err != nil {
			return nil, err
		}
	}
	return e.names, nil
}

type expansion struct {
	pattern string
	single  func(string) bool
	names   []string
	seen    map[string]bool
	last    string // name before the current item, "" at the beginning
	tried   int    // names made, repeated ones too
}

func (e *expansion) add(name string) error {
	if e.tried++; e.tried > 4*maxPorts { // "{1,1,...}{1,1,...}" makes few names with much work
		return fmt.Errorf("%q: stands for more than %d ports", e.pattern, maxPorts)
	}
	if !e.seen[name] {
		if len(e.names) == maxPorts {
			return fmt.Errorf("%q: stands for more than %d ports", e.pattern, maxPorts)
		}
		e.seen[name] = true
		e.names = append(e.names, name)
	}
	e.last = name
	return nil
}

// splitItems splits at commas outside of braces.
func splitItems(pattern string) ([]string, error) {
	var items []string
	var closing rune
	start := 0
	for i, r := range pattern {
		switch {
		case closing != 0 && r == closing:
			closing = 0
		case closing != 0 && strings.ContainsRune("{}[]", r):
			return nil, fmt.Errorf("%q: braces within braces", pattern)
		case closing != 0:
		case r == '{':
			closing = '}'
		case r == '[':
			closing = ']'
		case r == '}' || r == ']':
			return nil, fmt.Errorf("%q: %q closes nothing", pattern, r)
		case r == ',':
			items = append(items, strings.TrimSpace(pattern[start:i]))
			start = i + 1
		}
	}
	if closing != 0 {
		return nil, fmt.Errorf("%q: %q is missing", pattern, closing)
	}
	items = append(items, strings.TrimSpace(pattern[start:]))
	for _, it := range items {
		if it == "" {
			if len(items) == 1 {
				return nil, fmt.Errorf("the interface name is empty")
			}
			return nil, fmt.Errorf("%q: an item between commas is empty", pattern)
		}
	}
	return items, nil
}

var bareItem = regexp.MustCompile(`^\d[\d/ -]*$`)

func (e *expansion) item(it string) error {
	if strings.ContainsAny(it, "{[") {
		return e.braces("", it)
	}
	if e.single != nil && e.single(it) {
		return e.add(it)
	}
	if e.last != "" && bareItem.MatchString(it) {
		full, ok := inherit(e.last, it)
		if !ok {
			return fmt.Errorf("%q: %q has more numbers than %q before it", e.pattern, it, e.last)
		}
		it = full
	}
	if first, last, ok := strings.Cut(it, " to "); ok {
		head, from, to, ok := span(strings.TrimSpace(first), strings.TrimSpace(last))
		if !ok {
			return fmt.Errorf("%q: %q and %q differ in more than their last number", e.pattern, strings.TrimSpace(first), strings.TrimSpace(last))
		}
		return e.run(head, from, to)
	}
	for i := len(it) - 1; i > 0; i-- {
		if it[i] != '-' {
			continue
		}
		if head, from, to, ok := span(strings.TrimSpace(it[:i]), strings.TrimSpace(it[i+1:])); ok {
			return e.run(head, from, to)
		}
	}
	return e.add(it)
}

// inherit puts the numbers of a bare item in place of the last ones of prev:
// "Ethernet1/4" and "7" give "Ethernet1/7".
func inherit(prev, bare string) (string, bool) {
	first := bare
	if i := strings.IndexAny(bare, "- "); i >= 0 {
		first = bare[:i]
	}
	i := len(prev)
	for n := strings.Count(first, "/") + 1; n > 0; n-- {
		j := i
		for j > 0 && prev[j-1] >= '0' && prev[j-1] <= '9' {
			j--
		}
		if j == i {
			return "", false
		}
		i = j
		if n > 1 {
			if i == 0 || prev[i-1] != '/' {
				return "", false
			}
			i--
		}
	}
	return prev[:i] + bare, true
}

// span splits "Ethernet1/1" and one of "4", "1/4", "Ethernet1/4" into what they
// have in common and the two last numbers.
func span(first, last string) (head, from, to string, ok bool) {
	const digits = "0123456789"
	head = strings.TrimRight(first, digits)
	lastHead := strings.TrimRight(last, digits)
	from, to = first[len(head):], last[len(lastHead):]
	if from == "" || to == "" {
		return "", "", "", false
	}
	if lastHead == "" || strings.EqualFold(lastHead, head) {
		return head, from, to, true
	}
	// "1/4" behind "Ethernet1/1": numbers only, and whole numbers of the first.
	if strings.Trim(lastHead, digits+"/") != "" || !strings.HasSuffix(head, lastHead) {
		return "", "", "", false
	}
	before := strings.TrimSuffix(head, lastHead)
	return head, from, to, before == "" || !strings.ContainsAny(before[len(before)-1:], digits)
}

func (e *expansion) run(head, from, to string) error {
	a, b, err := e.bounds(from, to)
	if err != nil {
		return err
	}
	for n := a; n <= b; n++ {
		if err := e.add(head + strconv.Itoa(n)); err != nil {
			return err
		}
	}
	return nil
}

// bounds reads the two ends of a range, and refuses one that is too long before
// anything is made of it.
func (e *expansion) bounds(from, to string) (a, b int, err error) {
	for _, s := range []string{from, to} {
		if len(s) > 1 && s[0] == '0' {
			return 0, 0, fmt.Errorf("%q: write %s without leading zeros", e.pattern, s)
		}
	}
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	switch {
	case errA != nil || errB != nil:
		return 0, 0, fmt.Errorf("%q: want a range of numbers, got %s to %s", e.pattern, from, to)
	case b < a:
		return 0, 0, fmt.Errorf("%q: the range %d-%d ends before it begins", e.pattern, a, b)
	case b-a >= maxPorts || b > maxNumber:
		return 0, 0, fmt.Errorf("%q: stands for more than %d ports", e.pattern, maxPorts)
	}
	return a, b, nil
}

// braces expands the first set of rest and goes on behind it.
func (e *expansion) braces(done, rest string) error {
	i := strings.IndexAny(rest, "{[")
	if i < 0 {
		return e.add(done + rest)
	}
	j := i + strings.IndexAny(rest[i:], "}]")
	numbers, err := e.set(rest[i+1 : j])
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if err := e.braces(done+rest[:i]+strconv.Itoa(n), rest[j+1:]); err != nil {
			return err
		}
	}
	return nil
}

func (e *expansion) set(text string) ([]int, error) {
	var out []int
	for _, s := range strings.Split(text, ",") {
		s = strings.TrimSpace(s)
		from, to, step := s, s, 1
		if parts := strings.Split(s, ".."); len(parts) > 1 {
			from, to = parts[0], parts[1]
			if len(parts) > 3 {
				return nil, fmt.Errorf("%q: want FIRST..LAST or FIRST..LAST..STEP, got %q", e.pattern, s)
			}
			if len(parts) == 3 {
				var err error
				if step, err = strconv.Atoi(parts[2]); err != nil || step < 1 || step > maxNumber {
					return nil, fmt.Errorf("%q: want a step from 1 to %d, got %q", e.pattern, maxNumber, parts[2])
				}
			}
		} else if a, b, ok := strings.Cut(s, "-"); ok {
			from, to = strings.TrimSpace(a), strings.TrimSpace(b)
		}
		a, b, err := e.bounds(from, to)
		if err != nil {
			return nil, err
		}
		for n := a; n <= b && len(out) <= maxPorts; n += step {
			out = append(out, n)
		}
	}
	if len(out) > maxPorts {
		return nil, fmt.Errorf("%q: stands for more than %d ports", e.pattern, maxPorts)
	}
	return out, nil
}
