package inventory

import (
	"iter"
	"slices"
	"strings"
)

// didYouMean gives "; did you mean ...?" with the one name that is nearest to got,
// or "" when none is near. A name is near when a third of it or less was mistyped.
func didYouMean(got string, names iter.Seq[string]) string {
	best, dist := "", len(got)/3+1
	for n := range names {
		if strings.EqualFold(n, got) && n != got {
			return "; did you mean " + quote(n) + "?"
		}
		if d := distance(got, n, dist+1); d < dist || d == dist && best != "" && n < best {
			best, dist = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + quote(best) + "?"
}

func quote(s string) string { return `"` + s + `"` }

// distance counts the letters to insert, delete, replace or swap to come from a to
// b. It gives limit as soon as it is known not to be less.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		if slices.Min(row) >= limit {
			return limit
		}
		two, one, row = one, row, two
	}
	return min(one[len(b)], limit)
}
