package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// sample are numbers of which the middle counts.
type sample []float64

// at gives the value below which part of the numbers lie, from 0 to 1; 0 of none.
func (s sample) at(part float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

func (s sample) median() float64 {
	if n := len(s); n > 0 && n%2 == 0 {
		sorted := slices.Sorted(slices.Values(s))
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return s.at(0.5)
}

// table is a result in Markdown, as the README has it.
type table struct {
	title string
	head  []string
	rows  [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// String aligns the columns. A row can end early.
func (t *table) String() string {
	wide := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i := range min(len(row), len(wide)) {
			if len(row) == len(t.head) || i == 0 {
				wide[i] = max(wide[i], len([]rune(row[i])))
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.title)
	line := func(row []string) {
		for i := range t.head {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", max(0, wide[i]-len([]rune(cell)))))
		}
		b.WriteString("|\n")
	}
	line(t.head)
	for range t.head {
		b.WriteString("|---")
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// tables are shown once all benchmarks are done: the testing package has begun a line
// for the one that runs, and cuts longer logs.
var tables []*table

func TestMain(m *testing.M) {
	status := m.Run()
	for _, t := range tables {
		fmt.Printf("\n%s", t)
	}
	os.Exit(status)
}

func percent(ratio float64) string { return fmt.Sprintf("%.1f %%", 100*ratio) }

// cell gives the words of an error on one line.
func cell(err error) string {
	return strings.NewReplacer("\n", "; ", "|", "/").Replace(strings.TrimSpace(err.Error()))
}

func TestSample(t *testing.T) {
	tests := []struct {
		name                 string
		give                 sample
		median, lower, upper float64
	}{
		{"none", nil, 0, 0, 0},
		{"one", sample{3}, 3, 3, 3},
		{"even", sample{4, 1, 3, 2}, 2.5, 2, 4},
		{"odd, one far out", sample{1, 1000, 2, 3, 4}, 3, 2, 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if m, l, u := tt.give.median(), tt.give.at(0.25), tt.give.at(0.75); m != tt.median || l != tt.lower || u != tt.upper {
				t.Errorf("median %v, quartiles %v and %v; want %v, %v, %v", m, l, u, tt.median, tt.lower, tt.upper)
			}
		})
	}
}

func TestTable(t *testing.T) {
	tab := table{title: "title", head: []string{"way", "kept"}}
	tab.add("long name", "99.0 %")
	tab.add("é", "7 %")
	tab.add("nft")
	want := `title

| way       | kept   |
|---|---|
| long name | 99.0 % |
| é         | 7 %    |
| nft       |        |
`
	if got := tab.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
