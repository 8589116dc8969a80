package hostmirror

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	bpf "github.com/cilium/ebpf/link"

	"github.com/spanctl/spanctl/internal/require"
	"github.com/spanctl/spanctl/models"
)

// A tcx program that accepts frames hides them from every filter. The session says
// so as long as the program is there.
func TestStrangersTCXProgramIsTold(t *testing.T) {
	b := newBed(t)
	m := b.open("")
	b.to(m, session("sp-a", []string{"m0"}, port("r0", models.Rx)))
	status := func() models.Status {
		t.Helper()
		st, err := m.Observe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Sessions[0].Status
	}
	if s := status(); s.State != models.OperUp {
		t.Errorf("before: %+v, want up", s)
	}

	attached := b.strangersTCX("r0")
	sensor := b.sensor.Capture("c0")
	b.flow("hidden", 20)
	b.expect(sensor, "hidden", want{})
	if s := status(); s.State != models.OperUnknown || s.Reason != "a tcx program on r0 ingress runs before our filter, and may take frames away" {
		t.Errorf("with the program: %+v", s)
	}
	if err := attached.Close(); err != nil {
		t.Fatal(err)
	}
	if s := status(); s.State != models.OperUp {
		t.Errorf("afterwards: %+v, want up", s)
	}
}

// strangersTCX attaches somebody's program to what a port receives. It accepts frames,
// which ends everything behind it.
func (b *bed) strangersTCX(dev string) bpf.Link {
	t := b.t
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, Name: "stranger", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}, // TCX_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	var attached bpf.Link
	err = b.host.Do(func() (err error) {
		attached, err = bpf.AttachTCX(bpf.TCXOptions{Interface: b.host.Index(dev), Program: program, Attach: ebpf.AttachTCXIngress})
		return err
	})
	require.Need(t, "tcx", !errors.Is(err, ebpf.ErrNotSupported), fmt.Sprint(err))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = attached.Close() })
	return attached
}
