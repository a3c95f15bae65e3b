package postgrestest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// postgresVariable has the URL of a PostgreSQL database in which tests may make schemas.
	postgresVariable = "GATEHOUSE_TEST_POSTGRES"
	// servicesVariable is 1 when nothing may be skipped for lack of a service.
	servicesVariable = "GATEHOUSE_TEST_SERVICES"

	schemaTime = 30 * time.Second
)

// Schema returns the URL of an empty schema in the PostgreSQL database of the tests. The schema
// goes with the test. Without such a database the test is skipped, or fails where no service may
// be missing.
func Schema(t testing.TB) string {
	t.Helper()
	base, location := testServer(t)
	schema := "test_" + strings.ToLower(rand.Text()[:16])
	Run(t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { Run(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	query := location.Query()
	query.Set("search_path", schema)
	location.RawQuery = query.Encode()
	return location.String()
}

// Database returns the URL of a new PostgreSQL database: an empty one, or a copy of the one
// that template is the URL of and that nobody may be connected to. A copy goes with the test; a
// first one stays, since copies may be made of it, until the server of the tests goes.
func Database(t testing.TB, template string) string {
	t.Helper()
	base, location := testServer(t)
	name := "gatehouse_test_" + strings.ToLower(rand.Text()[:16])
	text := "CREATE DATABASE " + name
	if template != "" {
		original, err := url.Parse(template)
		if err != nil {
			t.Fatal("the template is no URL")
		}
		text += " TEMPLATE " + strings.TrimPrefix(original.Path, "/")
		t.Cleanup(func() { Run(t, base, "DROP DATABASE "+name+" WITH (FORCE)") })
	}
	Run(t, base, text)
	location.Path = "/" + name
	return location.String()
}

// Server returns the URL of the PostgreSQL server of the tests. Without one the test is skipped, or
// fails where no service may be missing.
func Server(t testing.TB) string {
	t.Helper()
	base, _ := testServer(t)
	return base
}

// testServer returns the PostgreSQL server of the tests.
func testServer(t testing.TB) (base string, location *url.URL) {
	t.Helper()
	base = os.Getenv(postgresVariable)
	if base == "" {
		if os.Getenv(servicesVariable) == "1" {
			t.Fatalf("%s is not set: scripts/test starts a PostgreSQL server and sets it", postgresVariable)
		}
		t.Skipf("%s is not set; scripts/test starts a PostgreSQL server and sets it", postgresVariable)
	}
	location, err := url.Parse(base)
	if err != nil {
		t.Fatalf("%s is no URL", postgresVariable)
	}
	return base, location
}

// Dump returns every row of every table at a URL as text.
func Dump(t testing.TB, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), schemaTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connecting to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	lines := func(text string) []string {
		rows, err := conn.Query(ctx, text)
		if err == nil {
			var all []string
			if all, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
				return all
			}
		}
		t.Errorf("%s: %v", text, err)
		return nil
	}
	var each []string
	for _, table := range lines("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema()") {
		each = append(each, "SELECT '"+table+" ' || t::text FROM "+table+" t")
	}
	return strings.Join(lines(strings.Join(each, " UNION ALL ")), "\n")
}

// Run runs one command at a URL, on a connection of its own.
func Run(t testing.TB, url, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), schemaTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connecting to PostgreSQL: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, text); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}
