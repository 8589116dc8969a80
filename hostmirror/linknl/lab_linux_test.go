package linknl

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanctl/spanctl/internal/require"
)

// labModules are what the tests of this package need of the kernel.
const labModules = "sch_ingress cls_u32 act_mirred veth dummy 8021q vxlan ip_gre ip6_gre"

// runLab runs tests of this package in the kernel lab, where nothing may be missing,
// and gives their output.
func runLab(t *testing.T, pattern string, env ...string) string {
	t.Helper()
	_, qemu := exec.LookPath("qemu-system-x86_64")
	_, cpio := exec.LookPath("cpio")
	kernels, _ := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	require.Need(t, require.KernelVM, qemu == nil && cpio == nil && len(kernels) > 0 && runtime.GOARCH == "amd64",
		"qemu-system-x86_64, cpio and a Debian cloud kernel; hostmirror/kernellab/run.sh lists the packages")
	program := filepath.Join(t.TempDir(), "linknl.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(require.ProjectRoot(t), "hostmirror", "kernellab", "run.sh"),
		program, "-test.v", "-test.run", pattern)
	cmd.Env = append(os.Environ(), "LAB_MODULES="+labModules, "LAB_TIMEOUT=240",
		"SPANCTL_REQUIRE=root,iproute2,cls_u32,erspan,gretap,vxlan,vlan,dummy,ip6erspan,ip6gretap")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "")
	if err != nil || !strings.Contains(text, "\nPASS\n") {
		t.Fatalf("in the kernel lab: %v\n%s", err, text)
	}
	return text
}

// What the links of a distribution's kernel send, tshark reads as their Spec says. It
// is the opinion of somebody who has not seen this package.
func TestTunnelsByTshark(t *testing.T) {
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		t.Skip("SKIPPED, this is the inside of the kernel lab, and it has none of its own")
	}
	_, err := exec.LookPath("tshark")
	require.Need(t, require.Tshark, err == nil, "tshark decodes the frames of the kernel lab")
	out := runLab(t, "^TestTunnelsOnKernel$", "SPANCTL_LINKNL_EXPORT=1")

	frames := make(map[string][][]byte)
	for _, line := range strings.Split(out, "\n") {
		f := strings.Split(line, "\t")
		if len(f) != 4 || f[0] != "FRAME" {
			continue
		}
		data, err := base64.StdEncoding.DecodeString(f[3])
		if n, aerr := strconv.Atoi(f[2]); err != nil || aerr != nil || n != len(frames[f[1]]) {
			t.Fatalf("line %q", line)
		}
		frames[f[1]] = append(frames[f[1]], data)
	}
	for _, tt := range specs("") {
		if !tt.Kind.Tunnel() {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			got := tshark(t, frames[tt.name])
			sent := sentInto(tt.Spec)
			if len(got) != len(sent) {
				t.Fatalf("%d frames of %d", len(got), len(sent))
			}
			for i := range got {
				if d := cmp.Diff(dissected(tt.Spec, sent[i], i), got[i]); d != "" {
					t.Errorf("frame %d (-want +got):\n%s", i, d)
				}
			}
		})
	}
}

var tsharkFields = []string{
	"ip.ttl", "ip.dsfield", "ip.flags.df", "ipv6.hlim", "ipv6.tclass", "gre.proto", "gre.key", "gre.sequence_number",
	"erspan.version", "erspan.vlan", "erspan.truncated", "erspan.spanid", "erspan.index", "erspan.direction", "erspan.hw",
	"udp.dstport", "vxlan.vni", "vlan.id",
}

// tshark gives the first value of each field, by frame. The first IP header is the
// outer one.
func tshark(t *testing.T, frames [][]byte) []map[string]string {
	t.Helper()
	// The file format is that of libpcap: magic, version 2.4, zone, accuracy, snapshot
	// length, link type 1 (Ethernet); for each frame seconds, microseconds, and twice
	// the length.
	var b bytes.Buffer
	put := func(n ...uint32) {
		for _, n := range n {
			_ = binary.Write(&b, binary.LittleEndian, n)
		}
	}
	put(0xa1b2c3d4, 4<<16|2, 0, 0, 1<<16, 1)
	for i, f := range frames {
		put(uint32(i), 0, uint32(len(f)), uint32(len(f)))
		b.Write(f)
	}
	file := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "occurrence=f"}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(t.Context(), "tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	var got []map[string]string
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		m := make(map[string]string)
		for i, v := range strings.Split(line, "\t") {
			if v != "" {
				m[tsharkFields[i]] = v
			}
		}
		got = append(got, m)
	}
	return got
}

// dissected is what tshark should say of the frame that is the n-th of its link.
func dissected(s Spec, f sent, n int) map[string]string {
	want := map[string]string{}
	set := func(is bool, field, format string, v any) {
		if is {
			want[field] = fmt.Sprintf(format, v)
		}
	}
	o := wanted(s, f, n)
	inner := f.name != "no IP"
	set(!s.V6(), "ip.ttl", "%d", s.TTL)
	set(!s.V6(), "ip.dsfield", "0x%02x", s.TOS)
	set(!s.V6(), "ip.flags.df", "%s", "0")
	set(s.V6(), "ipv6.hlim", "%d", s.TTL)
	set(s.V6(), "ipv6.tclass", "0x%08x", o.TOS)
	if s.V6() && inner { // then the first IPv4 header is the frame's own
		want["ip.ttl"], want["ip.flags.df"] = "64", "1"
		want["ip.dsfield"] = fmt.Sprintf("0x%02x", f.data[15+4*min(1, int(f.vlan))])
	}
	set(s.Kind != VXLAN, "gre.proto", "0x%04x", o.GRE)
	set(s.Keyed, "gre.key", "0x%08x", s.Key)
	numbered := s.Kind == ERSPAN2 || s.Kind == ERSPAN3
	set(numbered, "gre.sequence_number", "%d", n)
	set(numbered, "erspan.version", "%d", o.ERSPAN.Version)
	set(numbered, "erspan.vlan", "%d", f.vlan)
	set(numbered, "erspan.truncated", "%s", "0")
	set(numbered, "erspan.spanid", "%d", s.Session)
	set(s.Kind == ERSPAN2, "erspan.index", "%d", s.PortIndex)
	direction := 0
	if s.Egress {
		direction = 1
	}
	set(s.Kind == ERSPAN3, "erspan.direction", "%d", direction)
	set(s.Kind == ERSPAN3, "erspan.hw", "%d", s.HWID)
	set(s.Kind == VXLAN, "vxlan.vni", "%d", s.VNI)
	set(s.Kind != VXLAN && inner, "udp.dstport", "%s", "4001")
	set(s.Kind == VXLAN, "udp.dstport", "%d", s.Port)
	set(f.vlan != 0, "vlan.id", "%d", f.vlan)
	return want
}
