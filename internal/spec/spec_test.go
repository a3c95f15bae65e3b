package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write "+DivergencesFile+" anew")

// root is the module's root as seen from this package's directory, where tests run.
const root = "../.."

func readRows(t *testing.T) []Row {
	t.Helper()
	rows, err := Rows()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestEveryCoveredRowHasATest(t *testing.T) {
	rows := readRows(t)
	claims, err := Claims(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range Judge(rows, claims) {
		t.Error(wrong)
	}
}

func TestDivergencesPageIsCurrent(t *testing.T) {
	want := Divergences(readRows(t))
	path := filepath.Join(root, filepath.FromSlash(DivergencesFile))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says; run: go test ./internal/spec -update", DivergencesFile)
	}
}

func TestEveryRefusalOffersSomething(t *testing.T) {
	for _, row := range readRows(t) {
		if row.Status == Refused && !strings.Contains(row.Reason, ";") {
			t.Errorf("%s:%d: %s is refused because %q; say after a semicolon what to use instead", Table, row.Line, row.ID, row.Reason)
		}
	}
}

const header = "id\tstatus\tsource\trequirement\tnote\n"

func TestParse(t *testing.T) {
	rows, err := Parse("# a comment\n" + header + "\nRFC1-2.3-1\tlater: not yet\tRFC 1 §2.3\tDo it.\t\nRU-05\tcovered\tattacks\tRefuse it.\tnote\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	want := Row{ID: "RFC1-2.3-1", Status: Later, Reason: "not yet", Source: "RFC 1 §2.3", Requirement: "Do it.", Line: 4}
	if rows[0] != want {
		t.Errorf("got %+v, want %+v", rows[0], want)
	}
	if rows[1].Status != Covered || rows[1].Note != "note" || rows[1].Line != 5 {
		t.Errorf("got %+v", rows[1])
	}
}

func TestParseNamesEveryMistake(t *testing.T) {
	for _, test := range []struct{ text, says string }{
		{"id\tstatus\n", "the first line is"},
		{header + "RFC1-1-1\tcovered\tsource\n", "3 columns, want 5"},
		{header + "rfc1-1-1\tcovered\tsource\tdo\t\n", "does not look like"},
		{header + "RFC1-1-1\tcovered\tsource\tdo\t\nRFC1-1-1\tcovered\tsource\tdo\t\n", "is already on line 2"},
		{header + "RFC1-1-1\tcovered: yes\tsource\tdo\t\n", "takes no reason"},
		{header + "RFC1-1-1\tlater\tsource\tdo\t\n", "write why"},
		{header + "RFC1-1-1\trefused:\tsource\tdo\t\n", "write why"},
		{header + "RFC1-1-1\tdone\tsource\tdo\t\n", "want covered, refused: why, or later: why"},
		{header + "RFC1-1-1\tcovered\t\tdo\t\n", "must not be empty"},
	} {
		_, err := Parse(test.text)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("Parse(%q) says %v, want something with %q", test.text, err, test.says)
		}
	}
}

func TestJudge(t *testing.T) {
	rows := []Row{
		{ID: "A-1", Status: Covered},
		{ID: "A-2", Status: Covered},
		{ID: "A-3", Status: Refused, Reason: "no; use A-1"},
		{ID: "A-4", Status: Later, Reason: BeingBuilt},
		{ID: "A-5", Status: Later, Reason: BeingBuilt},
	}
	wrong := Judge(rows, []Claim{{"A-1", "a_test.go:1"}, {"A-3", "a_test.go:2"}, {"A-4", "a_test.go:3"}, {"A-4", "b_test.go:3"}, {"A-9", "a_test.go:4"}})
	says := []string{"a test covers A-3", "names A-9", "-settle (A-4)", "A-2 says covered"}
	if len(wrong) != len(says) {
		t.Fatalf("%d complaints, want %d:\n%s", len(wrong), len(says), strings.Join(wrong, "\n"))
	}
	for i, part := range says {
		if !strings.Contains(wrong[i], part) {
			t.Errorf("complaint %d is %q, want something with %q", i, wrong[i], part)
		}
	}
	if wrong := Judge(rows[:1], []Claim{{"A-1", "a_test.go:1"}}); len(wrong) != 0 {
		t.Errorf("a covered row with its test is complained about: %q", wrong)
	}
}

func TestSettle(t *testing.T) {
	text := header + "A-1\tlater: being built\ts\tr\t\nA-2\tlater: being built\ts\tr\tn\nA-3\tlater: next year\ts\tr\t\n"
	settled, turned := Settle(text, []Claim{{"A-2", "x"}, {"A-3", "x"}})
	want := header + "A-1\tlater: being built\ts\tr\t\nA-2\tcovered\ts\tr\tn\nA-3\tlater: next year\ts\tr\t\n"
	if settled != want {
		t.Errorf("got %q, want %q", settled, want)
	}
	if len(turned) != 1 || turned[0] != "A-2" {
		t.Errorf("turned %q, want A-2 only", turned)
	}
}

func TestClaims(t *testing.T) {
	for _, test := range []struct {
		name, source, ids, says string
	}{
		{"plain", "package p\nimport \"gatehouse/internal/spec\"\nfunc f() { spec.Covers(t, \"A-1\", `A-2`) }", "A-1 A-2", ""},
		{"renamed", "package p\nimport rows \"gatehouse/internal/spec\"\nfunc f() { rows.Covers(t, \"A-1\") }", "A-1", ""},
		{"another package of that name", "package p\nimport \"elsewhere/spec\"\nfunc f() { spec.Covers(t, \"A-1\") }", "", ""},
		{"in a comment", "package p\nimport \"gatehouse/internal/spec\"\n// spec.Covers(t, \"A-1\")\nvar _ = spec.Table", "", ""},
		{"variable", "package p\nimport \"gatehouse/internal/spec\"\nfunc f() { spec.Covers(t, id) }", "", "must be string literals"},
		{"not Go", "package", "", "expected"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a_test.go"), []byte(test.source), 0o600); err != nil {
				t.Fatal(err)
			}
			claims, err := Claims(dir)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("error %v, want something with %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, claim := range claims {
				ids = append(ids, claim.ID)
				if !strings.HasPrefix(claim.At, "a_test.go:") {
					t.Errorf("claim at %q, want a_test.go with a line", claim.At)
				}
			}
			if got := strings.Join(ids, " "); got != test.ids {
				t.Errorf("ids %q, want %q", got, test.ids)
			}
		})
	}
}

// failures stands for a test and counts how often it was failed.
type failures struct {
	testing.TB
	count int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.count++ }

func TestCoversFailsForAnUnknownRow(t *testing.T) {
	rows := readRows(t)
	stand := &failures{TB: t}
	call := Covers // under another name, for the gate must not read these ids as claims
	call(stand, "RFC0-0-0")
	if stand.count != 1 {
		t.Errorf("an unknown row failed the test %d times, want once", stand.count)
	}
	call(stand, rows[0].ID)
	if stand.count != 1 {
		t.Error("a known row failed the test")
	}
}
