package nsname

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	askWithin = 10 * time.Second
	maxAnswer = 8 << 20 // bytes; an inspection takes some kilobytes
	// shortID is how many digits of an id the tools print; fewer may fit another
	// container tomorrow.
	shortID = 12
)

// container is what an inspection (GET /containers/NAME/json) says that matters here.
// A paused container is running, too: Docker Engine API, ContainerState.
type container struct {
	ID    string `json:"Id"`
	Name  string `json:"Name"` // "/web"
	State struct {
		Status    string `json:"Status"`
		Running   bool   `json:"Running"`
		Paused    bool   `json:"Paused"`
		PID       int    `json:"Pid"`
		StartedAt string `json:"StartedAt"`
	} `json:"State"`
	HostConfig struct {
		NetworkMode string `json:"NetworkMode"`
	} `json:"HostConfig"`
}

// ask asks all services for a container and wants exactly one answer.
func (f *Finder) ask(ctx context.Context, sockets []string, name string) (container, error) {
	var found []container
	var at []string
	for _, socket := range sockets {
		c, err := inspect(ctx, socket, name)
		switch {
		case errors.Is(err, ErrGone) && len(sockets) > 1:
		case err != nil:
			return container{}, err
		default:
			found, at = append(found, c), append(at, socket)
		}
	}
	switch {
	case len(found) == 0:
		return container{}, &Error{Err: fmt.Errorf("%w: none of %s has a container of this name", ErrGone, strings.Join(sockets, ", ")), Hint: hintGone}
	case len(found) > 1:
		return container{}, &Error{Err: fmt.Errorf("%w: %s each have one of this name", ErrAmbiguous, strings.Join(at, " and ")),
			Hint: "set DOCKER_HOST to unix:// and the path of the socket that is meant"}
	}
	return running(found[0], name)
}

const hintGone = "docker ps, or podman ps, shows the containers that run"

// running refuses a container that has no process, and one that the service found by
// something else than its name.
func running(c container, name string) (container, error) {
	if own := strings.TrimPrefix(c.Name, "/"); own != name && !(len(name) >= shortID && strings.HasPrefix(c.ID, name)) {
		return container{}, &Error{Err: fmt.Errorf("%w of this name: the service took it for the beginning of the id of %s", ErrAmbiguous, own), Hint: "write container:" + own}
	}
	if !c.State.Running || c.State.PID <= 0 {
		return container{}, &Error{Err: fmt.Errorf("%w: the container does not run, it is %s", ErrGone, c.State.Status), Hint: "start it"}
	}
	return c, nil
}

// inspect asks one service. The version of its interface comes from /_ping, which has
// none in its path: paths without a version are on their way out.
func inspect(ctx context.Context, socket, name string) (container, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	_, head, _, err := get(ctx, client, "/_ping")
	if err != nil {
		return container{}, unreachable(socket, err)
	}
	version := ""
	if v := head.Get("Api-Version"); v != "" {
		version = "/v" + v
	}
	status, _, body, err := get(ctx, client, version+"/containers/"+url.PathEscape(name)+"/json")
	if err != nil {
		return container{}, unreachable(socket, err)
	}
	var c container
	switch status {
	case http.StatusOK:
		if err := json.Unmarshal(body, &c); err != nil {
			return c, &Error{Err: fmt.Errorf("%w: %s gave an answer that cannot be read: %w", ErrUnknown, socket, err), Hint: "want a service that speaks Docker's interface"}
		}
		return c, nil
	case http.StatusNotFound:
		return c, &Error{Err: fmt.Errorf("%w: %s has no container of this name", ErrGone, socket), Hint: hintGone}
	default:
		return c, &Error{Err: fmt.Errorf("%w: %s answered %d: %s", ErrUnknown, socket, status, message(body)), Hint: "write the container's full name"}
	}
}

func get(ctx context.Context, client *http.Client, path string) (status int, head http.Header, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header, body, err
}

func unreachable(socket string, err error) error {
	e := &Error{Err: fmt.Errorf("%w: %s: %w", ErrUnknown, socket, err), Hint: "start the container service, or set DOCKER_HOST to unix:// and the path of its socket"}
	if errors.Is(err, fs.ErrPermission) {
		e.Hint = "run spanctl as root, or as a user who may use the container service"
	}
	return e
}

// message reads the text of an error answer.
func message(body []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &m) != nil || m.Message == "" {
		return "no reason given"
	}
	line, _, _ := strings.Cut(m.Message, "\n")
	return line
}
