package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPageOfAGateway(t *testing.T) {
	n := uint64(1)
	page := Page("v9", func() GatewayLoad {
		n++
		return GatewayLoad{
			Decisions: map[string]map[string]uint64{"read": {"allowed": n, "resource-scope": 1}, "": {"gateway-no-route": 4}},
			Failures:  map[string]map[string]uint64{"read": {"gateway-upstream-failed": 7}},
			Answers:   map[string]map[string]uint64{"read": {"2xx": 9}}, Waited: map[string]time.Duration{"read": 1500 * time.Millisecond},
			Streams: 3, Exchanged: 5, Upstreams: map[string]bool{"up": true, "down": false},
			FeedAges: map[string]map[string]float64{"photos": {"https://id.example": 0.5, "https://other.example": -1}},
		}
	})
	for _, allowed := range []string{"2", "3"} { // asked anew each time
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, line := range []string{
			`gatehouse_build_info{version="v9"} 1`, `gatehouse_gateway_decisions_total{reason="allowed",route="read"} ` + allowed,
			`gatehouse_gateway_decisions_total{reason="gateway-no-route",route=""} 4`, `gatehouse_gateway_failures_total{route="read",rule="gateway-upstream-failed"} 7`,
			`gatehouse_gateway_answers_total{route="read",status="2xx"} 9`, `gatehouse_gateway_wait_seconds_total{route="read"} 1.5`, "gatehouse_gateway_streams 3", "gatehouse_gateway_exchanged_tokens 5", `gatehouse_gateway_upstream_asked{upstream="up"} 1`, `gatehouse_gateway_upstream_asked{upstream="down"} 0`,
			`gatehouse_gateway_feed_age_seconds{authentication="photos",issuer="https://id.example"} 0.5`, "go_goroutines ",
		} {
			if !strings.Contains(w.Body.String(), "\n"+line) {
				t.Errorf("the page lacks %q:\n%.2000s", line, w.Body)
			}
		}
	}
	w := httptest.NewRecorder()
	Page("v9", nil).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(w.Body.String(), "gatehouse_build_info") || strings.Contains(w.Body.String(), "gateway") {
		t.Errorf("a process without a gateway: %.500s", w.Body)
	}
}
