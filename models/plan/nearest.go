package plan

// Nearest gives the one of known that s most likely means, or "" when none is
// close: at most a third of its characters differ, and at most three.
func Nearest(s string, known []string) string {
	best, bestAt := "", min(3, (len(s)+2)/3)+1
	for _, k := range known {
		if d := distance(s, k, bestAt); d < bestAt {
			best, bestAt = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b, or limit when it is at least
// that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		lowest := row[0]
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost = 1 + min(diag, row[j], row[j-1])
			}
			diag, row[j] = row[j], cost
			lowest = min(lowest, cost)
		}
		if lowest >= limit {
			return limit
		}
	}
	return min(row[len(b)], limit)
}
