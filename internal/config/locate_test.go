package config

import "testing"

func TestLocateFindsLines(t *testing.T) {
	find := Locate([]byte(`# a comment
clients:
  - client_id: web
    redirect_uris:
      - https://a.example
      - https://b.example
    scopes: {a: 1, b: 2}
  - client_id: spa
settings: {name: x}
single:
  only: 1
`))
	for _, row := range []struct {
		path []any
		line int
	}{
		{[]any{"clients"}, 2},
		{[]any{"clients", 0}, 3},
		{[]any{"clients", 0, "redirect_uris"}, 4},
		{[]any{"clients", 0, "redirect_uris", 1}, 6},
		{[]any{"clients", 0, "scopes", "b"}, 7},
		{[]any{"clients", 1, "redirect_uris", 0}, 8}, // the deepest part that is there
		{[]any{"clients", 0, "scopes", 1}, 7},
		{[]any{"settings", "name"}, 9},
		{[]any{"single", "only"}, 11},
		{[]any{"nothing", "here"}, 0},
		{[]any{0}, 0},
		{nil, 0},
	} {
		if got := find(row.path...); got != row.line {
			t.Errorf("%v is on line %d, want %d", row.path, got, row.line)
		}
	}
	for _, text := range []string{"", "a: [", "- x"} {
		if got := Locate([]byte(text))("a", 0); got != 0 {
			t.Errorf("%q has a at line %d", text, got)
		}
	}
}
