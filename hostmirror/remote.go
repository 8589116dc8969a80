package hostmirror

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/bpfcopy"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// OpenRemote opens the host at the other end of run, where iproute2 is installed and
// spanctl need not be. The Mirror closes run. The namespace is the one that the login's
// commands run in; o.Namespace must be "".
//
// Looking needs no privilege; changing needs root, or o.Sudo. A look costs one round
// trip, and so does a step.
func OpenRemote(ctx context.Context, o Options, run transport.Runner) (*Mirror, error) {
	if o.Namespace != "" {
		return nil, fmt.Errorf("hostmirror: device %s: the namespace %s of another host cannot be entered", o.Device, o.Namespace)
	}
	nonce := make([]byte, 8)
	_, _ = rand.Read(nonce) // never fails
	m, err := open(ctx, o, func() (access, error) {
		return &remoteAccess{run: run, sudo: o.Sudo, mark: "@" + hex.EncodeToString(nonce)}, nil
	})
	if err == nil {
		m.classifiers.noLinks = noLinksAtAll()
		m.support() // there are no programs, which the capabilities are to say from the start
	}
	return m, err
}

// remoteAccess is the access to the namespace of a shell: iproute2's commands, one
// message to the shell for each look and each step.
type remoteAccess struct {
	run  transport.Runner
	sudo bool
	mark string // begins the lines between what commands print

	last   *snapshot // the last look; nil before
	known  *known    // nil before the first look
	silent error     // the host did not answer to a way back
}

var _ access = (*remoteAccess)(nil)

func (r *remoteAccess) close() error { return r.run.Close() }

// paths are where the commands are on hosts whose logins have a short PATH.
const paths = `PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export PATH; `

// wayBackWithin bounds one way back, which is taken also when the caller's ctx has
// ended.
const wayBackWithin = 4 * time.Second

// shell makes a command of a script for the POSIX shell, whatever shell the login has.
func shell(script string) string { return "/bin/sh -c " + quote(paths+script) }

// privileged puts what gives the rights in front of a step.
func (r *remoteAccess) privileged(step string) string {
	if r.sudo {
		return "sudo -n " + step
	}
	return step
}

// send sends a step as it is, and what has to be true before it.
func (r *remoteAccess) send(ctx context.Context, guard, step string) error {
	command := r.privileged(step)
	if guard != "" {
		command = shell(guard) + " && " + command
	}
	res, err := r.run.Run(ctx, command)
	if err != nil {
		return err
	}
	if res.Status == 0 {
		return nil
	}
	return r.refused(res)
}

// Exit statuses of guards. No command of iproute2 and no shell uses them.
const (
	statusGone  = 77
	statusOther = 78
)

// exitError is how a command ended, with the errno that stands for what it said.
type exitError struct {
	status int
	errno  syscall.Errno // 0 = none
}

func (e *exitError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func (e *exitError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

// sayings are what tc, the kernel through it, and sudo say, by what it means. The first
// that is found counts.
var sayings = []struct {
	text  string
	errno syscall.Errno
}{
	{"Cannot find device", syscall.ENODEV},
	{"Operation not permitted", syscall.EPERM},
	{"Permission denied", syscall.EPERM},
	{"sudo:", syscall.EPERM},
	{"TC classifier not found", syscall.ENOENT},
	{"Failed to load TC action module", syscall.ENOENT},
	{"Unknown filter", syscall.ENOENT}, // of tc itself, built without it
	{"Unknown action", syscall.ENOENT},
	{"Operation not supported", syscall.EOPNOTSUPP},
	{"Device or resource busy", syscall.EBUSY},
}

func errnoOf(said string) syscall.Errno {
	for _, s := range sayings {
		if strings.Contains(said, s.text) {
			return s.errno
		}
	}
	return 0
}

// refused makes an error of a command that ended with another status than 0.
func (r *remoteAccess) refused(res transport.Result) error {
	switch res.Status {
	case statusGone:
		return errGone
	case statusOther:
		return errOther
	}
	e := &transport.Error{Kind: transport.Rejected, Reply: firstWords(res.Stderr)}
	exit := &exitError{res.Status, errnoOf(res.Stderr)}
	e.Err = exit
	switch {
	case exit.errno == syscall.EPERM && r.sudo:
		e.Kind, e.Hint = transport.Auth, "let the login run tc by sudo without a password"
	case exit.errno == syscall.EPERM, !r.sudo && res.Status == 127 && r.known != nil && !r.known.root:
		e.Kind, e.Hint = transport.Auth, "changing filters needs root: log in as root, or set become: sudo for the device"
	case res.Status == 127:
		e.Kind, e.Hint = drivers.Unsupported, needIproute
	case exit.errno == syscall.EBUSY:
		e.Kind = transport.Busy
	}
	return e
}

const needIproute = "install iproute2 on the host (of OpenWrt: ip-full or ip-tiny, and tc-full or tc-tiny)"

// firstWords gives the first line that says something.
func firstWords(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}

// do sends one operation as its text. Before a delete, the host's shell looks whether
// the filter is still the one that is meant, in the same message.
func (r *remoteAccess) do(ctx context.Context, o operation) (func(context.Context) error, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch o.Verb {
	case addQdisc:
		err := r.send(ctx, "", o.String())
		if err == nil || inDoubt(err) || !r.hasClsact(ctx, o.Dev) {
			return nil, err
		}
		return nil, nil // somebody was quicker
	case addFilter:
		err := r.send(ctx, "", o.String())
		if err != nil && !inDoubt(err) {
			return nil, err
		}
		return r.wayBack(func(ctx context.Context) error { return r.removeIfThere(ctx, o) }), err
	case delFilter:
		f, err := r.find(o)
		if err != nil {
			return nil, err
		}
		err = r.send(ctx, guardOf(o), o.String())
		if err != nil && !inDoubt(err) {
			return nil, err
		}
		back := r.wayBack(func(ctx context.Context) error { return r.restoreIfGone(ctx, o, f) })
		if err == nil {
			err = r.tidy(ctx, o)
		}
		return back, err
	default:
		if _, link := o.linkText(); link {
			return nil, noLinks{}
		}
		if o.Verb.program() {
			return nil, noPrograms{}
		}
		return nil, fmt.Errorf("%w: %q is not done on a host that is reached by a shell", drivers.ErrUnsupported, o.Verb)
	}
}

// noLinks is why no links are made on remote hosts: a kind of ErrUnsupported.
type noLinks struct{}

func (noLinks) Error() string {
	return notWritten + "on a host that is reached by a shell no links are made; make one by hand and name it as the destination"
}

func (noLinks) Unwrap() error { return drivers.ErrUnsupported }

// noLinksAtAll gives the reason for every type of links.
func noLinksAtAll() map[string]string {
	out := make(map[string]string)
	for _, word := range linknl.TypeWords() {
		out[word] = noLinks{}.Error()
	}
	return out
}

// route refuses tunnels.
func (r *remoteAccess) route(context.Context, netip.Addr, netip.Addr) (linknl.Route, error) {
	return linknl.Route{}, noLinks{}
}

// noPrograms is why there are no programs on remote hosts: a kind of ErrUnsupported.
type noPrograms struct{}

func (noPrograms) Error() string {
	return "BPF programs are made by spanctl on the host itself; no command of tc makes them"
}

func (noPrograms) Unwrap() error { return drivers.ErrUnsupported }

// support says that there are no programs on remote hosts.
func (r *remoteAccess) support() bpfcopy.Support { return bpfcopy.Support{Err: noPrograms{}} }

// change refuses programs.
func (r *remoteAccess) change(context.Context, []operation) (func(context.Context) error, error) {
	return nil, noPrograms{}
}

// wayBack bounds a way back in time. A host that was silent on one is not asked again.
func (r *remoteAccess) wayBack(f func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if r.silent != nil {
			return r.silent
		}
		ctx, cancel := context.WithTimeout(ctx, wayBackWithin)
		defer cancel()
		err := f(ctx)
		if ctx.Err() != nil {
			r.silent = err
		}
		return err
	}
}

func (r *remoteAccess) hasClsact(ctx context.Context, dev string) bool {
	s, err := r.read(ctx)
	if err != nil {
		return false
	}
	l, ok := s.byName(dev)
	return ok && s.hasQdisc(l.index, "clsact")
}

// find finds the filter that a delete is about in the last look.
func (r *remoteAccess) find(o operation) (tcnl.Filter, error) {
	if r.last == nil {
		return tcnl.Filter{}, errGone
	}
	dev, ok := r.last.byName(o.Dev)
	if !ok {
		return tcnl.Filter{}, fmt.Errorf("interface %s: %w", o.Dev, syscall.ENODEV)
	}
	return find(r.last.on(dev.index, o.Hook), o, dev.index)
}

// place says where a filter is, as tc does.
func (o operation) place() string {
	chain := ""
	if o.Chain != 0 {
		chain = fmt.Sprintf(" chain %d", o.Chain)
	}
	return fmt.Sprintf("dev %s %s%s pref %d protocol %s", quote(o.Dev), o.Hook, chain, o.Priority, protocolText(o.Protocol))
}

// guardOf looks whether the filter that o deletes is there and has its cookie.
func guardOf(o operation) string {
	return fmt.Sprintf(`f=$(tc filter get %s handle %s %s) || exit %d; case $f in *"cookie %s"*) ;; *) exit %d;; esac`,
		o.place(), handleText(o.Kind, o.Handle), o.Kind, statusGone, o.Cookie, statusOther)
}

// removeIfThere takes back a filter that was made, or may have been.
func (r *remoteAccess) removeIfThere(ctx context.Context, o operation) error {
	s, err := r.read(ctx)
	if err != nil {
		return err
	}
	dev, _ := s.byName(o.Dev)
	for _, f := range s.on(dev.index, o.Hook) {
		mk, ours := markOf(f)
		if !ours || f.Priority != o.Priority || f.Kind != o.Kind || mk.cookie() != o.Cookie {
			continue
		}
		del := operation{
			Verb: delFilter, Dev: o.Dev, Hook: o.Hook, Chain: f.Chain, Priority: f.Priority, Protocol: f.Protocol,
			Kind: f.Kind, Handle: f.Handle, Cookie: o.Cookie,
		}
		if err := r.send(ctx, guardOf(del), del.String()); err != nil {
			return err
		}
		return r.tidy(ctx, del)
	}
	return nil
}

// restoreIfGone makes a filter anew that was deleted, or may have been.
func (r *remoteAccess) restoreIfGone(ctx context.Context, o operation, f tcnl.Filter) error {
	s, err := r.read(ctx)
	if err != nil {
		return err
	}
	for _, g := range s.on(f.Ifindex, f.Hook) {
		if g.ID == f.ID {
			return nil
		}
	}
	target, oneIn, ok := f.Copies()
	to, there := s.byIndex(target)
	if !ok || !there || o.Chain != 0 || o.Protocol != tcnl.ProtocolAll {
		return fmt.Errorf("the filter pref %d did not copy as spanctl makes it, and is not made again", f.Priority)
	}
	add := operation{
		Verb: addFilter, Dev: o.Dev, Hook: o.Hook, Priority: o.Priority, Protocol: o.Protocol, Kind: o.Kind,
		Target: to.name, Cookie: o.Cookie, Program: f.Program, OneIn: oneIn,
	}
	return r.send(ctx, "", add.String())
}

// tidy takes away the empty table that a deleted u32 filter can leave behind.
func (r *remoteAccess) tidy(ctx context.Context, o operation) error {
	if o.Kind != tcnl.U32 {
		return nil
	}
	s, err := r.read(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	dev, _ := s.byName(o.Dev)
	for _, id := range s.residue() {
		if id.Ifindex == dev.index && id.Hook == o.Hook && id.Priority == o.Priority {
			return r.clean(context.WithoutCancel(ctx), []tcnl.ID{id})
		}
	}
	return nil
}

// clean removes empty tables of u32, each only while tc lists no filter in it. What the
// kernel can do is for a whole priority only.
func (r *remoteAccess) clean(ctx context.Context, residue []tcnl.ID) error {
	done := make(map[string]bool)
	for _, id := range residue {
		dev, ok := r.last.byIndex(id.Ifindex)
		if !ok {
			continue
		}
		at := operation{Dev: dev.name, Hook: id.Hook, Chain: id.Chain, Priority: id.Priority, Protocol: id.Protocol}.place()
		if done[at] {
			continue // its other table
		}
		done[at] = true
		guard := fmt.Sprintf(`f=$(tc filter show %s) || exit %d; case $f in *" order "*) exit %d;; esac`, at, statusGone, statusOther)
		err := r.send(ctx, guard, "tc filter del "+at+" u32")
		if err != nil && !errors.Is(err, errGone) && !errors.Is(err, errOther) {
			return err
		}
	}
	return nil
}
