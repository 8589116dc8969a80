package inventory

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// The types of this file are the keys of a containerlab topology file, complete as
// of srl-labs/containerlab commit 39ff2b7ccce20f3c4610fcbd1fc030582f4499c1
// (2026-08-21): core/config.go, types/*.go, links/*.go. containerlab decodes with
// yaml.v2 UnmarshalStrict, so a key that is not here is an error there too. Keys
// that mean nothing to spanctl are listed so that they are accepted, and typed so
// that a wrong value is seen.

type clabFile struct {
	Name     string        `yaml:"name"`
	Prefix   *string       `yaml:"prefix"`
	Mgmt     *clabMgmt     `yaml:"mgmt"`
	Settings *clabSettings `yaml:"settings"`
	Topology *clabTopology `yaml:"topology"`
	Debug    bool          `yaml:"debug"`
}

type clabMgmt struct {
	Network        string            `yaml:"network"`
	Bridge         string            `yaml:"bridge"`
	IPv4Subnet     string            `yaml:"ipv4-subnet"`
	IPv4Gw         string            `yaml:"ipv4-gw"`
	IPv4Range      string            `yaml:"ipv4-range"`
	IPv6Subnet     string            `yaml:"ipv6-subnet"`
	IPv6Gw         string            `yaml:"ipv6-gw"`
	IPv6Range      string            `yaml:"ipv6-range"`
	MTU            int               `yaml:"mtu"`
	ExternalAccess *bool             `yaml:"external-access"`
	SkipWhenUnused bool              `yaml:"skip-when-unused"`
	DriverOpts     map[string]string `yaml:"driver-opts"`
	OldIPv4Subnet  string            `yaml:"ipv4_subnet"`
	OldIPv6Subnet  string            `yaml:"ipv6_subnet"`
}

type clabSettings struct {
	CertificateAuthority *struct {
		Cert             string `yaml:"cert"`
		Key              string `yaml:"key"`
		KeySize          int    `yaml:"key-size"`
		ValidityDuration string `yaml:"validity-duration"`
	} `yaml:"certificate-authority"`
}

type clabTopology struct {
	Node     *yaml.Node           `yaml:"-"`
	Defaults *clabNode            `yaml:"defaults"`
	Kinds    map[string]*clabNode `yaml:"kinds"`
	Groups   map[string]*clabNode `yaml:"groups"`
	Nodes    map[string]*clabNode `yaml:"nodes"`
	Links    []clabLink           `yaml:"links"`
}

// clabNode is one level of a node's definition: defaults, kind, group or node.
type clabNode struct {
	Node *yaml.Node `yaml:"-"`

	Kind          string            `yaml:"kind"`
	Group         string            `yaml:"group"`
	Type          string            `yaml:"type"`
	Image         string            `yaml:"image"`
	MgmtIPv4      string            `yaml:"mgmt-ipv4"`
	MgmtIPv6      string            `yaml:"mgmt-ipv6"`
	Labels        map[string]string `yaml:"labels"`
	Env           map[string]string `yaml:"env"`
	StartupConfig string            `yaml:"startup-config"`
	NetworkMode   string            `yaml:"network-mode"`
	Ports         []string          `yaml:"ports"`
	Credentials   clabCredentials   `yaml:"credentials"`
	Components    []clabComponent   `yaml:"components"`
	OldUsername   string            `yaml:"username"`
	OldPassword   string            `yaml:"password"`

	// What follows is accepted and means nothing to spanctl.
	StartupDelay          uint              `yaml:"startup-delay"`
	EnforceStartupConfig  *bool             `yaml:"enforce-startup-config"`
	SuppressStartupConfig *bool             `yaml:"suppress-startup-config"`
	AutoRemove            *bool             `yaml:"auto-remove"`
	RestartPolicy         string            `yaml:"restart-policy"`
	Config                *clabConfig       `yaml:"config"`
	ImagePullPolicy       string            `yaml:"image-pull-policy"`
	License               string            `yaml:"license"`
	Position              string            `yaml:"position"`
	Hostname              string            `yaml:"hostname"`
	Entrypoint            string            `yaml:"entrypoint"`
	Cmd                   string            `yaml:"cmd"`
	Exec                  []string          `yaml:"exec"`
	Binds                 []string          `yaml:"binds"`
	Volumes               []string          `yaml:"volumes"`
	Devices               []string          `yaml:"devices"`
	CapAdd                []string          `yaml:"cap-add"`
	Privileged            *bool             `yaml:"privileged"`
	CgroupnsMode          string            `yaml:"cgroupns-mode"`
	CgroupParent          string            `yaml:"cgroup-parent"`
	PidMode               string            `yaml:"pid-mode"`
	Tmpfs                 map[string]string `yaml:"tmpfs"`
	SecurityOpts          []string          `yaml:"security-opts"`
	ShmSize               string            `yaml:"shm-size"`
	EnvFiles              []string          `yaml:"env-files"`
	User                  string            `yaml:"user"`
	Runtime               string            `yaml:"runtime"`
	CPU                   float64           `yaml:"cpu"`
	CPUSet                string            `yaml:"cpu-set"`
	Memory                string            `yaml:"memory"`
	Sysctls               map[string]string `yaml:"sysctls"`
	Extras                *clabExtras       `yaml:"extras"`
	Stages                *clabStages       `yaml:"stages"`
	DNS                   *clabDNS          `yaml:"dns"`
	Certificate           *clabCertificate  `yaml:"certificate"`
	HealthCheck           *clabHealthcheck  `yaml:"healthcheck"`
	Aliases               []string          `yaml:"aliases"`
	LinkApplyMode         string            `yaml:"link-apply-mode"`
}

type clabCredentials struct {
	Username     string `yaml:"username"`
	Password     Secret `yaml:"password"`
	IdentityFile string `yaml:"identity-file"`
}

type clabComponent struct {
	Slot string            `yaml:"slot"`
	Type string            `yaml:"type"`
	Env  map[string]string `yaml:"env"`
	SFM  string            `yaml:"sfm"`
	XIOM []struct {
		Slot int       `yaml:"slot"`
		Type string    `yaml:"type"`
		MDA  []clabMDA `yaml:"mda"`
	} `yaml:"xiom"`
	MDA []clabMDA `yaml:"mda"`
}

type clabMDA struct {
	Slot int    `yaml:"slot"`
	Type string `yaml:"type"`
}

type clabConfig struct {
	Vars map[string]any `yaml:"vars"`
}

type clabExtras struct {
	SRLAgents       []string `yaml:"srl-agents"`
	MysocketProxy   string   `yaml:"mysocket-proxy"`
	CeosCopyToFlash []string `yaml:"ceos-copy-to-flash"`
	K8sKind         *struct {
		Deploy *struct {
			Kubeconfig *string `yaml:"kubeconfig"`
			Wait       *string `yaml:"wait"`
		} `yaml:"deploy"`
	} `yaml:"k8s_kind"`
}

type clabStages struct {
	Create      *clabStage `yaml:"create"`
	CreateLinks *clabStage `yaml:"create-links"`
	Configure   *clabStage `yaml:"configure"`
	Healthy     *clabStage `yaml:"healthy"`
	Exit        *clabStage `yaml:"exit"`
}

type clabStage struct {
	WaitFor []struct {
		Node  string `yaml:"node"`
		Stage string `yaml:"stage"`
	} `yaml:"wait-for"`
	Exec []struct {
		Command string `yaml:"command"`
		Target  string `yaml:"target"`
		Phase   string `yaml:"phase"`
	} `yaml:"exec"`
}

type clabDNS struct {
	Servers []string `yaml:"servers"`
	Options []string `yaml:"options"`
	Search  []string `yaml:"search"`
}

type clabCertificate struct {
	Issue            *bool    `yaml:"issue"`
	KeySize          int      `yaml:"key-size"`
	ValidityDuration string   `yaml:"validity-duration"`
	SANs             []string `yaml:"sans"`
}

type clabHealthcheck struct {
	Test        []string `yaml:"test"`
	Interval    int      `yaml:"interval"`
	Timeout     int      `yaml:"timeout"`
	Retries     int      `yaml:"retries"`
	StartPeriod int      `yaml:"start-period"`
}

// clabLink is a link in any of its forms; Type "" is the short one.
type clabLink struct {
	Node     *yaml.Node
	bad      bool // reported: nothing else is read
	Type     string
	Common   clabLinkCommon
	Short    []string       // endpoints of the short form
	Ends     []clabEndpoint // endpoints of veth and veth-stitch
	Endpoint *clabEndpoint  // of the types that have one end in the lab
	HostIf   string
	Mode     string
	Remote   string
	VNI      int
}

type clabLinkCommon struct {
	MTU    int               `yaml:"mtu"`
	Labels map[string]string `yaml:"labels"`
	IPv4   []string          `yaml:"ipv4"`
	IPv6   []string          `yaml:"ipv6"`
	Vars   map[string]any    `yaml:"vars"`
}

type clabEndpoint struct {
	Node  *yaml.Node     `yaml:"-"`
	Name  string         `yaml:"node"`
	Iface string         `yaml:"interface"`
	MAC   string         `yaml:"mac"`
	IPv4  string         `yaml:"ipv4"`
	IPv6  string         `yaml:"ipv6"`
	Vars  map[string]any `yaml:"vars"`
}

// decodeNode reads the form that the key "type" names; each has its own keys.
func (l *clabLink) decodeNode(d *decoder, n *yaml.Node, p *path) {
	l.Node = n
	if n.Kind != yaml.MappingNode {
		d.addf(n, p, "want a link with endpoints, got %s", kindName(n))
		l.bad = true
		return
	}
	if t := find(n, "type"); t != n && t != nil && t.Kind == yaml.ScalarNode {
		l.Type = linkType(t.Value)
		if l.Type == "" && t.Value != "" {
			d.addf(t, p.child("type"), "unknown link type %s", quote(t.Value))
			l.bad = true
			return
		}
	}
	into := func(form any) { d.at(n, form, p) }
	switch l.Type {
	case "", "brief":
		l.Type = ""
		var f struct {
			Type           string   `yaml:"type"`
			Endpoints      []string `yaml:"endpoints"`
			clabLinkCommon `yaml:",inline"`
		}
		into(&f)
		l.Short, l.Common = f.Endpoints, f.clabLinkCommon
	case "veth", "veth-stitch":
		var f struct {
			Type           string         `yaml:"type"`
			Endpoints      []clabEndpoint `yaml:"endpoints"`
			clabLinkCommon `yaml:",inline"`
		}
		into(&f)
		l.Ends, l.Common = f.Endpoints, f.clabLinkCommon
	case "host", "mgmt-net", "macvlan":
		var f struct {
			Type           string        `yaml:"type"`
			HostInterface  string        `yaml:"host-interface"`
			Endpoint       *clabEndpoint `yaml:"endpoint"`
			clabLinkCommon `yaml:",inline"`
		}
		if l.Type == "macvlan" {
			var m struct {
				Type           string        `yaml:"type"`
				HostInterface  string        `yaml:"host-interface"`
				Endpoint       *clabEndpoint `yaml:"endpoint"`
				Mode           string        `yaml:"mode"`
				clabLinkCommon `yaml:",inline"`
			}
			into(&m)
			l.Endpoint, l.HostIf, l.Mode, l.Common = m.Endpoint, m.HostInterface, m.Mode, m.clabLinkCommon
			return
		}
		into(&f)
		l.Endpoint, l.HostIf, l.Common = f.Endpoint, f.HostInterface, f.clabLinkCommon
	case "vxlan", "vxlan-stitch":
		var f struct {
			Type            string        `yaml:"type"`
			Remote          string        `yaml:"remote"`
			VNI             int           `yaml:"vni"`
			Endpoint        *clabEndpoint `yaml:"endpoint"`
			UDPPort         int           `yaml:"udp-port"`
			DstPort         int           `yaml:"dst-port"`
			ParentInterface string        `yaml:"parent-interface"`
			SrcPort         int           `yaml:"src-port"`
			clabLinkCommon  `yaml:",inline"`
		}
		into(&f)
		l.Endpoint, l.Remote, l.VNI, l.Common = f.Endpoint, f.Remote, f.VNI, f.clabLinkCommon
	case "dummy":
		var f struct {
			Type           string        `yaml:"type"`
			Endpoint       *clabEndpoint `yaml:"endpoint"`
			clabLinkCommon `yaml:",inline"`
		}
		into(&f)
		l.Endpoint, l.Common = f.Endpoint, f.clabLinkCommon
	default:
		panic(fmt.Sprintf("inventory: link type %q has no form", l.Type))
	}
}
