package nsname

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// Errors that a search ends with. All come in an *Error.
var (
	// ErrGone means that there is no such namespace now: no name, no container, or a
	// container that does not run.
	ErrGone = errors.New("is not there")
	// ErrAmbiguous means that the name stands for more than one.
	ErrAmbiguous = errors.New("is not one container")
	// ErrUnknown means that nobody could be asked, or that the answer cannot be used.
	ErrUnknown = errors.New("cannot be looked up")
)

// Error is why a place was not found, and what to do.
type Error struct {
	Place string
	Err   error // wraps one of the errors above
	Hint  string
}

func (e *Error) Error() string { return e.Place + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Namespace is a network namespace that was found. Close its file when done.
type Namespace struct {
	Place string
	File  *os.File
	// PID is the process of a container that the namespace was taken from, 0 for
	// netns:NAME.
	PID int
	// Paused says that the container's processes stand still.
	Paused bool
	// Own says that the container was started in a namespace of its own, not in the
	// host's or in another container's.
	Own bool
}

// Finder finds namespaces. The zero value looks where the system has them.
type Finder struct {
	NetNS string // folder of named namespaces; "" = /run/netns
	Proc  string // "" = /proc
	// Sockets are paths of the sockets of Docker-compatible services. All are asked.
	// Empty: that of DOCKER_HOST when set, else those of Docker and Podman that exist.
	Sockets []string
	// Getenv reads the environment; nil = os.Getenv.
	Getenv func(string) string
}

// Names gives the names of the places netns:NAME, in order. There are none where ip
// netns was never used.
func (f *Finder) Names() ([]string, error) {
	entries, err := os.ReadDir(f.netns())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("named network namespaces: %w", err)
	}
	var out []string
	for _, e := range entries {
		if place := models.PlaceNetNS + e.Name(); models.PlaceError(place) == nil {
			out = append(out, place)
		}
	}
	return out, nil
}

// Open finds a place, "container:NAME" or "netns:NAME". The error is an *Error.
func (f *Finder) Open(ctx context.Context, place string) (*Namespace, error) {
	if err := models.PlaceError(place); err != nil {
		return nil, &Error{Place: place, Err: fmt.Errorf("%w: %w", ErrUnknown, err)}
	}
	if name, ok := strings.CutPrefix(place, models.PlaceContainer); ok {
		return f.container(ctx, place, name)
	}
	name := strings.TrimPrefix(place, models.PlaceNetNS)
	file, err := os.Open(filepath.Join(f.netns(), name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{Place: place, Err: fmt.Errorf("%w: no network namespace of this name", ErrGone), Hint: "ip netns list shows those that there are"}
	case err != nil:
		return nil, &Error{Place: place, Err: fmt.Errorf("%w: %w", ErrUnknown, err), Hint: "run spanctl as root"}
	}
	return &Namespace{Place: place, File: file, Own: true}, nil
}

func (f *Finder) netns() string { return cmp.Or(f.NetNS, "/run/netns") }

func (f *Finder) getenv(key string) string {
	if f.Getenv == nil {
		return os.Getenv(key)
	}
	return f.Getenv(key)
}

// container asks all services for the container of a name, and opens the namespace
// of its process. It asks again afterwards: only when the container still has the
// process is the namespace surely that of the container.
func (f *Finder) container(ctx context.Context, place, name string) (*Namespace, error) {
	sockets, err := f.sockets()
	if err != nil {
		return nil, &Error{Place: place, Err: fmt.Errorf("%w: %w", ErrUnknown, err), Hint: "the container must run on this host: set DOCKER_HOST to unix:// and the path of its service's socket"}
	}
	for range 3 {
		c, err := f.ask(ctx, sockets, name)
		if err != nil {
			return nil, withPlace(place, err)
		}
		file, err := os.Open(filepath.Join(cmp.Or(f.Proc, "/proc"), strconv.Itoa(c.State.PID), "ns", "net"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Place: place, Err: fmt.Errorf("%w: %w", ErrUnknown, err), Hint: "reading the namespace of a container's process needs root, or CAP_SYS_PTRACE"}
		}
		again, askErr := f.ask(ctx, sockets, name)
		if askErr == nil && again.ID == c.ID && again.State.PID == c.State.PID && again.State.StartedAt == c.State.StartedAt {
			if err != nil {
				return nil, &Error{Place: place, Err: fmt.Errorf("%w: its process %d is not to be seen here", ErrUnknown, c.State.PID),
					Hint: "run spanctl on the host itself: where it runs in a container, that one needs the host's PID namespace"}
			}
			mode := c.HostConfig.NetworkMode
			return &Namespace{Place: place, File: file, PID: c.State.PID, Paused: again.State.Paused,
				Own: mode != "host" && !strings.HasPrefix(mode, "container:") && !strings.HasPrefix(mode, "ns:")}, nil
		}
		if err == nil {
			_ = file.Close()
		}
		if askErr != nil {
			return nil, withPlace(place, askErr)
		}
	}
	return nil, &Error{Place: place, Err: fmt.Errorf("%w: it starts again and again", ErrGone), Hint: "look at its log; try again when it runs"}
}

func withPlace(place string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.Place = place
	}
	return err
}

// sockets gives the sockets to ask, each once.
func (f *Finder) sockets() ([]string, error) {
	if len(f.Sockets) > 0 {
		return f.Sockets, nil
	}
	if host := f.getenv("DOCKER_HOST"); host != "" {
		path, ok := strings.CutPrefix(host, "unix://")
		if !ok || path == "" {
			return nil, fmt.Errorf("DOCKER_HOST is %s, and processes can be found through a unix:// socket only", host)
		}
		return []string{path}, nil
	}
	candidates := []string{"/var/run/docker.sock", "/run/podman/podman.sock"}
	if dir := f.getenv("XDG_RUNTIME_DIR"); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "podman", "podman.sock"))
	}
	var out []string
	var seen []fs.FileInfo
	for _, path := range candidates {
		info, err := os.Stat(path) // podman-docker has a link from one to the other
		if err != nil || slices.ContainsFunc(seen, func(o fs.FileInfo) bool { return os.SameFile(o, info) }) {
			continue
		}
		seen, out = append(seen, info), append(out, path)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no container service: neither of %s is there", strings.Join(candidates, ", "))
	}
	return out, nil
}
