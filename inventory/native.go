package inventory

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/spanctl/spanctl/models"
)

// KindInventory is what an inventory file says in kind; apiVersion is
// models.APIVersion.
const KindInventory = "Inventory"

// The types of this file are spanctl's own inventory file. The JSON Schema is made
// from them; see decoder for the tags.

type inventoryFile struct {
	Node        *yaml.Node                `yaml:"-"`
	APIVersion  string                    `yaml:"apiVersion" jsonschema:"enum=spanctl/v1,description=Version of this format"`
	Kind        string                    `yaml:"kind" jsonschema:"enum=Inventory"`
	Topology    textList                  `yaml:"topology,omitempty" jsonschema:"description=containerlab topologies to take nodes and links from; relative names count from this file"`
	Credentials map[string]credentialSpec `yaml:"credentials,omitempty" jsonschema:"description=Logins by name"`
	JumpHosts   map[string]jumpSpec       `yaml:"jumpHosts,omitempty" jsonschema:"description=SSH hosts on the way to devices by name"`
	Defaults    *settings                 `yaml:"defaults,omitempty" jsonschema:"description=Settings of every device that neither itself nor its groups have"`
	Groups      map[string]groupSpec      `yaml:"groups,omitempty" jsonschema:"description=Settings by name for devices to share"`
	Devices     []deviceSpec              `yaml:"devices,omitempty" jsonschema:"description=Managed switches and hosts; one with the name of a topology node adds to it"`
	Sensors     []sensorSpec              `yaml:"sensors,omitempty" jsonschema:"description=Who receives copies"`
	External    []string                  `yaml:"external,omitempty" jsonschema:"description=Names of neighbours in links that spanctl does not manage"`
	Links       [][]string                `yaml:"links,omitempty" jsonschema:"description=Cables: two ends each written DEVICE:PORT"`
}

// settings are what devices, groups and defaults have in common.
type settings struct {
	Platform         string            `yaml:"platform,omitempty" jsonschema:"description=Network OS such as arista_eos"`
	Port             uint16            `yaml:"port,omitempty" jsonschema:"minimum=1,description=Port of the transport; absent: its standard port"`
	Transport        string            `yaml:"transport,omitempty" jsonschema:"enum=ssh,enum=netconf,enum=gnmi,enum=snmp,enum=local,description=How to talk to the device; absent: what the platform prefers"`
	Become           string            `yaml:"become,omitempty" jsonschema:"enum=sudo,description=How the login gets the rights to change a Linux host that is reached by ssh; absent: it has them. sudo: without a password"`
	Labels           map[string]string `yaml:"labels,omitempty" jsonschema:"description=For selectors of intents"`
	Credentials      *credentialRef    `yaml:"credentials,omitempty" jsonschema:"description=Name of a login of the credentials section or a login in place"`
	HostKey          *hostKeySpec      `yaml:"hostKey,omitempty" jsonschema:"description=How the SSH host key is checked"`
	Jump             string            `yaml:"jump,omitempty" jsonschema:"description=Name of a jump host"`
	LegacyAlgorithms *bool             `yaml:"legacyAlgorithms,omitempty" jsonschema:"description=Allow SSH algorithms of old switches that are weak today"`
	Timeouts         *timeoutSpec      `yaml:"timeouts,omitempty" jsonschema:"description=Limits in time"`
	Uplinks          []string          `yaml:"uplinks,omitempty" jsonschema:"description=Ports or ranges that lead to other switches: never a destination"`
	Ports            []string          `yaml:"ports,omitempty" jsonschema:"description=All ports of the device: others are refused. Absent: any port that its platform could have"`
}

type groupSpec struct {
	Node     *yaml.Node `yaml:"-"`
	Groups   []string   `yaml:"groups,omitempty" jsonschema:"description=Groups that this one takes settings from; the first that has one wins"`
	settings `yaml:",inline"`
}

type deviceSpec struct {
	Node         *yaml.Node `yaml:"-"`
	Name         string     `yaml:"name" jsonschema:"minLength=1,description=Unique name"`
	Address      string     `yaml:"address,omitempty" jsonschema:"description=IP address or host name; absent: the name"`
	Groups       []string   `yaml:"groups,omitempty" jsonschema:"description=Groups that it takes settings from; the first that has one wins"`
	TunnelSource netip.Addr `yaml:"tunnelSource,omitempty" jsonschema:"description=Outer source address of its tunnels"`
	settings     `yaml:",inline"`

	doc *document
}

type credentialSpec struct {
	Node       *yaml.Node `yaml:"-"`
	Username   userRef    `yaml:"username,omitempty" jsonschema:"description=The name itself or a reference"`
	Password   Reference  `yaml:"password,omitempty" jsonschema:"description=A reference"`
	KeyFile    string     `yaml:"keyFile,omitempty" jsonschema:"description=SSH private key; relative names count from this file"`
	Passphrase Reference  `yaml:"passphrase,omitempty" jsonschema:"description=Of the key: a reference"`
	Agent      bool       `yaml:"agent,omitempty" jsonschema:"description=Use the SSH agent"`
}

func (c credentialSpec) credential(name string, file string) Credential {
	return Credential{Name: name, Username: c.Username.Reference, Password: c.Password, Passphrase: c.Passphrase,
		KeyFile: absFile(file, c.KeyFile), Agent: c.Agent}
}

type hostKeySpec struct {
	Policy       string   `yaml:"policy,omitempty" jsonschema:"enum=strict,enum=accept-new,enum=ignore,description=strict: the key must be known. accept-new: the first one seen is remembered. ignore: for labs only. Absent: strict"`
	KnownHosts   string   `yaml:"knownHosts,omitempty" jsonschema:"description=Known-hosts file; relative names count from this file"`
	Fingerprints []string `yaml:"fingerprints,omitempty" jsonschema:"description=SHA256 fingerprints as ssh-keygen -l prints them; one must match"`
}

type timeoutSpec struct {
	Connect duration `yaml:"connect,omitempty" jsonschema:"description=Until the device has let us in"`
	Command duration `yaml:"command,omitempty" jsonschema:"description=Until a command has answered"`
}

type jumpSpec struct {
	Node        *yaml.Node     `yaml:"-"`
	Address     string         `yaml:"address" jsonschema:"minLength=1,description=IP address or host name"`
	Port        uint16         `yaml:"port,omitempty" jsonschema:"minimum=1,description=Port of its SSH server; absent: 22"`
	Credentials *credentialRef `yaml:"credentials,omitempty" jsonschema:"description=Name of a login of the credentials section or a login in place"`
	HostKey     *hostKeySpec   `yaml:"hostKey,omitempty" jsonschema:"description=How its SSH host key is checked"`
	Jump        string         `yaml:"jump,omitempty" jsonschema:"description=Jump host on the way to this one"`
}

type sensorSpec struct {
	Node      *yaml.Node            `yaml:"-"`
	Name      string                `yaml:"name" jsonschema:"minLength=1,description=Unique name"`
	Interface *models.InterfaceSpec `yaml:"interface,omitempty" jsonschema:"description=Port of a device that it hangs on"`
	Address   netip.Addr            `yaml:"address,omitempty" jsonschema:"description=Where tunnels end"`
	Accepts   []encapsulation       `yaml:"accepts,omitempty" jsonschema:"description=Tunnels that it takes apart; the best first. Absent: erspan2"`
	VRF       string                `yaml:"vrf,omitempty" jsonschema:"description=VRF in which devices reach the address"`
}

// encapsulation is a word of models.Sensor.Accepts.
type encapsulation string

var encapsulations = []string{"erspan1", "erspan2", "erspan3", "gre", "vxlan"}

// UnmarshalText reads a word of encapsulations.
func (e *encapsulation) UnmarshalText(b []byte) error {
	for _, w := range encapsulations {
		if string(b) == w {
			*e = encapsulation(w)
			return nil
		}
	}
	return fmt.Errorf("tunnel %q: want erspan1, erspan2, erspan3, gre or vxlan", b)
}

// duration reads "10s" or "2m"; it must be positive.
type duration time.Duration

// UnmarshalText reads a duration of Go's.
func (d *duration) UnmarshalText(b []byte) error {
	t, err := time.ParseDuration(string(b))
	if err != nil || t <= 0 {
		return fmt.Errorf("duration %q: want one such as 10s or 2m", b)
	}
	*d = duration(t)
	return nil
}

// textList is one text or a list of them.
type textList []string

func (l *textList) decodeNode(d *decoder, n *yaml.Node, p *path) {
	if n.Kind == yaml.ScalarNode {
		var s string
		d.at(n, &s, p)
		*l = textList{s}
		return
	}
	d.at(n, (*[]string)(l), p)
}

// credentialRef is the name of a login, or a login in place.
type credentialRef struct {
	name string
	node *yaml.Node
	spec credentialSpec
	file string
}

func (c *credentialRef) decodeNode(d *decoder, n *yaml.Node, p *path) {
	c.node, c.file = n, d.doc.file
	if n.Kind == yaml.ScalarNode {
		d.at(n, &c.name, p)
		return
	}
	d.at(n, &c.spec, p)
}

// userRef is a reference that may also be plain text: names of users are no
// secrets.
type userRef struct{ Reference }

func (u *userRef) decodeNode(d *decoder, n *yaml.Node, p *path) {
	if n.Kind == yaml.ScalarNode {
		var s string
		d.at(n, &s, p)
		u.Reference = Reference{Literal: NewSecret(s)}
		return
	}
	u.Reference.decodeNode(d, n, p)
}

type referenceSpec struct {
	Env     string       `yaml:"env,omitempty" jsonschema:"minLength=1,description=Name of an environment variable"`
	File    string       `yaml:"file,omitempty" jsonschema:"minLength=1,description=File that holds the secret and nothing else; relative names count from this file"`
	Command []string     `yaml:"command,omitempty" jsonschema:"minItems=1,description=Program and arguments; its output is the secret. No shell"`
	Timeout duration     `yaml:"timeout,omitempty" jsonschema:"description=Limit of the command; absent: 30s"`
	Keyring *keyringSpec `yaml:"keyring,omitempty" jsonschema:"description=Entry of the keyring of the operating system"`
}

type keyringSpec struct {
	Service string `yaml:"service" jsonschema:"minLength=1,description=Service of the entry"`
	User    string `yaml:"user" jsonschema:"minLength=1,description=User of the entry"`
}

func (r *Reference) decodeNode(d *decoder, n *yaml.Node, p *path) {
	if n.Kind == yaml.ScalarNode {
		if !d.plaintext {
			d.rulef(n, p, rulePlaintext, "a secret must not stand in the file: give {env: NAME}, {file: NAME}, {command: [...]} or {keyring: {...}}, or allow it with --allow-plaintext")
			return
		}
		*r = Reference{Literal: NewSecret(n.Value)} // a number too: an error would show it
		return
	}
	var s referenceSpec
	bad := len(d.found.list)
	d.at(n, &s, p)
	if len(d.found.list) > bad {
		return
	}
	given := 0
	for _, is := range []bool{s.Env != "", s.File != "", len(s.Command) > 0, s.Keyring != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		d.addf(n, p, "want exactly one of env, file, command, keyring")
		return
	case s.Timeout != 0 && len(s.Command) == 0:
		d.addf(n, p.child("timeout"), "is for commands only")
		return
	case len(s.Command) > 0 && s.Command[0] == "":
		d.addf(n, p.child("command"), "names no program")
		return
	}
	*r = Reference{Env: s.Env, File: absFile(d.doc.file, s.File), Command: s.Command, Timeout: time.Duration(s.Timeout)}
	if s.Keyring != nil {
		r.Service, r.User = s.Keyring.Service, s.Keyring.User
	}
	if r.File == "" {
		return
	}
	if fi, err := os.Stat(r.File); err == nil {
		if w := modeWarning(r.File, fi); w != "" {
			d.found.warn(d.doc.position(find(n, "file")), p.child("file").String(), ruleMode, "%s", w)
		}
	}
}
