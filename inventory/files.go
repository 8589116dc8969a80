package inventory

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// Options says how files are read. The zero value is fine.
type Options struct {
	// AllowPlaintext allows secrets as text in inventory files.
	AllowPlaintext bool
	// Env is used for variables in containerlab topologies instead of the process's
	// environment; nil = that one.
	Env []string
	// Stdin is read for the path "-"; nil = os.Stdin.
	Stdin io.Reader
}

// input is one file to read.
type input struct {
	file   string
	text   []byte
	inDir  bool // found in a directory, not named: documents of other kinds are passed over
	isClab bool
}

// readInputs reads files, the *.yml and *.yaml of directories (not of directories
// in them), and standard input for "-".
func readInputs(paths []string, opts Options, found *findings) []input {
	var ins []input
	add := func(file string, inDir bool, text []byte, err error) {
		if err != nil {
			found.add(Position{File: file}, "", ruleFile, "%s", unwrapPath(err))
			return
		}
		ins = append(ins, input{file: file, text: text, inDir: inDir, isClab: isClabName(file)})
	}
	for _, p := range paths {
		if p == "-" {
			in := opts.Stdin
			if in == nil {
				in = os.Stdin
			}
			text, err := io.ReadAll(in)
			add("-", false, text, err)
			continue
		}
		fi, err := os.Stat(p)
		if err != nil || !fi.IsDir() {
			text, err := os.ReadFile(p)
			add(p, false, text, err)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			add(p, false, nil, err)
			continue
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml") {
				f := filepath.Join(p, e.Name())
				text, err := os.ReadFile(f)
				add(f, true, text, err)
			}
		}
	}
	return ins
}

func isClabName(file string) bool {
	base := filepath.Base(file)
	return strings.HasSuffix(base, ".clab.yml") || strings.HasSuffix(base, ".clab.yaml") || strings.HasSuffix(base, ".gotmpl")
}

// documentKind gives apiVersion and kind of a document, "" where it says none.
func documentKind(d *document) (apiVersion, kind string) {
	return scalarOf(d.root, "apiVersion"), scalarOf(d.root, "kind")
}

func scalarOf(n *yaml.Node, key string) string {
	if n == nil || n.Kind != yaml.MappingNode {
		return ""
	}
	if v := find(n, key); v != nil && v != n && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

// documentsOf gives the documents of kind want. Documents of our other kind are
// passed over in directories; all else of a wrong kind is a finding.
func documentsOf(in input, want string, found *findings) []*document {
	var out []*document
	known := []string{models.KindMirror, KindInventory}
	bad := len(found.list)
	docs := parseYAML(in.file, in.text, nil, found)
	if !in.inDir && len(found.list) == bad && !slices.ContainsFunc(docs, func(d *document) bool { return d.root != nil }) {
		found.add(Position{File: in.file}, "", ruleMissing, "has no %s in it", strings.ToLower(want))
	}
	for _, d := range docs {
		if d.root == nil {
			continue // "---" with nothing behind it
		}
		api, kind := documentKind(d)
		if api == models.APIVersion && kind != want && slices.Contains(known, kind) {
			if !in.inDir {
				found.add(d.position(find(d.root, "kind")), "kind", ruleValue, "want %s here, got %s", want, quote(kind))
			}
			continue
		}
		out = append(out, d)
	}
	return out
}
