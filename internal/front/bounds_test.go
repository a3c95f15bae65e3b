package front_test

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/proxy/proxytest"
	"gatehouse/internal/spec"
)

// A head that is larger than it may be is refused before anybody reads it, with the bounds
// of the other listeners, and does not get to the API in parts.
func TestHeadsAreBounded(t *testing.T) {
	spec.Covers(t, "FT-32", "DS-06")
	api, address := openAPI(t)
	const end = " HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n"
	for about, test := range map[string]struct {
		sent   string
		status int
	}{
		"a long header":         {"GET /open/x" + end + "X-Long: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", 431},
		"a thousand long ones":  {"GET /open/x" + end + strings.Repeat("X-Long: "+strings.Repeat("a", 90)+"\r\n", 1000) + "\r\n", 431},
		"eight thousand crumbs": {"GET /open/x" + end + "Cookie: " + strings.Repeat("a=b; ", 8000) + "\r\n\r\n", 431},
		"a long target":         {"GET /open/" + strings.Repeat("a", 16<<10) + end + "\r\n", 414},
		"a long query":          {"GET /open/x?" + strings.Repeat("a", 16<<10) + end + "\r\n", 414},
		"a very long target":    {"GET /open/" + strings.Repeat("a", 64<<10) + end + "\r\n", 431},
		"what is right":         {"GET /open/x?" + strings.Repeat("a", 4<<10) + end + "X-Long: " + strings.Repeat("a", 16<<10) + "\r\n\r\n", 200},
	} {
		statuses, closed := proxytest.Raw(t, address, test.sent)
		if got := api.take(); !slices.Equal(statuses, []int{test.status}) || !closed || len(got) != map[bool]int{true: 1}[test.status == 200] {
			t.Errorf("%s: %v, closed %v; the API saw %d requests", about, statuses, closed, len(got))
		}
	}
}
