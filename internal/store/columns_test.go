package store

import (
	"encoding/json"
	"testing"
)

// TestListsAndDetailsAreTheirJSON: what is written without encoding/json is what that writes.
func TestListsAndDetailsAreTheirJSON(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	texts := []string{"", "pwd", "https://api.example.com/?a=1&b=2", `"`, `\`, "<b>", "naïve", "\u2028", "\xff", "a\nb", string(every), "~ }"}
	for _, text := range texts {
		for _, list := range [][]string{{text}, {text, "pwd"}, {"pwd", text, text}} {
			want, err := json.Marshal(list)
			if got := listText(list); got != string(want) || err != nil {
				t.Errorf("%q is written %s, not %s", list, got, want)
			}
		}
		for _, other := range []string{"scope", text} {
			want, err := json.Marshal(map[string]string{other: text})
			if got, failed := detailText(nil, []string{other, text}); got != string(want) || err != nil || failed != nil {
				t.Errorf("%q, %q is written %s, not %s", other, text, got, want)
			}
		}
	}
	if got := listText(nil); got != "[]" {
		t.Errorf("nothing is written %s", got)
	}
	if got, err := detailText(nil, nil); got != "{}" || err != nil {
		t.Errorf("no detail is written %s", got)
	}
	if got, err := detailText(map[string]string{"b": "1"}, []string{"a", "2"}); got != `{"a":"2","b":"1"}` || err != nil {
		t.Errorf("two details are written %s", got)
	}
}
