package ovs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// uuid identifies a row.
type uuid string

// value is what a column holds: a set of atoms, one of them where the column is not a
// set, or a map. Atoms are string, int64, float64, bool or uuid.
type value struct {
	set   []any
	pairs []pair // of a map, sorted by key
	isMap bool
}

type pair struct{ key, value any }

func (v value) empty() bool { return len(v.set) == 0 && len(v.pairs) == 0 }

// row holds the columns that were asked for.
type row map[string]value

// id gives the row's own identity.
func (r row) id() uuid {
	for _, a := range r["_uuid"].set {
		if u, ok := a.(uuid); ok {
			return u
		}
	}
	return ""
}

// one gives the only atom of a column as a T; ok is false where there is none, or one
// of another type.
func one[T any](r row, column string) (T, bool) {
	set := r[column].set
	if len(set) != 1 {
		var zero T
		return zero, false
	}
	v, ok := set[0].(T)
	return v, ok
}

// all gives the atoms of a column that are of type T.
func all[T any](r row, column string) []T {
	var out []T
	for _, a := range r[column].set {
		if v, ok := a.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

// entries gives a map column of strings.
func (r row) entries(column string) map[string]string {
	out := make(map[string]string)
	for _, p := range r[column].pairs {
		k, okK := p.key.(string)
		v, okV := p.value.(string)
		if okK && okV {
			out[k] = v
		}
	}
	return out
}

// readTables reads what ovs-vsctl --format=json prints for several lists: one table a
// line, {"headings": [...], "data": [[...], ...]}, with the values of RFC 7047. Each
// table must have at least the columns that are wanted of it.
func readTables(text string, wanted [][]string) ([][]row, error) {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	if len(lines) != len(wanted) {
		return nil, fmt.Errorf("%d tables were asked for, and %d lines came", len(wanted), len(lines))
	}
	out := make([][]row, len(lines))
	for i, line := range lines {
		rows, err := readTable(line)
		if err != nil {
			return nil, fmt.Errorf("table %d: %w", i+1, err)
		}
		for _, c := range wanted[i] {
			if !slices.Contains(rows.headings, c) {
				return nil, fmt.Errorf("table %d has no column %q", i+1, c)
			}
		}
		out[i] = rows.rows
	}
	return out, nil
}

type table struct {
	headings []string
	rows     []row
}

func readTable(line string) (table, error) {
	var t struct {
		Headings []string            `json:"headings"`
		Data     [][]json.RawMessage `json:"data"`
	}
	d := json.NewDecoder(strings.NewReader(line))
	if err := d.Decode(&t); err != nil {
		return table{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return table{}, errors.New("something follows the table")
	}
	if len(t.Headings) == 0 || t.Data == nil {
		return table{}, errors.New("no table: want headings and data")
	}
	out := table{headings: t.Headings}
	for n, cells := range t.Data {
		if len(cells) != len(t.Headings) {
			return table{}, fmt.Errorf("row %d has %d values for %d columns", n+1, len(cells), len(t.Headings))
		}
		r := make(row, len(cells))
		for i, c := range cells {
			v, err := readValue(c)
			if err != nil {
				return table{}, fmt.Errorf("row %d: %s: %w", n+1, t.Headings[i], err)
			}
			r[t.Headings[i]] = v
		}
		out.rows = append(out.rows, r)
	}
	return out, nil
}

// readValue reads a <value> of RFC 7047, section 5.1.
func readValue(text json.RawMessage) (value, error) {
	kind, body, ok := tagged(text)
	switch {
	case ok && kind == "set":
		var atoms []json.RawMessage
		if err := json.Unmarshal(body, &atoms); err != nil {
			return value{}, err
		}
		var v value
		for _, a := range atoms {
			x, err := readAtom(a)
			if err != nil {
				return value{}, err
			}
			v.set = append(v.set, x)
		}
		return v, nil
	case ok && kind == "map":
		var pairs [][]json.RawMessage
		if err := json.Unmarshal(body, &pairs); err != nil {
			return value{}, err
		}
		v := value{isMap: true}
		for _, p := range pairs {
			if len(p) != 2 {
				return value{}, fmt.Errorf("a pair of %d", len(p))
			}
			k, err := readAtom(p[0])
			if err != nil {
				return value{}, err
			}
			x, err := readAtom(p[1])
			if err != nil {
				return value{}, err
			}
			v.pairs = append(v.pairs, pair{k, x})
		}
		slices.SortStableFunc(v.pairs, func(a, b pair) int { return strings.Compare(atomText(a.key), atomText(b.key)) })
		return v, nil
	}
	a, err := readAtom(text)
	if err != nil {
		return value{}, err
	}
	return value{set: []any{a}}, nil
}

// tagged takes apart ["KIND", BODY].
func tagged(text json.RawMessage) (kind string, body json.RawMessage, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal(text, &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &kind) != nil {
		return "", nil, false
	}
	return kind, parts[1], true
}

func readAtom(text json.RawMessage) (any, error) {
	if kind, body, ok := tagged(text); ok {
		var s string
		if kind != "uuid" || json.Unmarshal(body, &s) != nil || !uuidText.MatchString(s) {
			return nil, fmt.Errorf("%.80q is no value", text)
		}
		return uuid(s), nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var a any
	if err := d.Decode(&a); err != nil {
		return nil, err
	}
	switch a := a.(type) {
	case string, bool:
		return a, nil
	case json.Number:
		if n, err := strconv.ParseInt(a.String(), 10, 64); err == nil {
			return n, nil
		}
		return a.Float64()
	}
	return nil, fmt.Errorf("%.80q is no value", text)
}

// atomText gives an atom as ovs-vsctl takes it as a value [vsctl, "Database Values"].
func atomText(a any) string {
	switch a := a.(type) {
	case string:
		if plainText.MatchString(a) && !uuidText.MatchString(a) && a != "true" && a != "false" {
			return a
		}
		b, err := json.Marshal(a)
		if err != nil {
			panic(err) // a string always encodes
		}
		return string(b)
	case uuid:
		return string(a)
	default:
		return fmt.Sprint(a)
	}
}

// settings gives a column as ovs-vsctl takes it behind create and set: COLUMN=VALUES,
// and of a map one COLUMN:KEY=VALUE for each key.
func (v value) settings(column string) []string {
	if v.isMap {
		var out []string
		for _, p := range v.pairs {
			out = append(out, setting(column, p.key, p.value))
		}
		return out
	}
	texts := make([]string, len(v.set))
	for i, a := range v.set {
		texts[i] = atomText(a)
	}
	slices.Sort(texts)
	return []string{column + "=" + strings.Join(texts, ",")}
}

// setting gives COLUMN:KEY=VALUE.
func setting(column string, key, val any) string {
	return column + ":" + atomText(key) + "=" + atomText(val)
}
