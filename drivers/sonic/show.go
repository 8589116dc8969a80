package sonic

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spanctl/spanctl/models"
)

// table is one table as the commands print it: a line of titles, a line of dashes below
// it that says where the columns are, and rows. Cells may be empty, and a cell may be
// longer than its column in old releases, so columns are cut by the dashes.
type table struct {
	titles []string
	rows   [][]string
}

func (t table) column(title string) int {
	for i, have := range t.titles {
		if strings.EqualFold(have, title) {
			return i
		}
	}
	return -1
}

// cell gives the cell of a row under a title, "" where there is none.
func (t table) cell(row []string, title string) string {
	if i := t.column(title); i >= 0 && i < len(row) {
		return row[i]
	}
	return ""
}

var dashes = regexp.MustCompile(`^ *-{2,}( +-{2,})* *$`)

// tables finds the tables in a text.
func tables(text string) []table {
	lines := strings.Split(text, "\n")
	var out []table
	for i := 1; i < len(lines); i++ {
		if !dashes.MatchString(lines[i]) {
			continue
		}
		spans := columns(lines[i])
		t := table{titles: cut(lines[i-1], spans)}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "" && !strings.HasPrefix(lines[i], "Total "); i++ {
			if strings.Trim(lines[i], "-") == "" {
				break // a line that ends the table
			}
			if dashes.MatchString(lines[i]) {
				i-- // a table right below, whose titles were taken for a row
				t.rows = t.rows[:max(len(t.rows)-1, 0)]
				break
			}
			t.rows = append(t.rows, cut(lines[i], spans))
		}
		out = append(out, t)
	}
	return out
}

// columns gives where each column begins.
func columns(line string) []int {
	var out []int
	for i := range len(line) {
		if line[i] == '-' && (i == 0 || line[i-1] == ' ') {
			out = append(out, i)
		}
	}
	return out
}

// cut takes a line apart at the beginnings of columns. A word that stands across one
// belongs to the column in which it begins.
func cut(line string, begins []int) []string {
	out := make([]string, len(begins))
	begins = append([]int{}, begins...)
	for i, b := range begins {
		for b > 0 && b < len(line) && line[b] != ' ' && line[b-1] != ' ' && i > 0 {
			b++
		}
		begins[i] = min(b, len(line))
	}
	for i, b := range begins {
		end := len(line)
		if i+1 < len(begins) {
			end = begins[i+1]
		}
		if b < end {
			out[i] = strings.TrimSpace(line[b:end])
		}
	}
	return out
}

// sessionStates reads "show mirror_session": two tables, of ERSPAN and of SPAN, whose
// columns differ from release to release. The state is STATE_DB's: "inactive" until the
// way to a receiver is known, "error" when the ASIC refused [su].
func sessionStates(text string, st *models.DeviceState) error {
	states := make(map[string]string)
	seen := false
	for _, t := range tables(text) {
		if t.column("Name") < 0 || t.column("Status") < 0 {
			continue
		}
		seen = true
		for _, row := range t.rows {
			states[t.cell(row, "Name")] = t.cell(row, "Status")
		}
	}
	if !seen {
		return errors.New("there is no table of sessions")
	}
	for _, s := range st.Sessions {
		if states[s.Name] == "" {
			return fmt.Errorf("session %s is configured, but has no status here: is the text cut?", s.Name)
		}
	}
	for i := range st.Sessions {
		s := &st.Sessions[i]
		switch state := states[s.Name]; state {
		case "active":
			s.Status = models.Status{State: models.OperUp}
		case "inactive", "error":
			s.Status = models.Status{State: models.OperDown, Reason: state}
		default:
			return fmt.Errorf("session %s has the status %q, which is neither active, inactive nor error: is the text cut?", s.Name, state)
		}
	}
	return nil
}

// portStates reads "show interfaces status", which has all ports.
func portStates(text string, st *models.DeviceState) error {
	known := 0
	for _, t := range tables(text) {
		for _, row := range t.rows {
			p, ok := st.Ports[t.cell(row, "Interface")]
			if !ok || t.cell(row, "Admin") == "" {
				continue
			}
			switch t.cell(row, "Oper") {
			case "up":
				p.Oper = models.OperUp
			case "down":
				p.Oper = models.OperDown
			}
			known++
			st.Ports[p.Name] = p
		}
	}
	ports := 0
	for name := range st.Ports {
		if portName.MatchString(name) {
			ports++
		}
	}
	if known < ports {
		return fmt.Errorf("%d of %d ports have a state here: is the text cut?", known, ports)
	}
	return nil
}

var (
	neighborCount = regexp.MustCompile(`(?m)^Total entries displayed: +(\d+) *\n`)
	macCount      = regexp.MustCompile(`(?m)^Total number of entries +(\d+) *\n`)
)

// counted compares the rows that were read with the number that stands below them.
func counted(text string, count *regexp.Regexp, rows int) error {
	m := count.FindStringSubmatch(text + "\n") // the last line's end can be gone
	if m == nil {
		return errors.New("the line with the number of entries is missing: is the text cut?")
	}
	if m[1] != strconv.Itoa(rows) {
		return fmt.Errorf("%d entries where there should be %s", rows, m[1])
	}
	return nil
}

// neighbors reads "show lldp table".
func neighbors(text string, st *models.DeviceState) error {
	n := 0
	for _, t := range tables(text) {
		for _, row := range t.rows {
			n++
			if p, ok := st.Ports[t.cell(row, "LocalPort")]; ok {
				p.Neighbors = append(p.Neighbors, strings.TrimSpace(t.cell(row, "RemoteDevice")+" "+t.cell(row, "RemotePortID")))
				st.Ports[p.Name] = p
			}
		}
	}
	return counted(text, neighborCount, n)
}

// macs reads "show mac".
func macs(text string, st *models.DeviceState) error {
	n := 0
	for _, t := range tables(text) {
		for _, row := range t.rows {
			n++
			if p, ok := st.Ports[t.cell(row, "Port")]; ok {
				p.MACs++
				st.Ports[p.Name] = p
			}
		}
	}
	return counted(text, macCount, n)
}

var versionLine = regexp.MustCompile(`(?m)^(SONiC Software Version|Serial Number): *(\S+)`)

// version reads "show version" up to its list of images.
func version(text string, st *models.DeviceState) error {
	if !strings.Contains(text, "SONiC Software Version: ") || !strings.Contains(text, "Docker images:") {
		return errors.New("there is no version, or no list of images behind it: is the text cut?")
	}
	for _, m := range versionLine.FindAllStringSubmatch(text, -1) {
		switch m[1] {
		case "SONiC Software Version":
			st.Facts.Version = m[2]
		default:
			st.Facts.Serial = m[2]
		}
	}
	return nil
}
