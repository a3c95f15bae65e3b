package store

import (
	"database/sql"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse"
)

// TestValuesOfAFileFitOrAreRefused: what a column holds is read as it is or not at all.
func TestValuesOfAFileFitOrAreRefused(t *testing.T) {
	s := openTest(t)
	for name, row := range map[string]struct {
		sql  string
		into any // a pointer
		want any // what it points to, nil when the value is refused
	}{
		"text":                    {`SELECT 'a'`, new(string), "a"},
		"text of a name":          {`SELECT 'one'`, new(gatehouse.TenantID), gatehouse.TenantID("one")},
		"a number":                {`SELECT 7`, new(int64), int64(7)},
		"a narrow number":         {`SELECT 7`, new(int), 7},
		"one that is too wide":    {`SELECT 300`, new(int8), nil},
		"a truth":                 {`SELECT 1`, new(bool), true},
		"no truth":                {`SELECT 2`, new(bool), nil},
		"bytes":                   {`SELECT x'0102'`, new([]byte), []byte{1, 2}},
		"no bytes":                {`SELECT x''`, new([]byte), []byte(nil)},
		"a time":                  {`SELECT 1500`, moment(new(time.Time)), stamp(time.UnixMilli(1500).UTC())},
		"text for a number":       {`SELECT '7'`, new(int64), nil},
		"a number for text":       {`SELECT 7`, new(string), nil},
		"text for bytes":          {`SELECT 'a'`, new([]byte), nil},
		"a number for a name":     {`SELECT 7`, new(gatehouse.TenantID), nil},
		"nothing for text":        {`SELECT NULL`, new(string), nil},
		"nothing that may be":     {`SELECT NULL`, new(sql.NullString), sql.NullString{}},
		"two columns for one":     {`SELECT 1, 2`, new(int64), nil},
		"a fraction for a number": {`SELECT 1.5`, new(int64), nil},
	} {
		err := s.writer.do(t.Context(), quick, func(a *act) error {
			_, err := a.one(row.sql, []any{row.into})
			return err
		})
		if got := reflect.ValueOf(row.into).Elem().Interface(); row.want == nil {
			if err == nil {
				t.Errorf("%s: read as %v", name, got)
			}
		} else if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %v, want %v: %v", name, got, row.want, err)
		}
	}
}

// TestArgumentsOfAFile: each comes back as it was given, and what the driver does not know is refused before
// anything is done.
func TestArgumentsOfAFile(t *testing.T) {
	s := openTest(t)
	err := s.writer.do(t.Context(), quick, func(a *act) error {
		var text string
		var number, kind, narrow int64
		var bytes []byte
		_, err := a.one(`SELECT $1, $2, $3, $4, $5`, []any{&text, &number, &bytes, &kind, &narrow},
			gatehouse.TenantID("one"), int64(1)<<60, []byte("b"), gatehouse.Redeemed(3), 5)
		if err != nil || text != "one" || number != 1<<60 || string(bytes) != "b" || kind != 3 || narrow != 5 {
			t.Errorf("%q, %d, %q, %d, %d: %v", text, number, bytes, kind, narrow, err)
		}
		if _, err := a.exec(`SELECT $1, $2`, "a", struct{}{}); err == nil || !strings.Contains(err.Error(), "argument 2") {
			t.Errorf("an argument of no kind: %v", err)
		}
		if _, err := a.exec(`SELECT $1, $2`, "a"); err == nil {
			t.Error("an argument is missing, and nobody says so")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
