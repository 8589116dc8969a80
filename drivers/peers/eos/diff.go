package eos

import (
	"fmt"
	"strings"
)

// unified compares lines and prints the differing parts with context lines
// around them, as diff -u does without its headers. It is empty for equal texts.
func unified(a, b []string, context int) string {
	type op struct {
		kind byte // ' ', '-', '+'
		text string
	}
	// Longest common subsequence over what equal ends leave: configurations differ
	// in few lines, so the table stays small.
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	am, bm := a[head:len(a)-tail], b[head:len(b)-tail]
	if len(am)+len(bm) == 0 {
		return ""
	}
	lcs := make([][]int, len(am)+1)
	for i := range lcs {
		lcs[i] = make([]int, len(bm)+1)
	}
	for i := len(am) - 1; i >= 0; i-- {
		for j := len(bm) - 1; j >= 0; j-- {
			if am[i] == bm[j] {
				lcs[i][j] = lcs[i+1][j+1] + 1
			} else {
				lcs[i][j] = max(lcs[i+1][j], lcs[i][j+1])
			}
		}
	}
	var ops []op
	for _, l := range a[:head] {
		ops = append(ops, op{' ', l})
	}
	for i, j := 0, 0; i < len(am) || j < len(bm); {
		switch {
		case i < len(am) && j < len(bm) && am[i] == bm[j]:
			ops = append(ops, op{' ', am[i]})
			i, j = i+1, j+1
		case i < len(am) && (j == len(bm) || lcs[i+1][j] >= lcs[i][j+1]):
			ops = append(ops, op{'-', am[i]})
			i++
		default:
			ops = append(ops, op{'+', bm[j]})
			j++
		}
	}
	for _, l := range a[len(a)-tail:] {
		ops = append(ops, op{' ', l})
	}

	var out strings.Builder
	aLine, bLine := 1, 1 // of ops[i]
	for i := 0; i < len(ops); {
		// Find the next change; a hunk goes on while changes are close.
		first := i
		for first < len(ops) && ops[first].kind == ' ' {
			first++
		}
		if first == len(ops) {
			break
		}
		last := first
		for k := first; k < len(ops) && k <= last+2*context+1; k++ {
			if ops[k].kind != ' ' {
				last = k
			}
		}
		from, to := max(i, first-context), min(len(ops), last+context+1)
		aLine, bLine = aLine+from-i, bLine+from-i
		var hunk strings.Builder
		an, bn := 0, 0
		for _, o := range ops[from:to] {
			if o.text == "" {
				continue // behind the last newline
			}
			hunk.WriteByte(o.kind)
			hunk.WriteString(o.text)
			if o.kind != '+' {
				an++
			}
			if o.kind != '-' {
				bn++
			}
		}
		fmt.Fprintf(&out, "@@ -%d,%d +%d,%d @@\n%s", aLine, an, bLine, bn, hunk.String())
		aLine, bLine = aLine+an, bLine+bn
		i = to
	}
	return out.String()
}
