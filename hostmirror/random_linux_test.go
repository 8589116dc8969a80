package hostmirror

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/hostmirror/internal/kerneltest"
	"github.com/spanctl/spanctl/models"
)

// renumbered are numbers that the kernel gives to what is made anew, also when it is the
// same: they are not part of what was there before.
var renumbered = regexp.MustCompile(`"(index|fh|key_ht|id|tag)":[^,}]+,?`)

// TestRandomSequences makes, changes and deletes sessions in any order, and dies in the
// middle of some of it. After each death a new process brings the host to where it was
// to go; at the end of each sequence nothing of ours is left, and what others have is as
// it was. SPANCTL_SEQUENCES says how many sequences, SPANCTL_SEED which.
func TestRandomSequences(t *testing.T) {
	sequences := 1000
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		sequences = 50 // an emulated processor
	}
	if testing.Short() {
		sequences = 20
	}
	if n, err := strconv.Atoi(os.Getenv("SPANCTL_SEQUENCES")); err == nil {
		sequences = n
	}
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("SPANCTL_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SPANCTL_SEED=%d", seed)
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	t.Run("filters", func(t *testing.T) {
		b := newBed(t)
		randomSequences(t, g, b, sequences, func() *Mirror { return b.open("", sessionNames...) })
	})
	// One process makes copies by programs, the next one may use filters only.
	t.Run("programs", func(t *testing.T) {
		needProgram(t, MethodBPF)
		b := newBed(t)
		pins := kerneltest.Pins(t)
		randomSequences(t, g, b, max(sequences/25, 4), func() *Mirror {
			method := []Method{MethodAuto, MethodTC, MethodBPF, MethodClsBPF}[g.IntN(4)]
			return b.openWith(Options{Device: host, Namespace: b.host.Path(), Known: sessionNames, Method: method, Pins: pins})
		})
		if files := left(pins); len(files) > 0 {
			t.Errorf("left over: %q", files)
		}
	})
}

func randomSequences(t *testing.T, g *generator, b *bed, sequences int, open func() *Mirror) {
	t.Helper()
	b.foreigners("r0", "r1")
	objects := func() string { return renumbered.ReplaceAllString(b.withoutPrograms(), "") }
	before := objects()
	var deaths, steps int
	for n := range sequences {
		m := open()
		g.caps = m.Capabilities()
		var done []string // what was done so far, for the report
		for range 2 + g.IntN(4) {
			want := g.sessions()
			cp := b.plan(m, want...)
			done = append(done, texts(cp.Script)...)
			steps += len(cp.Script.Steps)
			if len(cp.Script.Steps) > 0 && g.IntN(3) == 0 {
				at := g.IntN(len(cp.Script.Steps))
				done = append(done, fmt.Sprintf("(death at step %d)", at))
				dieAt(t, m, cp, at, g.IntN(2) == 0)
				deaths++
				m = open()
				m.method = survivor(m, want)
				g.caps = m.Capabilities()
				cp = b.plan(m, want...)
				done = append(done, texts(cp.Script)...)
			}
			if err := m.Apply(t.Context(), cp); err != nil {
				t.Fatalf("sequence %d: %v\n%s", n, err, strings.Join(done, "\n"))
			}
			if left := b.plan(m, want...); !left.Script.Empty() {
				t.Fatalf("sequence %d: still to do:\n%s\nafter\n%s", n, strings.Join(texts(left.Script), "\n"), strings.Join(done, "\n"))
			}
		}
		cp := b.plan(m)
		done = append(done, texts(cp.Script)...)
		if err := m.Apply(t.Context(), cp); err != nil {
			t.Fatalf("sequence %d: delete: %v\n%s", n, err, strings.Join(done, "\n"))
		}
		if d := cmp.Diff(before, objects()); d != "" {
			t.Fatalf("sequence %d: not as before (-before +after):\n%s\nafter\n%s", n, d, strings.Join(done, "\n"))
		}
	}
	t.Logf("%d sequences, %d steps planned, %d deaths", sequences, steps, deaths)
	if sequences >= 20 && (deaths == 0 || steps == 0) {
		t.Error("nothing was tried")
	}
}

// survivor gives a method that can make all that was wanted of a process that died.
func survivor(m *Mirror, want []models.Session) Method {
	for _, s := range want {
		if m.kernel().lacks(takenOf(s)) != "" {
			return MethodAuto
		}
	}
	return m.method
}

// dieAt applies and ends, as by kill -9, before or after one step: nothing that was done
// is undone, nobody hears of it.
func dieAt(t *testing.T, m *Mirror, cp drivers.Checkpoint, at int, after bool) {
	t.Helper()
	n := 0
	m.tap = func(_ context.Context, what string, do func() error) error {
		if what == "" {
			return do()
		}
		if n++; n <= at {
			return do()
		}
		if after {
			_ = do()
		}
		runtime.Goexit()
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := m.Apply(t.Context(), cp)
		t.Errorf("Apply came to its end: %v", err)
	}()
	<-done
}

var sessionNames = []string{"sp-a", "sp-b", "sp-c", "sp-d"}

// generator makes sessions of everything that the host can do.
type generator struct {
	*rand.Rand
	caps models.Capabilities
}

func (g *generator) can(f models.Feature) bool { return g.caps.Of(f).Support == models.Yes }

func (g *generator) sessions() []models.Session {
	var out []models.Session
	for _, name := range sessionNames {
		if g.IntN(2) == 0 {
			out = append(out, g.session(name))
		}
	}
	return out
}

func (g *generator) session(name string) models.Session {
	directions := []models.Direction{models.Rx, models.Tx, models.Both}
	sources := []models.Source{port("r0", directions[g.IntN(3)])}
	switch g.IntN(3) {
	case 0:
		sources[0].Name = "r1"
	case 1:
		sources = append(sources, port("r1", directions[g.IntN(3)]))
	}
	to := [][]string{{"m0"}, {"m1"}, {"m0", "m1"}}[g.IntN(3)]
	ses := session(name, to, sources...)
	if g.can(models.FeatureFilterIPv4) && g.IntN(3) == 0 {
		ses.Filter = g.rules()
	}
	if g.can(models.FeatureSample) && g.IntN(4) == 0 {
		ses.SampleOneIn = uint32(2 + g.IntN(100))
	}
	if g.can(models.FeatureTruncate) && g.IntN(4) == 0 {
		ses.TruncateTo = uint16(80 + g.IntN(1000))
	}
	return ses.Normalize()
}

func (g *generator) rules() []models.Rule {
	var out []models.Rule
	for range 1 + g.IntN(3) {
		r := models.Rule{Action: []models.Action{models.Include, models.Exclude}[g.IntN(2)]}
		r.Match.Proto = []string{"tcp", "udp"}[g.IntN(2)]
		if g.IntN(2) == 0 {
			r.Match.Dport = []models.Range{{First: uint16(1 + g.IntN(1000)), Last: 2000}}
		}
		out = append(out, r)
	}
	return out
}

// killed is the environment variable that makes TestKilled the process to be killed; it
// says by which method copies are made.
const (
	killed     = "SPANCTL_TEST_KILLED"
	killedPins = "SPANCTL_TEST_PINS"
)

// TestKilled kills a process at any moment of an Apply. What it leaves is told from what
// is wanted, the rest is done, and at the end all goes away.
func TestKilled(t *testing.T) {
	if os.Getenv(killed) != "" {
		dieWhileApplying(t)
		return
	}
	for _, method := range []Method{MethodTC, MethodBPF} {
		t.Run(string(method), func(t *testing.T) { killWhileApplying(t, method) })
	}
}

func killWhileApplying(t *testing.T, method Method) {
	b := newBed(t)
	b.foreigners("r0", "r1")
	objects := func() string { return renumbered.ReplaceAllString(b.withoutPrograms(), "") }
	before := objects()
	pins := kerneltest.Pins(t)
	m := b.openWith(Options{Device: host, Namespace: b.host.Path(), Known: sessionNames, Method: method, Pins: pins})
	g := &generator{Rand: rand.New(rand.NewPCG(1, 0)), caps: m.Capabilities()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	partly := 0
	var whole time.Duration // an Apply that is not disturbed takes about so long
	deaths := 40
	if os.Getenv("SPANCTL_KERNELLAB") != "" {
		deaths = 12 // an emulated processor
	}
	for round := range deaths {
		want := g.sessions()
		cp := b.plan(m, want...)
		text, err := json.Marshal(cp)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestKilled$", "-test.v")
		cmd.Env = append(os.Environ(), killed+"="+string(method), killedPins+"="+pins)
		cmd.Stdin = bytes.NewReader(text)
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(dup(t, b.host.FD())), "namespace")}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.ExtraFiles[0].Close()
		lines := bufio.NewScanner(out)
		for lines.Scan() && lines.Text() != "applying" {
		}
		if round < 3 {
			begin := time.Now()
			for lines.Scan() && lines.Text() != "applied" {
			}
			whole = max(whole, time.Since(begin))
		}
		time.Sleep(rand.N(whole + time.Microsecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		left := b.plan(m, want...)
		if n := len(left.Script.Steps); n > 0 && n < len(cp.Script.Steps) {
			partly++
		}
		b.to(m, want...)
	}
	t.Logf("%d deaths, %d of them between two steps", deaths, partly)
	b.to(m)
	// An empty table that the last death has left goes with the next change.
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	b.to(m)
	if d := cmp.Diff(before, objects()); d != "" {
		t.Errorf("(-before +after):\n%s", d)
	}
	if files := left(pins); len(files) > 0 {
		t.Errorf("left over: %q", files)
	}
}

// dieWhileApplying applies the checkpoint on the standard input in the namespace of file
// descriptor 3, until it is killed.
func dieWhileApplying(t *testing.T) {
	var cp drivers.Checkpoint
	if err := json.NewDecoder(os.Stdin).Decode(&cp); err != nil {
		t.Fatal(err)
	}
	m, err := Open(t.Context(), Options{
		Device: host, Namespace: "/proc/self/fd/3", Method: Method(os.Getenv(killed)), Pins: os.Getenv(killedPins),
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("applying")
	if err := m.Apply(t.Context(), cp); err != nil {
		t.Fatal(err)
	}
	fmt.Println("applied")
	time.Sleep(time.Minute)
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
