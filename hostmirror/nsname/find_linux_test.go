package nsname

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spanctl/spanctl/internal/require"
)

// service is a Docker-compatible service on a unix socket. It refuses what it does not
// know.
type service struct {
	t       *testing.T
	socket  string
	version string // of its interface; "" = it does not say
	// answer gives the answer to an inspection, and is asked for each.
	answer func(name string) (status int, body any)
	asked  []string
}

type state struct {
	Status    string `json:"Status"`
	Running   bool   `json:"Running"`
	Paused    bool   `json:"Paused"`
	PID       int    `json:"Pid"`
	StartedAt string `json:"StartedAt"`
}

func inspection(name, id, mode string, s state) map[string]any {
	return map[string]any{"Id": id, "Name": "/" + name, "State": s, "HostConfig": map[string]any{"NetworkMode": mode}, "Image": "sha256:0"}
}

func runs(pid int) state {
	return state{Status: "running", Running: true, PID: pid, StartedAt: "2026-01-01T00:00:00Z"}
}

const longID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.Path)
	path := r.URL.Path
	if path == "/_ping" {
		if s.version != "" {
			w.Header().Set("Api-Version", s.version)
		}
		fmt.Fprint(w, "OK")
		return
	}
	if s.version != "" {
		path = strings.TrimPrefix(path, "/v"+s.version)
	}
	name, ok := strings.CutPrefix(path, "/containers/")
	name, json2 := strings.CutSuffix(name, "/json")
	if !ok || !json2 || r.Method != http.MethodGet {
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
		return
	}
	status, body := s.answer(name)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.t.Error(err)
	}
}

func serve(t *testing.T, s *service) *service {
	t.Helper()
	s.t, s.socket = t, filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

// process starts a process in a network namespace of its own.
func process(t *testing.T) int {
	t.Helper()
	require.HaveRoot(t, "a process in a network namespace of its own")
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // t's context ends first, and the process with it
	return cmd.Process.Pid
}

func one(name string, s state) func(string) (int, any) {
	return func(asked string) (int, any) {
		if asked != name {
			return http.StatusNotFound, map[string]string{"message": "No such container: " + asked}
		}
		return http.StatusOK, inspection(name, longID, "bridge", s)
	}
}

func TestContainer(t *testing.T) {
	pid := process(t)
	for _, version := range []string{"", "1.41"} {
		t.Run("version "+version, func(t *testing.T) {
			s := serve(t, &service{version: version, answer: one("clab-lab.1_x-r1", runs(pid))})
			f := &Finder{Getenv: func(k string) string {
				return map[string]string{"DOCKER_HOST": "unix://" + s.socket}[k]
			}}
			ns, err := f.Open(t.Context(), "container:clab-lab.1_x-r1")
			if err != nil {
				t.Fatalf("%v; asked for %q", err, s.asked)
			}
			defer ns.File.Close()
			got, err := ns.File.Stat()
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
			if err != nil {
				t.Fatal(err)
			}
			own, err := os.Stat("/proc/self/ns/net")
			if err != nil {
				t.Fatal(err)
			}
			if !os.SameFile(got, want) || os.SameFile(got, own) {
				t.Error("not the namespace of the process")
			}
			if ns.PID != pid || ns.Paused || !ns.Own || ns.Place != "container:clab-lab.1_x-r1" {
				t.Errorf("%+v", ns)
			}
		})
	}
}

func TestContainerStates(t *testing.T) {
	pid := process(t)
	say := func(status int, message string) func(string) (int, any) {
		return func(string) (int, any) { return status, map[string]string{"message": message} }
	}
	give := func(name, id, mode string, s state) func(string) (int, any) {
		return func(string) (int, any) { return http.StatusOK, inspection(name, id, mode, s) }
	}
	paused, restarting := runs(pid), state{Status: "restarting", Running: true, StartedAt: "x"}
	paused.Status, paused.Paused = "paused", true
	starts := 0
	tests := []struct {
		name, place string
		answer      func(string) (int, any)
		err         error // nil = found
		text, hint  string
		check       func(*Namespace) bool
	}{
		{name: "paused", answer: one("web", paused), check: func(n *Namespace) bool { return n.Paused }},
		{name: "in the host's namespace", answer: give("web", longID, "host", runs(pid)), check: func(n *Namespace) bool { return !n.Own }},
		{name: "in another one's", answer: give("web", longID, "container:abc", runs(pid)), check: func(n *Namespace) bool { return !n.Own }},
		{name: "by its id", place: "container:" + longID[:12], answer: give("web", longID, "bridge", runs(pid)), check: func(n *Namespace) bool { return n.PID == pid }},
		{name: "no such container", answer: say(404, "No such container: web"), err: ErrGone, text: "has no container of this name", hint: "docker ps"},
		{name: "stopped", answer: one("web", state{Status: "exited"}), err: ErrGone, text: "does not run, it is exited", hint: "start it"},
		{name: "between two starts", answer: one("web", restarting), err: ErrGone, text: "it is restarting", hint: "start it"},
		{name: "the beginning of an id", place: "container:0123", answer: give("web", longID, "bridge", runs(pid)), err: ErrAmbiguous, text: "beginning of the id of web", hint: "container:web"},
		{name: "an ambiguous beginning", answer: say(400, "Multiple IDs found with provided prefix: web\nmore"), err: ErrUnknown, text: "answered 400: Multiple IDs found with provided prefix: web", hint: "full name"},
		{name: "broken service", answer: say(500, ""), err: ErrUnknown, text: "answered 500: no reason given"},
		{name: "not the words of a container", answer: func(string) (int, any) { return 200, []int{1} }, err: ErrUnknown, text: "cannot be read"},
		{name: "a process that is not here", answer: one("web", runs(1<<22+1)), err: ErrUnknown, text: "is not to be seen here", hint: "PID namespace"},
		{name: "always another process", answer: func(string) (int, any) {
			starts++
			s := runs(pid)
			s.StartedAt = strconv.Itoa(starts)
			return http.StatusOK, inspection("web", longID, "bridge", s)
		}, err: ErrGone, text: "again and again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, &service{version: "1.43", answer: tt.answer})
			place := tt.place
			if place == "" {
				place = "container:web"
			}
			ns, err := (&Finder{Sockets: []string{s.socket}}).Open(t.Context(), place)
			if err == nil {
				defer ns.File.Close()
				if tt.err != nil || !tt.check(ns) {
					t.Errorf("%+v, want error %v", ns, tt.err)
				}
				return
			}
			wantError(t, err, place, tt.err, tt.text, tt.hint)
		})
	}
}

func wantError(t *testing.T, err error, place string, kind error, text, hint string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || kind == nil || !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	if e.Place != place || !strings.Contains(err.Error(), text) || !strings.Contains(e.Hint, hint) || e.Hint == "" {
		t.Errorf("error %q of %s, hint %q; want %q, %q", err, e.Place, e.Hint, text, hint)
	}
}

func TestServices(t *testing.T) {
	pid := process(t)
	with, without := serve(t, &service{answer: one("web", runs(pid))}), serve(t, &service{answer: one("other", runs(pid))})
	also := serve(t, &service{answer: one("web", runs(pid))})
	none := filepath.Join(t.TempDir(), "none")
	shut := filepath.Join(t.TempDir(), "shut")
	l, err := net.Listen("unix", shut)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name       string
		sockets    []string
		env        string
		err        error
		text, hint string
	}{
		{name: "one of two knows it", sockets: []string{without.socket, with.socket}},
		{name: "both know it", sockets: []string{with.socket, also.socket}, err: ErrAmbiguous, text: "each have one", hint: "DOCKER_HOST"},
		{name: "none knows it", sockets: []string{without.socket, without.socket}, err: ErrGone, text: "none of", hint: "docker ps"},
		{name: "no socket", sockets: []string{none}, err: ErrUnknown, text: "no such file", hint: "start the container service"},
		{name: "nobody listens", sockets: []string{shut}, err: ErrUnknown, text: "connection refused", hint: "start the container service"},
		{name: "one cannot be asked", sockets: []string{with.socket, shut}, err: ErrUnknown, text: "connection refused", hint: "start"},
		{name: "of another machine", env: "tcp://192.0.2.1:2375", err: ErrUnknown, text: "unix:// socket only", hint: "must run on this host"},
		{name: "by the environment", env: "unix://" + with.socket},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &Finder{Sockets: tt.sockets, Getenv: func(k string) string { return map[string]string{"DOCKER_HOST": tt.env}[k] }}
			ns, err := f.Open(t.Context(), "container:web")
			if err == nil {
				defer ns.File.Close()
				if tt.err != nil {
					t.Errorf("found, want %v", tt.err)
				}
				return
			}
			wantError(t, err, "container:web", tt.err, tt.text, tt.hint)
		})
	}
}

// A service that does not answer ends with ctx.
func TestSilentService(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, &service{answer: func(string) (int, any) {
		cancel()
		select {
		case <-t.Context().Done():
		case <-ctx.Done():
		}
		return 200, nil
	}})
	if _, err := (&Finder{Sockets: []string{s.socket}}).Open(ctx, "container:web"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestNamed(t *testing.T) {
	pid := process(t)
	dir := t.TempDir()
	f := &Finder{NetNS: dir}
	for _, name := range []string{"blue", "red-1", "-x", "a b"} {
		if err := os.Symlink(fmt.Sprintf("/proc/%d/ns/net", pid), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	ns, err := f.Open(t.Context(), "netns:blue")
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.File.Close(); err != nil || ns.PID != 0 || ns.Place != "netns:blue" {
		t.Errorf("%+v, %v", ns, err)
	}
	names, err := f.Names()
	if got := strings.Join(names, " "); err != nil || got != "netns:blue netns:red-1" {
		t.Errorf("names %q, %v", got, err)
	}
	_, err = f.Open(t.Context(), "netns:gone")
	wantError(t, err, "netns:gone", ErrGone, "no network namespace of this name", "ip netns list")
	if _, err := f.Open(t.Context(), "netns:../x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a name with a slash: %v", err)
	}
	if names, err := (&Finder{NetNS: filepath.Join(dir, "none")}).Names(); err != nil || len(names) > 0 {
		t.Errorf("without the folder: %q, %v", names, err)
	}
}
