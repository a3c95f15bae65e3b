package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func page(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func says(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(page, line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
}

func TestThePageSaysWhatWasCounted(t *testing.T) {
	waiting, shared := 3, true
	m := New(Config{
		CountersShared: func() bool { return shared },
		Version:        "v1", Rules: []string{"login-wrong"}, PasswordsWaiting: func() int { return waiting },
		Store: func() StoreLoad {
			return StoreLoad{Waiting: 2, Acts: 10, Commits: 4, Committing: 1500 * time.Millisecond}
		},
	})
	m.Endpoint("token")
	m.Answered("token", "POST", 200, 3*time.Millisecond)
	m.Answered("token", "POST", 401, time.Second)
	m.Answered("token", "BREW", 405, 0)
	m.Answered("", "GET", 404, 0)
	m.Answered("token", "GET", 0, 0)
	m.Answered("token", "GET", 999, 0)
	m.Refused("login-wrong")
	m.Refused("a rule that is not in the list")
	m.Refreshed(RefreshReplayed)
	m.SignedIn(LoginSucceeded)
	m.Issued("default", "web", "refresh_token")
	m.Outcome("default", "web", ClientReplayed)
	says(t, page(t, m), "gatehouse_redis_answers 1")
	shared = false
	says(t, page(t, m),
		"gatehouse_redis_answers 0",
		`gatehouse_build_info{version="v1"} 1`,
		`gatehouse_requests_total{endpoint="token",method="POST",status="2xx"} 1`,
		`gatehouse_requests_total{endpoint="token",method="POST",status="4xx"} 1`,
		`gatehouse_requests_total{endpoint="token",method="other",status="4xx"} 1`,
		`gatehouse_requests_total{endpoint="other",method="GET",status="4xx"} 1`,
		`gatehouse_requests_total{endpoint="token",method="GET",status="1xx"} 1`,
		`gatehouse_requests_total{endpoint="token",method="GET",status="5xx"} 1`,
		`gatehouse_request_duration_seconds_bucket{endpoint="token",le="0.005"} 4`,
		`gatehouse_request_duration_seconds_count{endpoint="token"} 5`,
		`gatehouse_refusals_total{rule="login-wrong"} 1`,
		`gatehouse_refusals_total{rule="other"} 1`,
		`gatehouse_refresh_total{outcome="replayed"} 1`,
		`gatehouse_refresh_total{outcome="rotated"} 0`,
		`gatehouse_logins_total{outcome="succeeded"} 1`,
		`gatehouse_tokens_issued_total{client_id="web",grant_type="refresh_token",tenant="default"} 1`,
		`gatehouse_client_requests_total{client_id="web",outcome="replayed",tenant="default"} 1`,
		`gatehouse_passwords_waiting 3`,
		`gatehouse_store_acts_waiting 2`,
		`gatehouse_store_acts_total 10`,
		`gatehouse_store_commits_total 4`,
		`gatehouse_store_commit_seconds_total 1.5`,
	)
	if got := page(t, m); !strings.Contains(got, "go_goroutines ") || !strings.Contains(got, "process_start_time_seconds ") {
		t.Error("the process's own metrics are missing")
	}
}

func TestClientsAreBounded(t *testing.T) {
	m := New(Config{})
	var done sync.WaitGroup
	for i := range 3 * MaxClients {
		done.Go(func() {
			for range 2 {
				m.Issued("default", fmt.Sprintf("client-%d", i), "client_credentials")
			}
		})
	}
	done.Wait()
	got := page(t, m)
	if series := strings.Count(got, "\ngatehouse_tokens_issued_total{"); series != MaxClients+1 {
		t.Errorf("%d clients have series, want %d and one for the others", series, MaxClients)
	}
	says(t, got, fmt.Sprintf(`gatehouse_tokens_issued_total{client_id="other",grant_type="client_credentials",tenant="other"} %d`, 2*2*MaxClients))
	m.Issued("default", "late", "refresh_token")
	says(t, page(t, m), `gatehouse_tokens_issued_total{client_id="other",grant_type="refresh_token",tenant="other"} 1`)
}

func TestCountingIsCheap(t *testing.T) {
	m := New(Config{Rules: []string{"login-wrong"}})
	m.Endpoint("token")
	m.Issued("default", "web", "refresh_token")
	m.Outcome("default", "web", ClientServed)
	for name, count := range map[string]func(){
		"a request":  func() { m.Answered("token", "POST", 200, time.Millisecond) },
		"a token":    func() { m.Issued("default", "web", "refresh_token") },
		"an outcome": func() { m.Outcome("default", "web", ClientServed) },
		"a refusal":  func() { m.Refused("login-wrong") },
	} {
		if allocations := testing.AllocsPerRun(100, count); allocations > 0 {
			t.Errorf("counting %s allocates %v times", name, allocations)
		}
	}
}
