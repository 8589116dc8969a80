package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/spanctl/spanctl/drivers/eos"
	"github.com/spanctl/spanctl/internal/require"
)

const fleetTopology = `name: fleet
topology:
  nodes:
    sw: {kind: arista_ceos, image: ceos}
    h1: {kind: linux, image: alpine}
    h2: {kind: linux, image: alpine}
  links:
    - endpoints: ["sw:eth1", "h1:eth1"]
    - endpoints: ["sw:eth2", "h2:eth1"]
`

// BenchmarkFleet applies one session to each of many simulated EOS switches, each
// process on its own so that its cost can be told: spanctl with everything it does
// (host keys, store, plan, read-back, confirmation), beside a bare SSH client that
// sends the same lines in the same number of round trips and looks at nothing.
//
// The switches take their share of the same processors; compare the two within one
// run only.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) { benchFleet(b, n, min(n, 200), 50*time.Millisecond) })
	}
}

func benchFleet(b *testing.B, n, parallel int, rtt time.Duration) {
	f := startFleet(b, n, rtt)
	for b.Loop() {
		bare := f.bare(parallel)
		ours := f.spanctl("apply", "--yes", "--parallel", strconv.Itoa(parallel), "-o", "json", filepath.Join(f.dir, "intents.yaml"))
		f.spanctl("delete", append([]string{"--yes", "--parallel", strconv.Itoa(parallel), "-o", "json"}, f.intents...)...)
		dev := float64(n)
		b.ReportMetric(ours.wall.Seconds(), "wall-s")
		b.ReportMetric(bare.wall.Seconds(), "bare-wall-s")
		b.ReportMetric(ours.wall.Seconds()/bare.wall.Seconds(), "wall-ratio")
		b.ReportMetric(ours.cpu.Seconds()*1000/dev, "cpu-ms/device")
		b.ReportMetric(bare.cpu.Seconds()*1000/dev, "bare-cpu-ms/device")
		b.ReportMetric(ours.cpu.Seconds()/bare.cpu.Seconds(), "cpu-ratio")
		b.ReportMetric(float64(ours.peakKB)/1024, "peak-MB")
		b.ReportMetric(float64(bare.peakKB)/1024, "bare-peak-MB")
	}
}

// fleet is a lab of many switches and what is needed to speak to them.
type fleet struct {
	b       *testing.B
	dir     string
	bin     string
	addrs   []string
	intents []string
}

// cost is what a process took.
type cost struct {
	wall, cpu time.Duration
	peakKB    int64
}

func startFleet(b *testing.B, n int, rtt time.Duration) *fleet {
	b.Helper()
	f := &fleet{b: b, dir: b.TempDir(), bin: b.TempDir()}
	build := exec.Command("go", "build", "-o", f.bin+"/", "./cmd/spanctl", "./cmd/spanlab")
	build.Dir = require.ProjectRoot(b)
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	topology := filepath.Join(f.dir, "fleet.clab.yml")
	ready := filepath.Join(f.dir, "ready.json")
	f.write(topology, fleetTopology)
	lab := exec.Command(filepath.Join(f.bin, "spanlab"), "up", topology, "--replicas", strconv.Itoa(n), "--rtt", rtt.String(),
		"--inventory", filepath.Join(f.dir, "inventory.yaml"), "--ready-file", ready)
	var labOut bytes.Buffer
	lab.Stdout, lab.Stderr = &labOut, &labOut
	if err := lab.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = lab.Process.Signal(os.Interrupt)
		_ = lab.Wait()
	})
	var text []byte
	for deadline := time.Now().Add(2 * time.Minute); text == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("the lab is not up: %s", labOut.String())
		}
		text, _ = os.ReadFile(ready)
	}
	var info struct {
		Nodes map[string]string `json:"nodes"` // address of the management server, by name
	}
	if err := json.Unmarshal(text, &info); err != nil {
		b.Fatal(err)
	}
	var intents strings.Builder
	for _, node := range slices.Sorted(maps.Keys(info.Nodes)) {
		name := "m-" + node
		f.addrs = append(f.addrs, info.Nodes[node])
		f.intents = append(f.intents, name)
		fmt.Fprintf(&intents, "---\napiVersion: spanctl/v1\nkind: Mirror\nmetadata: {name: %s}\nspec:\n  sources: [{device: %s, interfaces: [Ethernet1], direction: both}]\n"+
			"  destination: {interface: {device: %s, name: Ethernet2}}\n  expires: 1h\n", name, node, node)
	}
	if len(f.addrs) != n {
		b.Fatalf("%d switches, want %d: %.2000s", len(f.addrs), n, text)
	}
	f.write(filepath.Join(f.dir, "intents.yaml"), intents.String())
	f.write(filepath.Join(f.dir, "addresses"), strings.Join(f.addrs, "\n"))
	return f
}

func (f *fleet) write(file, text string) {
	f.b.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.b.Fatal(err)
	}
}

func (f *fleet) spanctl(verb string, args ...string) cost {
	f.b.Helper()
	args = append([]string{verb, "--inventory", filepath.Join(f.dir, "inventory.yaml"), "--store", filepath.Join(f.dir, "store.db")}, args...)
	return f.run(exec.Command(filepath.Join(f.bin, "spanctl"), args...))
}

func (f *fleet) bare(parallel int) cost {
	f.b.Helper()
	exe, err := os.Executable()
	if err != nil {
		f.b.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run", "^TestBareClient$")
	cmd.Env = append(os.Environ(), bareEnv+"="+filepath.Join(f.dir, "addresses"), "SPANCTL_BARE_PARALLEL="+strconv.Itoa(parallel))
	return f.run(cmd)
}

func (f *fleet) run(cmd *exec.Cmd) cost {
	f.b.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		text := out.String()
		f.b.Fatalf("%s: %v: %s", filepath.Base(cmd.Path), err, text[max(0, len(text)-3000):])
	}
	wall := time.Since(start)
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peakKB: u.Maxrss}
}

const bareEnv = "SPANCTL_BARE_CLIENT"

// TestBareClient is the bare client of BenchmarkFleet, in a process of its own.
func TestBareClient(t *testing.T) {
	file := os.Getenv(bareEnv)
	if file == "" {
		t.Skip("only BenchmarkFleet runs it")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parallel, err := strconv.Atoi(os.Getenv("SPANCTL_BARE_PARALLEL"))
	if err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, addr := range strings.Fields(string(text)) {
		g.Go(func() error { return bareApply(t.Context(), addr) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// bareApply sends what spanctl sends, in as many round trips: reads, edit, commit,
// reads, confirmation; then takes it away again so that spanctl finds nothing.
func bareApply(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{User: "admin",
		Auth: []ssh.AuthMethod{ssh.Password("admin")}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		return err
	}
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.RequestPty("vt100", 0, 32767, ssh.TerminalModes{}); err != nil {
		return err
	}
	if err := s.Shell(); err != nil {
		return err
	}
	var reads []string
	for _, r := range (eos.Dialect{}).Reads() {
		reads = append(reads, r.Text)
	}
	name := "configure session bare" + strconv.FormatInt(time.Now().UnixNano()%1e6, 10)
	for i, lines := range [][]string{
		append([]string{"terminal length 0", "terminal width 32767"}, reads...),
		{name, "monitor session bare source Ethernet1 both", "monitor session bare destination Ethernet2", "no monitor session bare"},
		{"commit timer 00:10:00"},
		reads,
		{name + " commit"},
	} {
		// The echo of the last line is what comes back last.
		marker := fmt.Sprintf("! %d-%d", i, len(lines))
		if _, err := in.Write([]byte(strings.Join(lines, "\n") + "\n" + marker + "\n")); err != nil {
			return err
		}
		if err := readUntil(out, marker); err != nil {
			return fmt.Errorf("%s: %q: %w", addr, lines[0], err)
		}
	}
	return nil
}

func readUntil(r interface{ Read([]byte) (int, error) }, marker string) error {
	buf := make([]byte, 32<<10)
	var tail []byte
	for {
		n, err := r.Read(buf)
		tail = append(tail, buf[:n]...)
		if bytes.Contains(tail, []byte(marker)) {
			return nil
		}
		if keep := len(marker); len(tail) > keep {
			tail = append(tail[:0], tail[len(tail)-keep:]...)
		}
		if err != nil {
			return err
		}
	}
}
