package store

import (
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	const tail = " 1 2 3 4 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2"
	for _, tt := range []struct {
		name, give string
		start      int64
		running    bool
	}{
		{"sleeping", "7 (spanctl) S" + tail, 987654, true},
		{"a name that looks like more", "7 (a) Z 1 2 (b) R" + tail, 987654, true},
		{"zombie", "7 (spanctl) Z" + tail, 987654, false},
		{"dead", "7 (spanctl) X" + tail, 987654, false},
		{"cut", "7 (spanctl) S 1 2", 0, true},
		{"empty", "", 0, true},
		{"no number", strings.Replace("7 (spanctl) S"+tail, "987654", "x", 1), 0, true},
	} {
		start, running := parseStat([]byte(tt.give))
		if start != tt.start || running != tt.running {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, start, running, tt.start, tt.running)
		}
	}
	if start, running := processStart(os.Getpid()); start <= 0 || !running {
		t.Errorf("this process: %d, %v", start, running)
	}
	if processScope() == "" {
		t.Error("no scope")
	}
}
