package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/hostmirror/capture"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/internal/engine"
	"github.com/spanctl/spanctl/internal/store"
	"github.com/spanctl/spanctl/inventory"
	"github.com/spanctl/spanctl/models"
)

// CaptureReport is the result of host capture.
type CaptureReport struct {
	Intent string `json:"intent"`
	File   string `json:"file"` // "-" for standard output
	capture.Result
	// Ended is why: count, time, interrupted, reader (of standard output, gone) or failed.
	Ended string `json:"ended"`
}

type captureOptions struct {
	hostOptions
	direction string
	filter    []string
	file      string
	count     uint64
	length    time.Duration
	yes       bool
}

func newHostCapture(a *app) *cobra.Command {
	o := captureOptions{direction: "both", length: time.Hour}
	cmd := &cobra.Command{
		Use:   "capture SRC",
		Short: "Capture what an interface receives or sends, in a pcapng file or for a pipe",
		Long: `Mirror an interface of this host into an interface that leads nowhere (a dummy),
capture the copies there, and take the mirror away at the end, also on Ctrl-C.

Frames are written as they would be on a wire: VLAN tags and checksums that the
kernel keeps apart are put in. Frames that segmentation offload has not cut yet
stay whole. SRC is seen where tc sees it; the mirror takes a filter that is worked
out in the kernel, so that what is not wanted costs no copy.

After a kill -9 the mirror stays until its lease, a little longer than --for, has
ended and spanctl host apply runs; with --remove it ends it at once.`,
		Example: `  sudo spanctl host capture eth0 --direction rx --count 1000 -w eth0.pcapng
  sudo spanctl host capture eth0 --filter '{include: {proto: tcp, dport: [443]}}' --yes -w - | tshark -r -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.capture(cmd, args, o) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.direction, "direction", o.direction, "rx, tx or both, seen from the host")
	cmd.Flags().StringArrayVar(&o.filter, "filter", nil, "a `rule` as in an intent's filter, such as '{exclude: {proto: tcp, dport: [22]}}'; may be given again, the first that matches decides")
	cmd.Flags().StringVarP(&o.file, "write", "w", "", "`file` to write, which must not be there yet; - is standard output; default: made of SRC and time")
	cmd.Flags().Uint64Var(&o.count, "count", 0, "end after so many frames; 0 is no limit")
	cmd.Flags().DurationVar(&o.length, "for", o.length, "end after this `time`")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

// leaseBeyond is how much longer the lease is than the capture, which ends by itself.
const leaseBeyond = time.Minute

func (a *app) capture(cmd *cobra.Command, args []string, o captureOptions) error {
	if o.length < time.Second {
		return fmt.Errorf("--for is %s; want 1s or more", o.length)
	}
	return a.withHost(cmd, o.hostOptions, func(h *hostSite) error {
		in, err := o.intent(string(h.device), args[0])
		if err != nil {
			return err
		}
		out, err := o.open(a.out, args[0])
		if err != nil {
			return err
		}
		rep, err := a.captureInto(cmd, args, h, in, o, out)
		if rep == nil {
			return errors.Join(err, out.discard())
		}
		if err = errors.Join(err, out.close()); rep.File == "-" { // standard output is the file
			showCapture(a.err, rep)
			return err
		}
		return errors.Join(err, a.print(rep, func(w io.Writer) error { showCapture(w, rep); return nil }))
	})
}

// captureInto makes the session, captures, and takes the session away. The report is
// nil when nothing was captured.
func (a *app) captureInto(cmd *cobra.Command, args []string, h *hostSite, in models.Intent, o captureOptions, out *captureFile) (*CaptureReport, error) {
	ctx, name := cmd.Context(), in.Metadata.Name
	req := engine.ApplyRequest{Command: commandLine(cmd, args), Request: engine.Request{Intents: []models.Intent{in}}}
	req.Approve = func(p *engine.Plan) (bool, error) {
		h.bar.stop()
		if o.yes {
			return true, nil
		}
		showPlan(a.err, p)
		return a.ask(ctx, "capture with this?")
	}
	res, err := h.applyUnlocked(ctx, req)
	h.bar.stop()
	if err != nil {
		return nil, err
	}
	if res.Outcome != engine.Applied {
		a.left = leftBy(res)
		showFindings(a.err, res.Plan.Findings)
		showResult(a.err, res)
		return nil, exit(exitError)
	}
	a.left = fmt.Sprintf("the mirror of intent %s may be there still: spanctl host apply --remove %s, or after its lease spanctl host apply", name, name)
	rep, err := a.captureCopies(ctx, h, in, o, out, captureLink(res.Plan))
	// The mirror goes whatever happened, and although ctx has ended.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	gone, goneErr := h.applyUnlocked(last, engine.ApplyRequest{Command: commandLine(cmd, args), Request: engine.Request{Remove: []string{name}}})
	switch {
	case goneErr != nil:
		return rep, errors.Join(err, fmt.Errorf("the mirror of intent %s stays (spanctl host apply --remove %s): %w", name, name, goneErr))
	case gone.Failed():
		showFindings(a.err, gone.Plan.Findings)
		showResult(a.err, gone)
		return rep, errors.Join(err, fmt.Errorf("the mirror of intent %s stays: spanctl host apply --remove %s", name, name))
	}
	a.left = "the mirror was taken away"
	if rep != nil {
		a.left = fmt.Sprintf("%s written to %s, and the mirror was taken away", count(int(rep.Captured), "frame"), rep.File)
	}
	return rep, err
}

func (a *app) captureCopies(ctx context.Context, h *hostSite, in models.Intent, o captureOptions, out *captureFile, link string) (*CaptureReport, error) {
	if link == "" {
		return nil, errors.New("the plan makes no interface to capture on")
	}
	src := strings.Join(in.Spec.Sources[0].Interfaces, ",")
	c, err := capture.Open(capture.Options{
		Namespace: h.namespace, Interface: link, Count: o.count,
		Name: src, Filter: strings.Join(o.filter, " "),
		Description: fmt.Sprintf("copies of what passes %s of %s, direction %s", src, h.device, o.direction),
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	a.talk("capturing %s %s into %s for at most %s; Ctrl-C ends it", src, o.direction, out.says(), o.length)
	// A reader of standard output that goes away must not kill spanctl before the mirror
	// is taken away.
	signal.Ignore(syscall.SIGPIPE)
	limited, cancel := context.WithTimeout(ctx, o.length)
	defer cancel()
	rep := &CaptureReport{Intent: in.Metadata.Name, File: out.name}
	rep.Result, err = c.Run(limited, out.w)
	switch {
	case out.name == "-" && errors.Is(err, syscall.EPIPE):
		rep.Ended, err = "reader", nil
	case err != nil:
		rep.Ended = "failed"
	case o.count > 0 && rep.Captured == o.count:
		rep.Ended = "count"
	case ctx.Err() != nil:
		rep.Ended = "interrupted"
	default:
		rep.Ended = "time"
	}
	return rep, err
}

// applyUnlocked is an apply that waits while another spanctl works on this host, such
// as host watch.
func (h *hostSite) applyUnlocked(ctx context.Context, req engine.ApplyRequest) (*engine.Result, error) {
	const patience = 30 * time.Second
	for end := time.Now().Add(patience); ; {
		res, err := h.apply(ctx, req)
		var locked *store.LockedError
		if !errors.As(err, &locked) || time.Now().After(end) {
			return res, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// captureLink gives the interface that a plan makes for the copies, as its own lines
// say.
func captureLink(p *engine.Plan) string {
	for _, g := range p.Groups {
		for _, wave := range g.Waves {
			for _, cp := range wave {
				for _, step := range cp.Script.Steps {
					if s, err := linknl.Parse(step.Text); err == nil && s.Kind == linknl.Dummy {
						return s.Name
					}
				}
			}
		}
	}
	return ""
}

func showCapture(w io.Writer, rep *CaptureReport) {
	fmt.Fprintf(w, "%s captured (%d bytes) in %s, %d dropped\n", count(int(rep.Captured), "frame"), rep.Bytes, rep.Took.Round(time.Millisecond), rep.Dropped)
	if rep.Dropped > 0 {
		fmt.Fprintln(w, "dropped ones came faster than they could be written: filter, or write to a faster disk")
	}
	if rep.Unsegmented > 0 {
		fmt.Fprintf(w, "%s not cut by segmentation offload yet: on a wire they are more\n", map[bool]string{true: "1 frame was", false: fmt.Sprintf("%d frames were", rep.Unsegmented)}[rep.Unsegmented == 1])
	}
	if rep.Ended == "reader" {
		fmt.Fprintln(w, "the reader of standard output has gone")
	}
}

// intent makes the intent of the command line. Rules are read as those of an intent
// file are.
func (o captureOptions) intent(device, src string) (models.Intent, error) {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	in := models.Intent{APIVersion: models.APIVersion, Kind: models.KindMirror,
		Metadata: models.Metadata{Name: "capture-" + hex.EncodeToString(id[:]), Owner: userName(), Reason: "spanctl host capture " + src}}
	var dir models.Direction
	if err := dir.UnmarshalText([]byte(o.direction)); err != nil {
		return in, fmt.Errorf("--%w", err)
	}
	in.Spec.Sources = []models.SourceSpec{{Device: device, Interfaces: []string{src}, Direction: dir}}
	in.Spec.Destination.Capture = &models.CaptureSpec{Device: device}
	in.Spec.Expires = models.Expiry{At: time.Now().Add(o.length + leaseBeyond)}
	if len(o.filter) == 0 {
		return in, nil
	}
	text, err := encodeIntent(in)
	if err != nil {
		return in, err
	}
	var whole map[string]any
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return in, err
	}
	var rules []any
	for _, f := range o.filter {
		var rule any
		if err := yaml.Unmarshal([]byte(f), &rule); err != nil {
			return in, fmt.Errorf("--filter %q: %w", f, err)
		}
		rules = append(rules, rule)
	}
	whole["spec"].(map[string]any)["filter"] = rules
	if text, err = yaml.Marshal(whole); err != nil {
		return in, err
	}
	read, err := inventory.LoadIntents([]string{"-"}, inventory.Options{Stdin: bytes.NewReader(text)})
	var found models.Findings
	if errors.As(err, &found) {
		var texts []string
		for _, f := range found {
			texts = append(texts, fmt.Sprintf("--filter: %s: %s", strings.TrimPrefix(f.Field, "spec."), f.Message))
		}
		return in, errors.New(strings.Join(texts, "\n"))
	}
	if err != nil || len(read) != 1 {
		return in, fmt.Errorf("--filter: %w", err)
	}
	in.Spec.Filter = read[0].Spec.Filter
	return in, nil
}

// captureFile is where a capture goes.
type captureFile struct {
	name string // "-" for standard output
	w    io.Writer
	file *os.File // nil for standard output
	ours bool     // made here
}

// open makes the file; only its owner may read it. One that is there is not written
// over, but for a pipe or a device.
func (o captureOptions) open(stdout io.Writer, src string) (*captureFile, error) {
	f := &captureFile{name: o.file, w: stdout}
	if f.name == "-" {
		if isTerminal(stdout) {
			return nil, errors.New("-w - writes a capture to standard output, which is a terminal: pipe it to a reader such as tshark -r -")
		}
		return f, nil
	}
	if f.name == "" {
		clean := strings.Map(func(r rune) rune {
			if strings.ContainsRune(`/\: `, r) || r < ' ' {
				return '-'
			}
			return r
		}, src)
		f.name = fmt.Sprintf("%s-%s.pcapng", clean, time.Now().Format("20060102-150405"))
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if info, err := os.Stat(f.name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		flags = os.O_WRONLY
	}
	file, err := os.OpenFile(f.name, flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("-w: %s is there already; nothing was written over it", f.name)
	}
	if err != nil {
		return nil, fmt.Errorf("-w: %w", err)
	}
	f.file, f.w, f.ours = file, file, flags&os.O_EXCL != 0
	return f, nil
}

func (f *captureFile) says() string {
	if f.name == "-" {
		return "standard output"
	}
	return f.name
}

func (f *captureFile) close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// discard takes the file away again: nothing was captured.
func (f *captureFile) discard() error {
	if !f.ours {
		return f.close()
	}
	return errors.Join(f.close(), os.Remove(f.name))
}
