package store

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
)

// Export implements Store.
func (d *DB) Export(ctx context.Context, w io.Writer) error {
	if d.path != Memory {
		return d.read(ctx, func(t *tx) error { return export(t, w) })
	}
	var b bytes.Buffer // a read in memory may be run again
	err := d.read(ctx, func(t *tx) error {
		b.Reset()
		return export(t, &b)
	})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

func export(t *tx, w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var runs []Run
	if err := scanRuns(t, runColumns+` ORDER BY started, id`, nil, func(r Run, _ string) error {
		runs = append(runs, r)
		return nil
	}); err != nil {
		return err
	}
	for i := range runs {
		if err := enc.Encode(Line{Kind: "run", Run: &runs[i]}); err != nil {
			return err
		}
		if err := scanEntries(t, entriesOf+` ORDER BY seq`, []any{runs[i].ID}, func(e ExportedEntry) error {
			return enc.Encode(Line{Kind: "entry", Entry: &e})
		}); err != nil {
			return err
		}
	}
	records, err := recordRows(t, nil)
	if err != nil {
		return err
	}
	for i := range records {
		if err := enc.Encode(Line{Kind: "record", Record: &records[i]}); err != nil {
			return err
		}
	}
	return nil
}
