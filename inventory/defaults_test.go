package inventory

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDefaultsBeforePublicLogins: the login that a person names for all devices is
// used for the nodes of a topology, too; the public one of their kind only without.
func TestDefaultsBeforePublicLogins(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("lab.clab.yml", "name: lab\ntopology:\n  nodes:\n    leaf1: {kind: arista_ceos, image: ceos}\n"+
		"    leaf2: {kind: arista_ceos, image: ceos, credentials: {username: netops, password: lab}}\n")
	named := write("named.yml", "apiVersion: spanctl/v1\nkind: Inventory\ntopology: lab.clab.yml\n"+
		"credentials:\n  ops: {username: ops, password: {env: NO_SUCH}}\ndefaults: {credentials: ops}\n")
	plain := write("plain.yml", "apiVersion: spanctl/v1\nkind: Inventory\ntopology: lab.clab.yml\n")
	tests := []struct {
		name, file, device, want string
		public                   bool
	}{
		{"named for all", named, "leaf1", "ops", false},
		{"the topology's own choice stays", named, "leaf2", "netops", false},
		{"none named", plain, "leaf1", "admin", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inv, err := LoadInventory([]string{tt.file}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			for id := range inv.Devices() {
				if string(id) != tt.device {
					continue
				}
				acc, err := inv.Access(id)
				if err != nil {
					t.Fatal(err)
				}
				if got := acc.Credential.Username.Literal.Reveal(); got != tt.want || acc.Credential.Default != tt.public {
					t.Errorf("user %q, public %v; want %q, %v", got, acc.Credential.Default, tt.want, tt.public)
				}
			}
		})
	}
}
