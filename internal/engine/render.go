package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// rendering is what the scripts of a plan depend on beside the changes.
type rendering struct {
	*task
	plan   *Plan
	conns  *conns
	edits  map[models.DeviceID]int64
	within time.Duration
	prior  map[models.SessionID]models.Record
}

// render adds the groups of sets to p, with their scripts. A group that cannot be
// rendered stops all, or, when the others are to go on, only itself.
func (e *Engine) render(ctx context.Context, conns *conns, t *task, p *Plan, sets []models.ChangeSet, run string) error {
	groups := plan.Order(sets)
	if len(groups) == 0 {
		return nil
	}
	edits, err := e.c.Store.NextEdits(ctx, run, t.devices...)
	if err != nil {
		return err
	}
	r := rendering{task: t, plan: p, conns: conns, edits: edits, within: t.req.Within, prior: make(map[models.SessionID]models.Record, len(t.records))}
	if r.within <= 0 {
		r.within = e.c.Within
	}
	for _, rec := range t.records {
		r.prior[rec.ID()] = rec
	}
	timed := make(map[models.DeviceID]bool)
	for _, g := range groups {
		out, advice, err := e.renderGroup(ctx, r, g)
		if err != nil {
			if !t.req.KeepGoing || ctx.Err() != nil {
				return err
			}
			p.Blocked = append(p.Blocked, Blocked{Intent: g.Intent, Device: deviceOf(err), Reason: err.Error()})
			continue
		}
		for _, w := range out.Waves {
			for _, cp := range w {
				if len(cp.Script.Save) > 0 {
					p.Notes = append(p.Notes, saveNote(g.Intent, cp.Device, t))
				}
				if cp.Script.Within > 0 { // a platform whose devices may have a timer, and this one has
					timed[cp.Device] = true
				}
			}
		}
		p.Groups = append(p.Groups, out)
		p.Findings = append(p.Findings, advice...)
	}
	for i := range p.Devices {
		if timed[p.Devices[i].Device] {
			p.Devices[i].WayBack = models.Yes
		}
	}
	return nil
}

func (e *Engine) renderGroup(ctx context.Context, r rendering, g plan.Group) (Group, models.Findings, error) {
	out := Group{Intent: g.Intent}
	var found models.Findings
	for _, w := range g.Waves {
		var wave []drivers.Checkpoint
		for _, cs := range w {
			cp := drivers.Checkpoint{Device: cs.Device, Changes: cs}
			for _, ch := range cs.Changes {
				if rec, ok := r.prior[ch.Session().ID()]; ok {
					cp.Prior = append(cp.Prior, rec)
				}
			}
			o := drivers.RenderOptions{Tag: tag(cs, r.edits[cs.Device]), Within: r.within, Facts: r.facts[cs.Device], Save: e.saves(r.task, r.plan, cs)}
			var advice models.Findings
			var err error
			if cp.Script, advice, err = e.script(ctx, r.conns, r.task, cs, o); err != nil {
				return Group{}, nil, err
			}
			for _, f := range advice {
				f.Intent, f.Device, f.Warning = g.Intent, cs.Device, true
				found = append(found, f)
			}
			wave = append(wave, cp)
		}
		out.Waves = append(out.Waves, wave)
	}
	return out, found, nil
}

// deviceOf gives the device that an error is about, "" when it names none.
func deviceOf(err error) models.DeviceID {
	if e, ok := errors.AsType[*drivers.Error](err); ok {
		return e.Device
	}
	return ""
}

// script renders without the device where the platform can, else with its driver,
// which may have advice.
func (e *Engine) script(ctx context.Context, conns *conns, t *task, cs models.ChangeSet, o drivers.RenderOptions) (s transport.Script, advice models.Findings, err error) {
	if p, ok := e.c.Platforms(cs.Device).(drivers.Planner); ok {
		s, err = p.Render(cs, o)
	} else if t.req.Offline != nil {
		err = fmt.Errorf("%w: the commands for this platform depend on the host; plan with it in reach", drivers.ErrUnsupported)
	} else {
		err = conns.with(ctx, cs.Device, func(d drivers.Driver) (err error) {
			if s, err = d.Render(cs, o); err != nil {
				return err
			}
			if a, ok := d.(drivers.Adviser); ok {
				advice = a.Advise(cs)
			}
			return nil
		})
	}
	return s, advice, drivers.WrapError(cs.Device, drivers.PhaseRender, err)
}

// tag names the edit: the same for a plan and the apply that follows it, another
// one after any other run on the device.
func tag(cs models.ChangeSet, edit int64) string {
	text, err := json.Marshal(cs)
	if err != nil {
		panic(err) // plain data without cycles always encodes
	}
	sum := sha256.Sum256(fmt.Appendf(text, "/%d", edit))
	return hex.EncodeToString(sum[:5])
}
