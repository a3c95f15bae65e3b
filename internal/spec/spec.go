package spec

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Table is the path of the requirements table from the module's root.
const Table = "internal/spec/requirements.tsv"

//go:embed requirements.tsv
var table string

// A Row is one requirement.
type Row struct {
	ID          string // such as RFC9700-4.14.2-1: document, section, number in that section
	Status      Status
	Reason      string // why it is refused or later; empty for a covered row
	Source      string // the document and the section's title
	Requirement string // in our own words
	Note        string // how we read it, or what stands in its place; may be empty
	Line        int    // in requirements.tsv, from 1
}

// A Status says what became of a requirement.
type Status string

const (
	Covered Status = "covered" // built, and at least one test names the row
	Refused Status = "refused" // will not be built, and Reason says why and what to use instead
	Later   Status = "later"   // not built yet
)

// BeingBuilt is the Reason of a Later row whose feature is in work; a finished release
// has none.
const BeingBuilt = "being built"

const columns = 5

var idForm = regexp.MustCompile(`^[A-Z][A-Z0-9]*(-[A-Za-z0-9.]+)+$`)

// Rows returns the whole table in its order.
func Rows() ([]Row, error) { return Parse(table) }

// Parse reads a table: lines of five columns separated by tabs (id, status, source,
// requirement, note), the first line naming them; empty lines and lines that start
// with # are skipped. All mistakes are reported at once, each with its line.
func Parse(text string) ([]Row, error) {
	var rows []Row
	var wrong []string
	seen := make(map[string]int)
	header := false
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		complain := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s:%d: ", Table, number)+fmt.Sprintf(format, args...))
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "\t")
		if !header {
			header = true
			if got := strings.Join(cells, " "); got != "id status source requirement note" {
				complain("the first line is %q, want the column names id, status, source, requirement, note", got)
			}
			continue
		}
		if len(cells) != columns {
			complain("%d columns, want %d separated by single tabs", len(cells), columns)
			continue
		}
		row := Row{ID: cells[0], Source: cells[2], Requirement: cells[3], Note: cells[4], Line: number}
		status, reason, _ := strings.Cut(cells[1], ":")
		row.Status, row.Reason = Status(status), strings.TrimSpace(reason)
		switch {
		case !idForm.MatchString(row.ID):
			complain("id %q does not look like RFC9700-4.14.2-1 or RU-05", row.ID)
		case seen[row.ID] != 0:
			complain("%s is already on line %d", row.ID, seen[row.ID])
		case row.Status == Covered && row.Reason != "":
			complain("%s: covered takes no reason; use the note", row.ID)
		case (row.Status == Refused || row.Status == Later) && row.Reason == "":
			complain("%s: write why after %q", row.ID, status+":")
		case row.Status != Covered && row.Status != Refused && row.Status != Later:
			complain("%s: status %q, want covered, refused: why, or later: why", row.ID, cells[1])
		case row.Source == "" || row.Requirement == "":
			complain("%s: source and requirement must not be empty", row.ID)
		}
		seen[row.ID] = number
		rows = append(rows, row)
	}
	if len(wrong) > 0 {
		return rows, fmt.Errorf("%s", strings.Join(wrong, "\n"))
	}
	return rows, nil
}

// Covers says that test t proves the rows named by ids, and fails t when one of them is
// not in the table. The ids must be string literals: the gate reads them from the source.
func Covers(t testing.TB, ids ...string) {
	t.Helper()
	if len(ids) == 0 {
		t.Fatal("spec.Covers: name at least one row of " + Table)
	}
	rows, err := Rows()
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool, len(rows))
	for _, row := range rows {
		known[row.ID] = true
	}
	for _, id := range ids {
		if !known[id] {
			t.Errorf("spec.Covers: %q is not a row of %s; correct the id or add the row", id, Table)
		}
	}
}
