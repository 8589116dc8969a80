package hostmirror

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/spanctl/spanctl/hostmirror/tcnl"
	"github.com/spanctl/spanctl/models"
)

// Options say where a [Mirror] works and what it may use.
type Options struct {
	// Device is the host's name in the inventory. It is part of what marks a session
	// as ours: under another name the same sessions are not recognised.
	Device models.DeviceID
	// Namespace is the path of the network namespace, such as /run/netns/NAME,
	// /proc/PID/ns/net or /proc/self/fd/N; "" is the one that Open is called in.
	Namespace string
	// Known are names of sessions that may be found there. See the package's
	// comment: the kernel keeps a hash of the name only.
	Known []string
	// Prefer lists the classifiers that may be used, best first; empty is
	// tcnl.Kinds. Those that the kernel lacks are passed over.
	Prefer []string
	// Method says whether copies are made by filters or by programs.
	Method Method
	// Pins is the folder that keeps programs, in a BPF file system; "" is
	// bpfcopy.DefaultPins.
	Pins string
	// Lacking is what Mirrors of one host have found out that its kernel lacks, where
	// they could not ask it before: shared by those that are opened one after the other.
	// nil keeps it within one Mirror.
	Lacking *Lacking
	// Sudo puts "sudo -n" in front of commands that change something on a remote host
	// (OpenRemote). The login must be allowed to run tc so without a password.
	Sudo bool
	// Logger gets a line for each command at level Debug; nil discards them.
	Logger *slog.Logger
}

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Validate gives what is wrong with o.
func (o Options) Validate() error {
	if o.Device == "" {
		return fmt.Errorf("hostmirror: the device has no name")
	}
	for _, k := range o.Prefer {
		if !slices.Contains(tcnl.Kinds(), k) {
			return fmt.Errorf("hostmirror: classifier %q is not one of %v", k, tcnl.Kinds())
		}
	}
	if !slices.Contains(Methods(), o.Method) {
		return fmt.Errorf("hostmirror: method %q is not one of %v", o.Method, Methods())
	}
	return nil
}

// Counter says how many frames one copy of a session has seen.
type Counter struct {
	Session     string
	Source      string
	Direction   models.Direction // Rx or Tx
	Destination string           // names with spaces between; "" once the interface is gone
	Method      string           // as CopyReport.Method
	Reason      string           // as CopyReport.Reason
	// Packets and Bytes (0 of programs, which do not count them) were offered to the destination, Lost of the packets were not
	// taken by it: it was down, gone or full, or its MTU too small. See tcnl.Stats
	// for what segmentation offload does to them.
	Packets, Bytes, Lost uint64
}
