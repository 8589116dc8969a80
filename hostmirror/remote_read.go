package hostmirror

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/hostmirror/iproute"
	"github.com/spanctl/spanctl/hostmirror/linknl"
	"github.com/spanctl/spanctl/hostmirror/tcnl"
)

// knowScript asks for what does not change while a connection stands.
const knowScript = `
uname -n; m hostname
uname -r; m release
id -u; m uid
tc -V 2>&1; m version`

// readScript asks for the rest of a snapshot. Devices come last, so that a device that
// was made meanwhile is known, and one that went is gone.
const readScript = `
q=$(tc qdisc show); s=$?; printf '%s\n' "$q"; (exit $s); m qdiscs
printf '%s\n' "$q" | while read -r w k h d n r; do
	[ "$w $d" = "qdisc dev" ] || continue
	case $k in clsact) l="ingress egress";; ingress) l=ingress;; *) continue;; esac
	for x in $l; do tc -s filter show dev "$n" $x </dev/null; m filters "$n" $x; done
done
bridge -j fdb show; m fdb
ip -j -d addr show; m links
`

// marking is the shell function that writes a line after what a command has printed: the
// mark, its exit status and what it was.
func marking(mark string) string {
	return fmt.Sprintf(`m() { s=$?; printf '\n%s %%s %%s\n' "$s" "$*"; }; printf '\n%s begin\n'; `, mark, mark)
}

// section is what one command printed.
type section struct {
	name   []string // what it was: a word, of filters also device and hook
	status int
	text   string
}

// sections takes apart what a script with marks printed. What comes before the first
// mark, the greeting of a shell, is left out.
func sections(mark, out string) ([]section, error) {
	_, rest, ok := strings.Cut("\n"+out, "\n"+mark+" begin\n")
	if !ok {
		return nil, errors.New("the login's shell did not run a command")
	}
	var all []section
	for rest != "" {
		text, after, ok := strings.Cut("\n"+rest, "\n"+mark+" ")
		if !ok {
			return nil, fmt.Errorf("the answer ends in the middle of %q", firstWords(rest))
		}
		line, after, ok := strings.Cut(after, "\n")
		words := strings.Fields(line)
		if !ok || len(words) < 2 {
			return nil, fmt.Errorf("the answer ends in the middle of %q", line)
		}
		status, err := strconv.Atoi(words[0])
		if err != nil {
			return nil, fmt.Errorf("the answer has the mark %q", line)
		}
		text = strings.TrimPrefix(text, "\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		all = append(all, section{name: words[1:], status: status, text: text})
		rest = after
	}
	return all, nil
}

// errMoved means that a device went away while the host was looked at.
var errMoved = errors.New("the host's devices change while they are looked at")

// read asks for everything in one message.
func (r *remoteAccess) read(ctx context.Context) (*snapshot, error) {
	var s *snapshot
	var err error
	for range 3 {
		if s, err = r.readOnce(ctx); !errors.Is(err, errMoved) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	r.last = s
	return s, nil
}

func (r *remoteAccess) readOnce(ctx context.Context) (*snapshot, error) {
	script := marking(r.mark) + readScript
	if r.known == nil {
		script = marking(r.mark) + knowScript + readScript
	}
	res, err := r.run.Run(ctx, shell(script))
	if err != nil {
		var te *transport.Error
		if errors.As(err, &te) {
			te.InDoubt = false // it only looked
		}
		return nil, err
	}
	all, err := sections(r.mark, res.Stdout)
	if err != nil {
		said := firstWords(res.Stderr)
		if said == "" {
			said = firstWords(res.Stdout)
		}
		return nil, &transport.Error{Kind: transport.Protocol, Reply: said, Err: err}
	}
	return r.parse(all, res.Stderr)
}

// looks are the commands that a look consists of, for messages.
var looks = map[string]string{
	"hostname": "uname -n", "release": "uname -r", "uid": "id -u", "version": "tc -V",
	"qdiscs": "tc qdisc show", "filters": "tc -s filter show", "fdb": "bridge -j fdb show", "links": "ip -j -d addr show",
}

var errNotWhole = errors.New("the answer is not whole")

// known is what does not change while a connection stands.
type known struct {
	hostname, release string
	version           string // of iproute2
	root              bool   // the login is root
}

// know reads the answer to knowScript.
func know(one map[string]section) (*known, error) {
	for _, what := range []string{"hostname", "release", "uid", "version"} {
		if x, ok := one[what]; !ok || x.status != 0 && what != "version" {
			return nil, &transport.Error{Kind: transport.Protocol, Step: &transport.Step{Text: looks[what]}, Err: errNotWhole}
		}
	}
	bad := func(err error, hint string) error {
		return &transport.Error{Kind: drivers.Unsupported, Step: &transport.Step{Text: looks["version"]},
			Reply: firstWords(one["version"].text), Hint: hint, Err: err}
	}
	version, cookies := iproute.Version(one["version"].text)
	switch {
	case one["version"].status == 127:
		return nil, bad(errors.New("there is no tc command"), needIproute)
	case version == "":
		return nil, bad(errors.New("the tc command is not that of iproute2"), needIproute)
	case !cookies:
		return nil, bad(fmt.Errorf("iproute2 %s cannot mark what is ours", version), "install iproute2 4.12 or later on the host")
	}
	return &known{firstWords(one["hostname"].text), firstWords(one["release"].text), version, firstWords(one["uid"].text) == "0"}, nil
}

// parse makes a snapshot of what the commands printed.
func (r *remoteAccess) parse(all []section, stderr string) (*snapshot, error) {
	one := make(map[string]section)
	for _, x := range all {
		one[x.name[0]] = x
	}
	failed := func(what string, kind transport.Kind, hint string, err error) error {
		return &transport.Error{Kind: kind, Step: &transport.Step{Text: looks[what]}, Reply: firstWords(stderr), Hint: hint, Err: err}
	}
	malformed := func(what string, err error) error {
		return &transport.Error{Kind: transport.Protocol, Step: &transport.Step{Text: looks[what]}, Err: err}
	}
	if r.known == nil {
		known, err := know(one)
		if err != nil {
			return nil, err
		}
		r.known = known
	}
	for _, what := range []string{"qdiscs", "links"} {
		x, ok := one[what]
		switch {
		case !ok:
			return nil, malformed(what, errNotWhole)
		case x.status == 127 || x.status != 0 && what == "links":
			return nil, failed(what, drivers.Unsupported, needIproute, &exitError{status: x.status})
		case x.status != 0:
			return nil, failed(what, transport.Rejected, "", &exitError{x.status, errnoOf(stderr)})
		}
	}
	s := &snapshot{hostname: r.known.hostname, release: r.known.release, tools: "iproute2 " + r.known.version}
	links, addrs, err := iproute.Links(one["links"].text)
	if err != nil {
		return nil, malformed("links", err)
	}
	names := make(iproute.Names)
	for _, l := range links {
		names[l.Name] = l.Index
	}
	var neighs []tcnl.Neigh
	switch x := one["fdb"]; {
	case x.status == 0:
		if neighs, err = iproute.Neighs(x.text, names); err != nil {
			return nil, malformed("fdb", err)
		}
	case bridged(links):
		// Without it a port that carries traffic could pass for a free one.
		return nil, failed("fdb", drivers.Unsupported, "install the bridge command of iproute2 on the host (of OpenWrt: ip-bridge)", &exitError{status: x.status})
	}
	s.setLinks(links, addrs, neighs)
	if s.qdiscs, err = iproute.Qdiscs(one["qdiscs"].text, names); err != nil {
		return nil, malformed("qdiscs", err)
	}
	for _, x := range all {
		if x.name[0] != "filters" || len(x.name) != 3 {
			continue
		}
		index := names[x.name[1]]
		if index == 0 {
			continue // it is gone since
		}
		if x.status != 0 {
			if errnoOf(stderr) == syscall.ENODEV {
				return nil, &transport.Error{Kind: transport.Busy, Err: errMoved, Hint: "try again later"}
			}
			return nil, failed("filters", transport.Rejected, "", fmt.Errorf("%s %s: %w", x.name[1], x.name[2], &exitError{status: x.status}))
		}
		filters, err := iproute.Filters(x.text, index, hookWords[x.name[2]], names)
		if err != nil {
			return nil, malformed("filters", fmt.Errorf("%s %s: %w", x.name[1], x.name[2], err))
		}
		s.filters = append(s.filters, filters...)
	}
	if err := whole(s, all, names); err != nil {
		return nil, malformed("filters", err)
	}
	return s, nil
}

var hookWords = map[string]tcnl.Hook{"ingress": tcnl.Ingress, "egress": tcnl.Egress}

// whole looks whether the filters of all hooks were told.
func whole(s *snapshot, all []section, names iproute.Names) error {
	told := make(map[point]bool)
	for _, x := range all {
		if x.name[0] == "filters" && len(x.name) == 3 {
			told[point{names[x.name[1]], hookWords[x.name[2]]}] = true
		}
	}
	for _, q := range s.qdiscs {
		if (q.Kind == "clsact" || q.Kind == "ingress") && !told[point{q.Ifindex, tcnl.Ingress}] || q.Kind == "clsact" && !told[point{q.Ifindex, tcnl.Egress}] {
			l, _ := s.byIndex(q.Ifindex)
			return fmt.Errorf("the filters of %s are not told", l.name)
		}
	}
	return nil
}

func bridged(links []tcnl.Link) bool {
	for _, l := range links {
		if l.Kind == "bridge" {
			return true
		}
	}
	return false
}

// probe asks the kernel in a network namespace of its own, as the local probe does:
// root's by right, another login's where the host lets users have namespaces. Where
// there is none, all classifiers are taken to be there, and Apply finds out. Links are
// not made by a shell.
func (r *remoteAccess) probe(ctx context.Context, prefer []string) classifiers {
	out := r.probeFilters(ctx, prefer)
	out.noLinks = make(map[string]string)
	for _, word := range linknl.TypeWords() {
		out.noLinks[word] = "on a host that is reached by ssh no interface is made: make one by hand and name it as the destination"
	}
	return out
}

func (r *remoteAccess) probeFilters(ctx context.Context, prefer []string) classifiers {
	unknown := classifiers{usable: append([]string(nil), prefer...)}
	const add, to = "tc filter add dev lo ingress pref %d protocol all %s ", "action mirred egress mirror dev lo continue 2>&1; m %s\n"
	script := marking(r.mark) + "tc qdisc add dev lo clsact 2>&1; m clsact\n"
	for i, kind := range prefer {
		script += fmt.Sprintf(add+to, i+1, selectors[kind], kind)
		script += fmt.Sprintf(add+"action gact continue random determ pipe 2 "+to, len(prefer)+i+1, selectors[kind], "sample/"+kind)
	}
	res, err := r.run.Run(ctx, shell(`[ "$(id -u)" = 0 ] && n=-n || n=-rn; exec unshare $n /bin/sh -c `+quote(script)))
	if err != nil {
		return unknown
	}
	all, err := sections(r.mark, res.Stdout)
	if err != nil || len(all) == 0 || all[0].status != 0 {
		return unknown
	}
	lacks := make(map[string]string)
	for _, x := range all {
		if errno := errnoOf(x.text); x.status != 0 && (errno == syscall.ENOENT || errno == syscall.EOPNOTSUPP) {
			lacks[x.name[0]] = firstWords(x.text)
		}
	}
	var out classifiers
	for _, kind := range prefer {
		if why, no := lacks[kind]; no {
			out.why = append(out.why, kind+": "+why)
			continue
		}
		out.usable = append(out.usable, kind)
	}
	if kind, ok := out.best(); ok {
		out.noSample = lacks["sample/"+kind]
	}
	return out
}
