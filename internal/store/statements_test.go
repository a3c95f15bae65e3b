package store

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// untenanted are the statements that no tenant binds: those about the database itself.
var untenanted = []string{
	"sqlCreateMigrations", "sqlMigrationVersion", "sqlRecordMigration",
	"sqlCountChange", "sqlChangeCount", "sqlTakeSeqs", "sqlStoreSeq", "sqlClock", "sqlStoreClock",
	"sqlCountKeyChange", "sqlKeyChangeCount", "sqlNextTenant", "sqlTenants", "sqlTenantHosts",
	"sqlSeq", "sqlMoveSeq", "sqlMoveEndings", "sqlEndingsAfter", "sqlCountEndings",
	"sqlKeyEncryptionKey", "sqlSetKeyEncryptionKey",
	"sqlSweepNextInGrants", "sqlSweepNextInSessions", "sqlSweepNextInEndings", "sqlSweepNextInEvents", "sqlSweepNextInLogouts", "sqlDueLogouts",
	"sqlKVAdd", "sqlKVSet", "sqlKVSwap", "sqlKVPut", "sqlKVGet", "sqlKVTake", "sqlKVDelete", "sqlKVCount", "sqlKVSweep",
}

// statements returns the constants of the sql_*.go files by name, as the compiler sees them.
func statements(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("sql_*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files of statements: %v", err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	// The files hold nothing but constants, so they are a package of their own.
	pkg, err := new(types.Config).Check("statements", fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, name := range pkg.Scope().Names() {
		if c, ok := pkg.Scope().Lookup(name).(*types.Const); ok && strings.HasPrefix(name, "sql") {
			texts[name] = constant.StringVal(c.Val())
		}
	}
	return texts
}

var insertsTenant = regexp.MustCompile(`(?s)^INSERT INTO \w+ \(tenant, .*?(VALUES \(|SELECT )\$1\b`)

// bindsTenant says whether a statement can only touch rows of the tenant in $1: an insertion puts
// it first, and every table that is read or changed is narrowed by it.
func bindsTenant(text string) bool {
	if strings.HasPrefix(text, "INSERT") && !insertsTenant.MatchString(text) {
		return false
	}
	reads := len(regexp.MustCompile(`\b(FROM|UPDATE)\s+[a-z_]+`).FindAllString(text, -1))
	bound := len(regexp.MustCompile(`\btenant = \$1\b`).FindAllString(text, -1))
	return bound >= reads && bound+strings.Count(text, "INSERT") > 0
}

func TestEveryStatementIsBoundToATenant(t *testing.T) {
	texts := statements(t)
	if len(texts) < 60 {
		t.Fatalf("only %d statements were found", len(texts))
	}
	for name, text := range texts {
		exempt := slices.Contains(untenanted, name)
		if bound := bindsTenant(text); bound == exempt {
			t.Errorf("%s: bound to a tenant: %v, listed as an exception: %v\n%s", name, bound, exempt, text)
		}
	}
	for _, name := range untenanted {
		if texts[name] == "" {
			t.Errorf("the exception %s does not exist", name)
		}
	}
	for _, leak := range []string{
		`SELECT id FROM grants WHERE id = $1`,
		`DELETE FROM grants WHERE tenant = $1 AND id IN (SELECT id FROM grants WHERE leaves_at < $2)`,
		`INSERT INTO keys (id, tenant) VALUES ($1, $2)`,
		`UPDATE grants SET scope = '' WHERE id = $2`,
	} {
		if bindsTenant(leak) {
			t.Errorf("this statement passed: %s", leak)
		}
	}
}

// TestStatementsArePortable holds the statements to what both engines read.
func TestStatementsArePortable(t *testing.T) {
	foreign := regexp.MustCompile(`(?i)\bINSERT OR\b|\bREPLACE\b|\browid\b|\bdatetime\s*\(|\bstrftime\b|\bIFNULL\b|\bGLOB\b|\bunixepoch\b|\?|@|\bjson_|\bPRAGMA\b|"`)
	// On PostgreSQL min and max of two values are LEAST and GREATEST.
	scalar := regexp.MustCompile(`(?i)\b(MAX|MIN)\s*\([^()]*,`)
	for name, text := range statements(t) {
		if found := foreign.FindString(text); found != "" {
			t.Errorf("%s is written for one engine: %q", name, found)
		}
		if found := scalar.FindString(text); found != "" {
			t.Errorf("%s is written for one engine: %q", name, found)
		}
	}
	if !foreign.MatchString("INSERT OR IGNORE INTO x") || !scalar.MatchString("SET a = max(a, $2)") {
		t.Error("the check sees nothing")
	}
}

// TestStatementsPrepare has SQLite read every statement, those on rare paths too.
func TestStatementsPrepare(t *testing.T) {
	s := openTest(t)
	err := s.writer.do(t.Context(), quick, func(a *act) error {
		for name, text := range statements(t) {
			if _, err := a.file.prepare(text); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryTableBeginsItsKeyWithTheTenant(t *testing.T) {
	s := openTest(t)
	own := []string{"migrations", "counters", "key_encryption_key", "kv"}
	seen := 0
	err := s.writer.do(t.Context(), quick, func(a *act) error {
		return a.each(`SELECT m.name, COALESCE((SELECT name FROM pragma_table_info(m.name) WHERE pk = 1), '')
			FROM sqlite_schema m WHERE m.type = 'table'`, func(scan func(...any) error) error {
			var table, first string
			if err := scan(&table, &first); err != nil {
				return err
			}
			seen++
			if (first == "tenant") == slices.Contains(own, table) {
				t.Errorf("the primary key of %s begins with %q", table, first)
			}
			return nil
		})
	})
	if err != nil || seen < 15 {
		t.Fatalf("%d tables: %v", seen, err)
	}
}

// walks are the statements that go through all rows of a tenant in a table, or of all tenants, and why they may.
var walks = map[string]string{
	"sqlKVCount":          "measured, and never while a request waits",
	"sqlCountEndings":     "at the start",
	"sqlMoveEndings":      "after a failover",
	"sqlEndAllGrants":     "after a backup was put back",
	"sqlEndAllSessions":   "after a backup was put back",
	"sqlNotifyAllLogouts": "after a backup was put back",
	"sqlSweepEvents":      "the first of a tenant's, up to a limit",
}

// TestNoStatementWalksATable has SQLite tell how it would run each statement: what grows without bound is
// looked into by an index, beyond its tenant.
func TestNoStatementWalksATable(t *testing.T) {
	s := openTest(t)
	walk := regexp.MustCompile(`^SCAN (grants|events|sessions|consents|endings|users|kv|logout_notices)|^SEARCH (grants|events|sessions|consents|endings|users|logout_notices) USING .*\(tenant=\?\)$`)
	parameter := regexp.MustCompile(`\$(\d+)`)
	seen := 0
	err := s.writer.do(t.Context(), quick, func(a *act) error {
		for name, text := range statements(t) {
			if strings.HasPrefix(text, "CREATE") {
				continue
			}
			args := make([]any, 0)
			for _, found := range parameter.FindAllStringSubmatch(text, -1) {
				if n, err := strconv.Atoi(found[1]); err == nil && n > len(args) {
					args = append(args, make([]any, n-len(args))...)
				}
			}
			var steps []string
			err := a.each(`EXPLAIN QUERY PLAN `+text, func(scan func(...any) error) error {
				var id, parent, unused int64
				var step string
				if err := scan(&id, &parent, &unused, &step); err != nil {
					return err
				}
				steps = append(steps, step)
				return nil
			}, args...)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			seen += len(steps)
			walking := slices.ContainsFunc(steps, walk.MatchString)
			if may := walks[name] != ""; may != walking {
				t.Errorf("%s walks: %v, and may: %v\n%s\n%s", name, walking, may, text, strings.Join(steps, "\n"))
			}
		}
		return nil
	})
	if err != nil || seen < 60 {
		t.Fatalf("%d steps: %v", seen, err)
	}
}
