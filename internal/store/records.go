package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spanctl/spanctl/models"
)

// maxList bounds the parameters of one query.
const maxList = 200

// Records implements Records.
func (d *DB) Records(ctx context.Context, devices ...models.DeviceID) ([]models.Record, error) {
	var out []models.Record
	err := d.read(ctx, func(t *tx) (err error) {
		out, err = recordRows(t, devices)
		return err
	})
	return out, err
}

func recordRows(t *tx, devices []models.DeviceID) (out []models.Record, err error) {
	if len(devices) == 0 {
		if err := scanRecords(t, `SELECT body FROM records`, nil, &out); err != nil {
			return nil, err
		}
	}
	devices = slices.Clone(devices)
	slices.Sort(devices)
	for part := range slices.Chunk(slices.Compact(devices), maxList) {
		list, args := inList(part)
		if err := scanRecords(t, `SELECT body FROM records WHERE device IN `+list, args, &out); err != nil {
			return nil, err
		}
	}
	sortRecords(out)
	return out, nil
}

// Due implements Records.
func (d *DB) Due(ctx context.Context, now time.Time) ([]models.Record, error) {
	at, err := nanos(now)
	if err != nil {
		return nil, err
	}
	var out []models.Record
	err = d.read(ctx, func(t *tx) error {
		out = nil
		return scanRecords(t, `SELECT body FROM records WHERE expires IS NOT NULL AND expires <= $1`, []any{at}, &out)
	})
	if err != nil {
		return nil, err
	}
	sortRecords(out)
	return out, nil
}

// Apply implements Records.
func (d *DB) Apply(ctx context.Context, put []models.Record, del []models.SessionID) error {
	c, err := encodeRecords(put, del)
	if err != nil {
		return err
	}
	return d.write(ctx, c.write)
}

// recordChange is what Apply writes, encoded before the transaction begins.
type recordChange struct {
	put []recordRow
	del []models.SessionID
}

type recordRow struct {
	id      models.SessionID
	expires any
	body    string
}

func encodeRecords(put []models.Record, del []models.SessionID) (recordChange, error) {
	c := recordChange{put: make([]recordRow, 0, len(put))}
	for _, r := range put {
		if err := checkID(r.ID()); err != nil {
			return c, err
		}
		expires, err := nanos(r.Expires)
		if err != nil {
			return c, fmt.Errorf("record of %s: %w", sessionText(r.ID()), err)
		}
		r.Since, r.Expires = r.Since.UTC(), r.Expires.UTC()
		body, err := json.Marshal(r)
		if err != nil {
			return c, fmt.Errorf("record of %s: %w", sessionText(r.ID()), err)
		}
		c.put = append(c.put, recordRow{id: r.ID(), expires: expires, body: string(body)})
	}
	for _, id := range del {
		if err := checkID(id); err != nil {
			return c, err
		}
		if id.Name != "" {
			id.Number = 0 // as in Session.ID
		}
		c.del = append(c.del, id)
	}
	return c, nil
}

func (c recordChange) write(t *tx) error {
	for _, id := range c.del {
		if err := t.caller.Err(); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM records WHERE device = $1 AND name = $2 AND number = $3`,
			string(id.Device), id.Name, id.Number); err != nil {
			return err
		}
	}
	for _, r := range c.put {
		if err := t.caller.Err(); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO records (device, name, number, expires, body) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (device, name, number) DO UPDATE SET expires = excluded.expires, body = excluded.body`,
			string(r.id.Device), r.id.Name, r.id.Number, r.expires, r.body); err != nil {
			return err
		}
	}
	return nil
}

// NextEdits implements Edits.
func (d *DB) NextEdits(ctx context.Context, run string, devices ...models.DeviceID) (map[models.DeviceID]int64, error) {
	out := make(map[models.DeviceID]int64, len(devices))
	for _, dev := range devices {
		out[dev] = 1
	}
	err := d.read(ctx, func(t *tx) error {
		for part := range slices.Chunk(devices, maxList) {
			list, args := inList(part)
			err := t.rows(`SELECT device, number, run FROM edits WHERE device IN `+list, args, func(scan func(...any) error) error {
				var dev models.DeviceID
				var number int64
				var last string
				if err := scan(&dev, &number, &last); err != nil {
					return err
				}
				if last != run {
					number++
				}
				out[dev] = number
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// touch counts an edit of dev by run, once per run.
func touch(t *tx, run string, dev models.DeviceID) error {
	_, err := t.exec(`INSERT INTO edits (device, number, run) VALUES ($1, 1, $2)
		ON CONFLICT (device) DO UPDATE SET number = edits.number + 1, run = excluded.run WHERE edits.run <> excluded.run`,
		string(dev), run)
	return err
}

func scanRecords(t *tx, query string, args []any, out *[]models.Record) error {
	return t.rows(query, args, func(scan func(...any) error) error {
		var body []byte
		if err := scan(&body); err != nil {
			return err
		}
		var r models.Record
		if err := json.Unmarshal(body, &r); err != nil {
			return fmt.Errorf("%w: a record: %w", ErrCorrupt, err)
		}
		*out = append(*out, r)
		return nil
	})
}

func sortRecords(rs []models.Record) {
	slices.SortFunc(rs, func(a, b models.Record) int {
		x, y := a.ID(), b.ID()
		return cmp.Or(cmp.Compare(x.Device, y.Device), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Number, y.Number))
	})
}

// inList gives a list of placeholders from $1 on, and what they stand for.
func inList(devices []models.DeviceID) (string, []any) {
	var b strings.Builder
	args := make([]any, len(devices))
	for i, dev := range devices {
		fmt.Fprintf(&b, ", $%d", i+1)
		args[i] = string(dev)
	}
	return "(" + strings.TrimPrefix(b.String(), ", ") + ")", args
}

func checkID(id models.SessionID) error {
	if id.Device == "" {
		return errors.New("a record needs a device")
	}
	if id.Name == "" && id.Number == 0 {
		return fmt.Errorf("a record on %s needs the name or the number of its session", id.Device)
	}
	return nil
}

func sessionText(id models.SessionID) string {
	if id.Name != "" {
		return fmt.Sprintf("session %q of %s", id.Name, id.Device)
	}
	return fmt.Sprintf("session %d of %s", id.Number, id.Device)
}
