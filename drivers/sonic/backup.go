package sonic

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spanctl/spanctl/drivers"
	"github.com/spanctl/spanctl/models"
)

// looks are tables that a config_db.json has and no other JSON file.
var looks = regexp.MustCompile(`(?s)^\s*\{.*"DEVICE_METADATA"\s*:\s*\{`)

// Backup reads files config_db.json, as "config save" writes them and backup tools keep
// them.
func Backup() *drivers.Backup {
	return &drivers.Backup{Is: looks.MatchString, Read: readBackup}
}

func readBackup(dev models.DeviceID, text string) (models.DeviceState, error) {
	st, err := parseConfig(dev, text)
	if err != nil {
		return models.DeviceState{}, atLine(text, err)
	}
	return st, nil
}

// atLine says in which line a session begins that cannot be read. It is no
// drivers.LineError: without one of its lines the text is no JSON any more.
func atLine(text string, err error) error {
	m := badSession.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	_, table, _ := strings.Cut(text, `"MIRROR_SESSION"`)
	at := strings.Index(table, `"`+m[1]+`"`)
	if at < 0 {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+strings.Count(text[:len(text)-len(table)+at], "\n"), err)
}

var badSession = regexp.MustCompile(`^MIRROR_SESSION (\S+): `)
