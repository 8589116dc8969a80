package ssh

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spanctl/spanctl/drivers/peers/eos"
	"github.com/spanctl/spanctl/drivers/peers/fabric"
	"github.com/spanctl/spanctl/drivers/transport"
)

// serveEnv makes the test binary a lab of simulated switches: "COUNT RTT". What
// a client costs can only be measured when the servers are another process.
const serveEnv = "SPANCTL_TEST_SERVE_EOS"

func TestMain(m *testing.M) {
	if spec := os.Getenv(serveEnv); spec != "" {
		if err := serveLab(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// newEOS makes a simulated switch leaf1 and serves it.
func newEOS(ctx context.Context, o eos.Options) (*eos.Device, string, error) {
	f := fabric.New()
	sw, err := f.AddSwitch("leaf1")
	if err != nil {
		return nil, "", err
	}
	for i := range 4 {
		if err := sw.AddPort("Ethernet" + strconv.Itoa(i+1)); err != nil {
			return nil, "", err
		}
	}
	o.Hostname, o.Switch, o.Users, o.LoginPrivilege = "leaf1", sw, map[string]string{"admin": "right"}, 15
	d, err := eos.New(o)
	if err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	go func() { _ = d.Serve(ctx, l) }()
	return d, l.Addr().String(), nil
}

func serveLab(spec string) error {
	var n int
	var rtt time.Duration
	var text string
	if _, err := fmt.Sscan(spec, &n, &text); err != nil {
		return err
	}
	rtt, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := bufio.NewWriter(os.Stdout)
	for range n {
		_, addr, err := newEOS(ctx, eos.Options{RTT: rtt})
		if err != nil {
			return err
		}
		fmt.Fprintln(out, addr)
	}
	fmt.Fprintln(out, "ready")
	_ = out.Flush()
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is over
	return nil
}

// lab starts n simulated switches in another process and gives their addresses.
func lab(t testing.TB, n int, rtt time.Duration) []string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveEnv+"="+fmt.Sprint(n, " ", rtt))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() { _ = in.Close(); _ = cmd.Wait() }))
	var addrs []string
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if sc.Text() == "ready" {
			return addrs
		}
		addrs = append(addrs, strings.TrimSpace(sc.Text()))
	}
	t.Fatal("the lab ended early")
	return nil
}

// eosProfile is what these tests need to know of EOS; the driver has its own.
func eosProfile() *transport.Profile {
	p := testProfile()
	p.Name = "EOS"
	p.Prompt = regexp.MustCompile(`^(?P<host>[\w.\-]{1,63})(\(config[^)]{0,63}\))?[>#]\s?$`)
	p.Exec = regexp.MustCompile(`^[\w.\-]{1,63}#\s?$`)
	return p
}
