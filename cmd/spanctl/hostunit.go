package main

import (
	_ "embed"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

// hostUnit is what the service of host unit does.
type hostUnit struct {
	Name      string // of the files, without .service and .timer
	Binary    string // path of spanctl
	Runs      string // the host command
	Device    string
	Namespace string   // path of the network namespace, "" = the host's
	Inventory []string // "" without one
	Intents   []string
	Store     string // "" = stateFile
	Every     time.Duration
	BPF       bool
}

// stateFile is the store of a service. Its folder is made by systemd.
const stateFile = "/var/lib/spanctl/spanctl.db"

//go:embed hostunit.service.tmpl
var serviceText string

//go:embed hostunit.timer.tmpl
var timerText string

var (
	serviceTemplate = template.Must(template.New("service").Parse(serviceText))
	timerTemplate   = template.Must(template.New("timer").Parse(timerText))
)

// files gives the texts of the service and of the timer.
func (u *hostUnit) files() (service, timer string, err error) {
	if err := u.check(); err != nil {
		return "", "", err
	}
	v, err := u.view()
	if err != nil {
		return "", "", err
	}
	var s, t strings.Builder
	if err := serviceTemplate.Execute(&s, v); err != nil {
		return "", "", err
	}
	if err := timerTemplate.Execute(&t, v); err != nil {
		return "", "", err
	}
	return s.String(), t.String(), nil
}

// unitView is what the templates show.
type unitView struct {
	Title        string // of the host
	Command      string // of ExecStart
	Capabilities string
	BPF          bool
	Namespace    bool
	StateDir     string // below /var/lib, "" when the store is elsewhere
	WritePaths   string
	ProtectHome  string
	PrivateTmp   string
	Every        string
}

func (u *hostUnit) view() (unitView, error) {
	v := unitView{Title: strings.ReplaceAll(u.Device, "%", "%%"), BPF: u.BPF, Namespace: u.Namespace != "", Every: u.Every.String(), ProtectHome: "yes", PrivateTmp: "yes"}
	store := u.Store
	if store == "" {
		store = stateFile
	}
	paths := [][]string{{u.Binary}, {store}, slices.Clone(u.Inventory), slices.Clone(u.Intents)}
	for _, list := range paths {
		for i := range list {
			abs, err := filepath.Abs(list[i])
			if err != nil {
				return v, err
			}
			list[i] = abs
			switch {
			case below(abs, "/home", "/root", "/run/user"):
				v.ProtectHome = "read-only"
			case below(abs, "/tmp", "/var/tmp"):
				v.PrivateTmp = "no"
			}
		}
	}
	binary, store, inv, intents := paths[0][0], paths[1][0], paths[2], paths[3]
	args := []string{binary, "host", u.Runs, "--yes", "--no-progress", "--device", u.Device, "--store", store}
	if u.Namespace != "" && len(inv) == 0 {
		args = append(args, "--namespace", u.Namespace)
	}
	if len(inv) > 0 {
		args = append(args, "--inventory", strings.Join(inv, ","))
	}
	if len(intents) > 0 {
		args = append(args, "--intents", strings.Join(intents, ","))
	}
	for i, a := range args {
		args[i] = unitWord(a)
	}
	v.Command = strings.Join(args, " ")
	caps := []string{"CAP_NET_ADMIN"}
	if u.BPF {
		caps = append(caps, "CAP_BPF", "CAP_PERFMON") // see bpfcopy.Missing
	}
	if v.Namespace {
		caps = append(caps, "CAP_SYS_ADMIN")
	}
	v.Capabilities = strings.Join(caps, " ")
	var write []string
	if dir := filepath.Dir(store); filepath.Dir(dir) == "/var/lib" {
		v.StateDir = filepath.Base(dir)
	} else {
		write = append(write, unitWord(dir))
	}
	if u.BPF {
		write = append(write, "-/sys/fs/bpf")
	}
	v.WritePaths = strings.Join(write, " ")
	return v, nil
}

func below(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}

// unitWord writes a word of a command line or a path as systemd reads it: % and $ stand
// for something, quotes and backslashes are as in C (systemd.service(5), "Command
// lines"; systemd.syntax(7), "Quoting").
func unitWord(s string) string {
	s = strings.NewReplacer("%", "%%", "$", "$$").Replace(s)
	if s != "" && !strings.ContainsAny(s, " \t\n\"'\\;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(s) + `"`
}
