package models

import "testing"

func TestCutPlace(t *testing.T) {
	tests := []struct {
		give, place, port string
		ok                bool
		bad               bool // PlaceError
	}{
		{"eth0", "", "eth0", false, false},
		{"Ethernet1/1", "", "Ethernet1/1", false, false},
		{"container:web/eth0", "container:web", "eth0", true, false},
		{"container:clab-lab.1_x-r1/eth1-3", "container:clab-lab.1_x-r1", "eth1-3", true, false},
		{"netns:blue/eth0", "netns:blue", "eth0", true, false},
		{"netns:b@l,u#e/eth0", "netns:b@l,u#e", "eth0", true, false},
		{"netns:a/b/c", "netns:a", "b/c", true, false}, // the port is for others to refuse
		{"netns:blue", "netns:blue", "", true, false},
		{"container:/eth0", "container:", "eth0", true, true},
		{"container:-x/eth0", "container:-x", "eth0", true, true},
		{"container:a b/eth0", "container:a b", "eth0", true, true},
		{"netns:../eth0", "netns:..", "eth0", true, true},
		{"netns:-n/eth0", "netns:-n", "eth0", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.give, func(t *testing.T) {
			place, port, ok := CutPlace(tt.give)
			if place != tt.place || port != tt.port || ok != tt.ok {
				t.Errorf("CutPlace = %q, %q, %v; want %q, %q, %v", place, port, ok, tt.place, tt.port, tt.ok)
			}
			if !ok {
				return
			}
			if err := PlaceError(place); (err != nil) != tt.bad {
				t.Errorf("PlaceError = %v, want an error: %v", err, tt.bad)
			}
			if port != "" {
				if got := JoinPlace(place, port); got != tt.give {
					t.Errorf("JoinPlace = %q, want %q", got, tt.give)
				}
			}
		})
	}
	if got := JoinPlace("", "eth0"); got != "eth0" {
		t.Errorf("JoinPlace of no place = %q", got)
	}
}

// FuzzCutPlace: what is taken apart can be put together again.
func FuzzCutPlace(f *testing.F) {
	for _, s := range []string{"eth0", "container:web/eth0", "netns:a/b/c", "netns:", "container:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		place, port, ok := CutPlace(name)
		switch {
		case !ok && (port != name || place != ""):
			t.Errorf("CutPlace(%q) = %q, %q without a place", name, place, port)
		case ok && JoinPlace(place, port) != name && place != name:
			t.Errorf("CutPlace(%q) = %q, %q", name, place, port)
		}
		if ok {
			_ = PlaceError(place) // must not panic
		}
	})
}
