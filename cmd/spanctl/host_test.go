package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanctl/spanctl/inventory"
)

func TestFindHost(t *testing.T) {
	const head = "apiVersion: spanctl/v1\nkind: Inventory\ndevices:\n"
	const (
		here  = "  - {name: probe, platform: linux, address: 192.0.2.1}\n"
		there = "  - {name: other, platform: linux, address: 192.0.2.2}\n"
		leaf  = "  - {name: leaf1, platform: arista_eos, address: 192.0.2.1}\n"
		blue  = "  - {name: inside, platform: linux, address: \"netns:blue\"}\n"
		named = "  - {name: two, platform: linux, address: box}\n"
		same  = "  - {name: box, platform: linux, address: 192.0.2.9}\n"
	)
	tests := []struct {
		name, inventory   string
		device, namespace string
		want              string
		known             bool
		err               string
	}{
		{name: "no inventory", want: "box"},
		{name: "no inventory, a namespace", namespace: "netns:blue", want: "box-blue"},
		{name: "a path of ip netns", namespace: "/run/netns/blue", want: "box-blue"},
		{name: "a path that says no name", namespace: "/proc/7/ns/net", err: "give one with --device"},
		{name: "no inventory, a device", device: "x", namespace: "/proc/7/ns/net", want: "x"},
		{name: "by address", inventory: there + here + leaf, want: "probe", known: true},
		{name: "by host name", inventory: there + named, want: "two", known: true},
		{name: "two with an address of this host", inventory: here + named, err: "name one with --device"},
		{name: "by namespace", inventory: here + blue, namespace: "/run/netns/blue", want: "inside", known: true},
		{name: "a namespace is not the host", inventory: blue, want: "box"},
		{name: "not in the inventory", inventory: there + leaf, want: "box"},
		{name: "its name with another address", inventory: same, err: "say --device box"},
		{name: "named with another address", inventory: same, device: "box", want: "box", known: true},
		{name: "mistyped", inventory: here, device: "prob", err: `did you mean "probe"`},
		{name: "a switch", inventory: leaf, device: "leaf1", err: "not a Linux host"},
		{name: "named, with its namespace", inventory: blue, device: "inside", namespace: "netns:blue", want: "inside", known: true},
		{name: "named, with another namespace", inventory: blue, device: "inside", namespace: "netns:red", err: "leave one of them out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var inv *inventory.Inventory
			if tt.inventory != "" {
				file := filepath.Join(t.TempDir(), "inventory.yaml")
				if err := os.WriteFile(file, []byte(head+tt.inventory), 0o600); err != nil {
					t.Fatal(err)
				}
				var err error
				if inv, err = inventory.LoadInventory([]string{file}, inventory.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			local := func(a string) bool { return a == "192.0.2.1" }
			got, known, err := findHost(inv, hostOptions{device: tt.device, namespace: tt.namespace}, "box", local)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%q, %v; want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || string(got) != tt.want || known != tt.known {
				t.Errorf("%q, known %v, %v; want %q, %v", got, known, err, tt.want, tt.known)
			}
		})
	}
}
