package ovs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/transport"
	"github.com/spanctl/spanctl/models"
)

// defaultBridge is what is written where no host was asked: the name that the manuals
// use.
const defaultBridge = "br0"

// noPurge is said where a change is refused for it.
const noPurge = "the login may not use ovs-appctl, and without it cached flows would go on copying after a mirror is gone: give it the right to use the socket of ovs-vswitchd"

// Render writes cs as one ovs-vsctl, which the database takes as a whole or not at all,
// and the order to forget cached flows. There is no way back by itself.
func (d Dialect) Render(cs models.ChangeSet, o drivers.RenderOptions) (transport.Script, error) {
	script := transport.Script{Encoding: transport.CLI}
	if cs.Empty() {
		return script, nil
	}
	if o.Facts.HasTrait(noAppctl) {
		return transport.Script{}, fmt.Errorf("%w: %s", drivers.ErrUnsupported, noPurge)
	}
	w := writer{facts: o.Facts, ids: make(map[string]string)}
	for _, c := range cs.Changes {
		if err := w.change(c); err != nil {
			return transport.Script{}, err
		}
	}
	lines := append([]string{"ovs-vsctl --timeout=10"}, w.commands...)
	script.Steps = []transport.Step{{
		Phase: transport.Commit, Session: w.session,
		Text: strings.Join(lines, " \\\n  -- ") + " \\\n  && ovs-appctl --timeout=10 revalidator/purge",
	}}
	return script, nil
}

// writer gathers the commands of one transaction.
type writer struct {
	facts    models.Facts
	commands []string
	session  string            // the first one, for messages
	ids      map[string]string // @NAME of rows that were looked up, by what was looked up
}

// add appends a command of ovs-vsctl.
func (w *writer) add(args ...string) {
	for i := range args {
		args[i] = shellWord(args[i])
	}
	w.commands = append(w.commands, strings.Join(args, " "))
}

// fresh gives a new @NAME.
func (w *writer) fresh(kind string) string {
	id := fmt.Sprintf("@%s%d", kind, len(w.ids))
	w.ids[id] = id
	return id
}

// port gives the @NAME of an existing port.
func (w *writer) port(name string) string {
	if id, ok := w.ids["port "+name]; ok {
		return id
	}
	id := fmt.Sprintf("@p%d", len(w.ids))
	w.ids["port "+name] = id
	w.add("--id="+id, "get", "Port", name)
	return id
}

func (w *writer) change(c models.Change) error {
	s := c.Session()
	if s == nil {
		return fmt.Errorf("change %q has no session", c.Op)
	}
	if w.session == "" {
		w.session = s.Name
	}
	switch {
	case c.Op == models.Create && c.After != nil:
		return w.create(*c.After)
	case c.Op == models.Delete && c.Before != nil:
		return w.delete(*c.Before)
	case c.Op == models.Update && c.Before != nil && c.After != nil && c.Before.Name == c.After.Name:
		if err := w.delete(*c.Before); err != nil {
			return err
		}
		return w.create(*c.After)
	}
	return fmt.Errorf("change %q lacks a side or renames a session", c.Op)
}

func unsupported(s models.Session, format string, args ...any) error {
	return fmt.Errorf("%w: session %q: %s", drivers.ErrUnsupported, s.Name, fmt.Sprintf(format, args...))
}

// create makes a mirror, and the port of its tunnel.
func (w *writer) create(s models.Session) error {
	if bad := unsayable(s); len(bad.all()) > 0 {
		return unsupported(s, "%s", strings.Join(bad.all(), "; "))
	}
	bridge, err := w.bridge(s)
	if err != nil {
		return err
	}
	var set []string // columns of the mirror
	ports := map[models.Direction][]string{}
	var vlans []models.Range
	remote := false
	for _, src := range s.Sources {
		switch src.Kind {
		case models.SourceVLAN, models.SourceRemoteVLAN:
			vlans = append(vlans, models.One(src.VLAN))
			remote = remote || src.Kind == models.SourceRemoteVLAN
		default:
			id := w.port(src.Name)
			for _, d := range []models.Direction{models.Rx, models.Tx} {
				if src.Direction.Has(d) {
					ports[d] = append(ports[d], id)
				}
			}
		}
	}
	if len(vlans) > 0 {
		set = append(set, "select_all=true")
	}
	if ids := ports[models.Rx]; len(ids) > 0 {
		set = append(set, "select_src_port="+strings.Join(ids, ","))
	}
	if ids := ports[models.Tx]; len(ids) > 0 {
		set = append(set, "select_dst_port="+strings.Join(ids, ","))
	}
	if vlans = append(models.MergeRanges(vlans), filterVLANs(s.Filter)...); len(vlans) > 0 {
		set = append(set, "select_vlan="+vlanList(vlans))
	}
	switch s.Destination.Kind {
	case models.DestinationPort:
		set = append(set, "output_port="+w.port(s.Destination.Ports[0]))
	case models.DestinationRemoteVLAN:
		set = append(set, "output_vlan="+strconv.Itoa(int(s.Destination.VLAN)))
	case models.DestinationUnset:
	default:
		set = append(set, "output_port="+w.tunnel(s, bridge))
	}
	if s.TruncateTo > 0 {
		set = append(set, "snaplen="+strconv.Itoa(int(s.TruncateTo)))
	}
	set = append(set, setting("external_ids", mark, s.Name))
	if remote {
		set = append(set, setting("external_ids", rspanMark, "true"))
	}
	for _, line := range s.Extra {
		if !tunnelExtra.MatchString(line) {
			set = append(set, line)
		}
	}
	id := w.fresh("m")
	w.add(append([]string{"--id=" + id, "create", "Mirror", "name=" + atomText(s.Name)}, set...)...)
	w.add("add", "Bridge", bridge, "mirrors", id)
	return nil
}

// vlanList gives VLANs as values: ranges are spelled out, since older releases do not
// take them.
func vlanList(rs []models.Range) string {
	var out []string
	for _, r := range rs {
		for v := int(r.First); v <= int(r.Last); v++ {
			out = append(out, strconv.Itoa(v))
		}
	}
	return strings.Join(out, ",")
}

// tunnel makes the port of a session's tunnel and gives its @NAME.
func (w *writer) tunnel(s models.Session, bridge string) string {
	name := tunnelPort(s.Name)
	changed := make(map[string]string) // by hand: put back as it was
	for _, line := range s.Extra {
		if m := tunnelExtra.FindStringSubmatch(line); m != nil {
			changed[m[1]] = m[2]
		}
	}
	args := []string{"set", "Interface", name, "type=" + tunnelType(s.Destination), setting("external_ids", mark, s.Name)}
	for _, o := range tunnelOptions(s) {
		if _, ok := changed[o.key]; !ok {
			args = append(args, setting("options", o.key, o.value))
		}
	}
	for _, line := range s.Extra {
		if m := tunnelExtra.FindStringSubmatch(line); m != nil && m[2] != `""` {
			args = append(args, "options:"+m[1]+"="+m[2])
		}
	}
	w.add("add-port", bridge, name, "--", "set", "Port", name, setting("external_ids", mark, s.Name))
	w.add(args...)
	id := w.fresh("t")
	w.add("--id="+id, "get", "Port", name)
	return id
}

// delete takes a mirror out of its bridge, which is its end, and removes the port of
// its tunnel. Names of ours are removed only while they carry the mark: reading it
// makes it a condition of the transaction.
func (w *writer) delete(s models.Session) error {
	if !isName(s.Name) {
		return unsupported(s, "the name cannot be written")
	}
	bridge, err := w.bridge(s)
	if err != nil {
		return err
	}
	id := w.fresh("m")
	get := []string{"--id=" + id, "get", "Mirror", s.Name}
	if strings.HasPrefix(s.Name, ownPrefix) {
		get = append(get, "external_ids:"+mark)
	}
	w.add(get...)
	w.add("remove", "Bridge", bridge, "mirrors", id)
	switch s.Destination.Kind {
	case models.DestinationERSPAN, models.DestinationGRE, models.DestinationVXLAN:
		name := tunnelPort(s.Name)
		w.add("get", "Port", name, "external_ids:"+mark)
		w.add("del-port", bridge, name)
	}
	return nil
}

// bridge gives the bridge of a session: where its mirror is, else where its ports are,
// else the only one.
func (w *writer) bridge(s models.Session) (string, error) {
	var all []string
	at := make(map[string]string)
	for _, t := range w.facts.Traits {
		switch f := strings.Split(t, " "); {
		case len(f) == 2 && f[0] == traitBridge:
			all = append(all, f[1])
		case len(f) == 3 && (f[0] == traitPort || f[0] == traitMirror):
			at[f[0]+" "+f[1]] = f[2]
		}
	}
	switch len(all) {
	case 0:
		if w.facts.Traits != nil {
			return "", unsupported(s, "the host has no bridge")
		}
		return defaultBridge, nil
	case 1:
		return all[0], nil
	}
	if b, ok := at[traitMirror+" "+s.Name]; ok {
		return b, nil
	}
	found := ""
	ports := s.Destination.Ports
	for _, src := range s.Sources {
		if src.Name != "" {
			ports = append(ports[:len(ports):len(ports)], src.Name)
		}
	}
	for _, p := range ports {
		b := at[traitPort+" "+p]
		switch {
		case b == "":
			return "", unsupported(s, "port %s is of no bridge", p)
		case found != "" && found != b:
			return "", unsupported(s, "ports of the bridges %s and %s: a mirror is of one bridge; make an intent for each", found, b)
		}
		found = b
	}
	if found == "" {
		return "", unsupported(s, "it names no port, and the host has the bridges %s: name ports as sources, or a port as the destination", strings.Join(all, ", "))
	}
	return found, nil
}
