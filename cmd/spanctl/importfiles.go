package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/drivers/all"
	"github.com/spanctl/spanctl/models"
	"github.com/spanctl/spanctl/models/plan"
)

// ImportedFile is what import --offline found in one file.
type ImportedFile struct {
	File     string           `json:"file"`
	Platform string           `json:"platform,omitempty"`
	Device   models.DeviceID  `json:"device,omitempty"` // its host name, else the name of the file
	Sessions []models.Session `json:"sessions"`
	Errors   []FileError      `json:"errors,omitempty"`
}

// FileError is something in a file that cannot be read.
type FileError struct {
	Line    int    `json:"line,omitempty"` // from 1; 0 = the file as a whole
	Text    string `json:"text,omitempty"`
	Message string `json:"message"`
}

func (a *app) importFiles(files []string, o importOptions) error {
	if len(files) == 0 {
		return errors.New("give files with configurations, as in spanctl import --offline backups/*")
	}
	reg, err := all.Registry()
	if err != nil {
		return err
	}
	if o.platform != "" {
		p, err := reg.Platform(o.platform)
		if err != nil {
			return err
		}
		if p.Backup == nil {
			return fmt.Errorf("configurations of %s (%s) cannot be read from files; those of %s can", p.Name, p.Key, strings.Join(readable(), ", "))
		}
	}
	out := make([]ImportedFile, len(files))
	taken := make(map[models.DeviceID]string)
	var sessions []models.Session
	failed := false
	for i, file := range files {
		out[i] = importFile(file, o.platform)
		f := &out[i]
		if other, dup := taken[f.Device]; dup && len(f.Errors) == 0 {
			f.Errors, f.Sessions = []FileError{{Message: fmt.Sprintf("it is about %s, as is %s", f.Device, other)}}, []models.Session{}
		}
		taken[f.Device] = file
		for _, e := range f.Errors {
			failed = true
			a.talk("error: %s", e.in(file))
		}
		sessions = append(sessions, f.Sessions...)
	}
	if a.set.Output != "table" {
		err = a.print(out, nil)
	} else {
		imported, notes := plan.Import(sessions)
		for _, n := range notes {
			a.talk("not imported: %s: %s", n.Device, n.Text)
		}
		err = a.writeIntents(imported, o.out)
	}
	if err == nil && failed {
		return exit(exitError)
	}
	return err
}

// in gives FILE:LINE: what is wrong.
func (e FileError) in(file string) string {
	if e.Line == 0 {
		return file + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d: %q: %s", file, e.Line, e.Text, e.Message)
}

// importFile reads one file; key is its platform, "" where it is to be guessed.
func importFile(file, key string) ImportedFile {
	out := ImportedFile{File: file, Sessions: []models.Session{}}
	fail := func(err error) ImportedFile {
		out.Errors = append(out.Errors, FileError{Message: err.Error()})
		return out
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fail(errors.New(strings.TrimPrefix(err.Error(), "open "+file+": ")))
	}
	backup, err := backupOf(key, string(text))
	if err != nil {
		return fail(err)
	}
	out.Platform = backup.key
	base := filepath.Base(file)
	name := models.DeviceID(strings.TrimSuffix(base, filepath.Ext(base)))
	st, bad, err := backup.Lines(name, string(text))
	for _, e := range bad {
		out.Errors = append(out.Errors, FileError{Line: e.Line, Text: e.Text, Message: e.Err.Error()})
	}
	out.Device = name
	if err != nil {
		return fail(err)
	}
	if st.Facts.Hostname != "" {
		out.Device = models.DeviceID(st.Facts.Hostname)
	}
	for _, s := range st.Sessions {
		s.Device = out.Device
		out.Sessions = append(out.Sessions, s.Normalize())
	}
	return out
}

// keyed is a reader of files with the platform that it is of.
type keyed struct {
	key string
	*drivers.Backup
}

// backupOf gives the reader of a platform, or of the only one that text looks like.
func backupOf(key, text string) (keyed, error) {
	var found []keyed
	var keys []string
	for _, p := range all.Platforms() {
		if p.Backup != nil && (p.Key == key || key == "" && p.Backup.Is(text)) {
			found = append(found, keyed{p.Key, p.Backup})
			keys = append(keys, p.Key)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return keyed{}, fmt.Errorf("it looks like the configuration of none of %s: say --platform, or leave it out", strings.Join(readable(), ", "))
	}
	return keyed{}, fmt.Errorf("it looks like a configuration of each of %s: say --platform", strings.Join(keys, ", "))
}

// readable gives the platforms whose configurations can be read from files.
func readable() []string {
	var out []string
	for _, p := range all.Platforms() {
		if p.Backup != nil {
			out = append(out, p.Key)
		}
	}
	return out
}
