package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/viper"
	"golang.org/x/term"

	"github.com/spanctl/spanctl/models/plan"
)

// settings are those of the tool itself: a flag wins over an environment variable
// (SPANCTL_…), that over the settings file, that over the default.
type settings struct {
	Inventory      []string      `mapstructure:"inventory"`
	Store          string        `mapstructure:"store"`
	Output         string        `mapstructure:"output"`
	Parallel       int           `mapstructure:"parallel"`
	Timeout        time.Duration `mapstructure:"timeout"`
	ConnectTimeout time.Duration `mapstructure:"connect-timeout"`
	HostKey        string        `mapstructure:"host-key"`
	KnownHosts     []string      `mapstructure:"known-hosts"`
	AllowPlaintext bool          `mapstructure:"allow-plaintext"`
	Force          bool          `mapstructure:"force"`
	Oversubscribe  string        `mapstructure:"oversubscription"`
	LogLevel       string        `mapstructure:"log-level"`
	LogFormat      string        `mapstructure:"log-format"`
	NoProgress     bool          `mapstructure:"no-progress"`

	log *slog.Logger
}

func addSettings(root *cobra.Command, v *viper.Viper) {
	f := root.PersistentFlags()
	f.StringSliceP("inventory", "i", []string{"inventory.yaml"}, "inventory `files`: spanctl's own, or containerlab topologies")
	f.String("store", defaultStore(), "`file` in which spanctl remembers what it did")
	f.StringP("output", "o", "table", "`form` of the result: table, json or yaml")
	f.Int("parallel", 50, "devices to work on at once")
	f.Duration("timeout", 30*time.Second, "longest wait for one answer of a device")
	f.Duration("connect-timeout", 10*time.Second, "longest wait for a connection and login")
	f.String("host-key", "strict", "unknown SSH host keys: strict refuses them, accept-new writes them down")
	f.StringSlice("known-hosts", nil, "known_hosts `files`; default: the inventory's, else ~/.ssh/known_hosts")
	f.Bool("allow-plaintext", false, "accept passwords written in the inventory")
	f.Bool("force", false, "accept a destination port that is in use; it loses its duty")
	f.String("oversubscription", "warn", "sources that exceed the destination's rate: warn or refuse")
	f.String("log-level", "warn", "debug, info, warn or error")
	f.String("log-format", "text", "text or json")
	f.Bool("no-progress", false, "no progress bar")
	f.String("config", "", "settings `file`; default: spanctl/config.yaml in the user's configuration folder")
	// BindPFlags gives each setting its default too, so that Unmarshal sees an
	// environment variable for every key.
	if err := v.BindPFlags(f); err != nil {
		panic(err) // only for a nil flag set
	}
	v.SetEnvPrefix("spanctl")
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	v.AutomaticEnv()
}

func (a *app) readSettings(v *viper.Viper, cmd *cobra.Command) error {
	file := v.GetString("config")
	if file == "" {
		if dir, err := os.UserConfigDir(); err == nil {
			if p := filepath.Join(dir, "spanctl", "config.yaml"); exists(p) {
				file = p
			}
		}
	}
	if file != "" {
		v.SetConfigFile(file)
		if err := v.ReadInConfig(); err != nil {
			return fmt.Errorf("settings %s: %w", file, err)
		}
	}
	var s settings
	known := v.AllSettings()
	delete(known, "config")
	var names, unknown []string
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if cmd.Root().PersistentFlags().Lookup(key) != nil {
			names = append(names, key) // every flag has a key here
		} else {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		text := fmt.Sprintf("settings %s: unknown key %q", file, unknown[0])
		if near := plan.Nearest(unknown[0], names); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return errors.New(text)
	}
	if err := v.Unmarshal(&s); err != nil {
		text := strings.Join(strings.Fields(err.Error()), " ") // the library's has several lines
		return fmt.Errorf("settings%s: %s", sources(names, file), text)
	}
	if err := s.check(); err != nil {
		return err
	}
	log, err := newLogger(s, a.err)
	if err != nil {
		return err
	}
	s.log = log
	a.set = s
	return nil
}

// sources names the places beside flags, which are checked before, that a wrong value
// may have come from.
func sources(keys []string, file string) string {
	var out []string
	for _, key := range keys {
		name := "SPANCTL_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if os.Getenv(name) != "" {
			out = append(out, name)
		}
	}
	if file != "" {
		out = append(out, file)
	}
	if len(out) == 0 {
		return ""
	}
	return " (from " + strings.Join(out, ", ") + ")"
}

func (s settings) check() error {
	var errs []error
	one := func(name, have string, want ...string) {
		for _, w := range want {
			if have == w {
				return
			}
		}
		errs = append(errs, fmt.Errorf("--%s is %q; want %s", name, have, strings.Join(want, ", ")))
	}
	one("output", s.Output, "table", "json", "yaml")
	one("host-key", s.HostKey, "strict", "accept-new")
	one("oversubscription", s.Oversubscribe, "warn", "refuse")
	one("log-format", s.LogFormat, "text", "json")
	if s.Parallel < 1 || s.Parallel > 10000 {
		errs = append(errs, fmt.Errorf("--parallel is %d; want 1 to 10000", s.Parallel))
	}
	if s.Timeout <= 0 || s.ConnectTimeout <= 0 {
		errs = append(errs, errors.New("--timeout and --connect-timeout must be longer than nothing"))
	}
	return errors.Join(errs...)
}

func (s settings) policy() plan.Policy {
	return plan.Policy{Force: s.Force, RefuseOversubscription: s.Oversubscribe == "refuse"}
}

func newLogger(s settings, w interface{ Write([]byte) (int, error) }) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level is %q; want debug, info, warn or error", s.LogLevel)
	}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), nil
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(w)})), nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// defaultStore is in the user's state folder (XDG Base Directory Specification).
func defaultStore() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "spanctl", "spanctl.db")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "spanctl.db"
	}
	return filepath.Join(home, ".local", "state", "spanctl", "spanctl.db")
}
