package main

import (
	"testing"
	"time"
)

// TestMirrorNames: two one-liners of one second are two intents.
func TestMirrorNames(t *testing.T) {
	o := mirrorOptions{to: "leaf1:Ethernet12", lease: "1h", direction: "rx"}
	now, seen := time.Now(), make(map[string]bool)
	for range 50 {
		in, err := o.intent([]string{"leaf1:Ethernet10"}, now)
		if err != nil {
			t.Fatal(err)
		}
		if found := in.Validate(); len(found) > 0 {
			t.Fatal(found)
		}
		if seen[in.Metadata.Name] {
			t.Fatalf("%s is there twice", in.Metadata.Name)
		}
		seen[in.Metadata.Name] = true
	}
}
