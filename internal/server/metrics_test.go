package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/metrics"
	"gatehouse/oauth"
)

// freeAddress is a loopback address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// runMeasured starts a server whose metrics can be read at the address.
func runMeasured(t *testing.T, changes ...func(*Server)) (r *running, address string) {
	t.Helper()
	address = freeAddress(t)
	r = &running{log: &record{}, scheme: "http", stopped: make(chan struct{})}
	r.Server = open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t), Metrics: Metrics{Listen: address}}, r.log.logger())
	for _, change := range changes {
		change(r.Server)
	}
	r.listen(t)
	return r, address
}

// scrape reads the metrics' page; the listener may only just be there.
func (r *running) scrape(t *testing.T, address string) string {
	t.Helper()
	var text string
	eventually(t, "the metrics can be read", func() bool {
		response, err := r.client.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		text = body(t, response)
		return response.StatusCode == http.StatusOK
	})
	return text
}

func TestMetricsCountWhatWasAnswered(t *testing.T) {
	r, address := runMeasured(t)
	ask := func(secret string) int {
		response, err := r.client.PostForm(r.url("/token"), url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"web"}, "client_secret": {secret},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = body(t, response)
		return response.StatusCode
	}
	good := "web-secret-that-is-long-enough-to-be-random"
	form := url.Values{"grant_type": {"client_credentials"}}
	request, err := http.NewRequest(http.MethodPost, r.url("/token"), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth("web", good)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, response); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, text)
	}
	if status := ask("wrong"); status == http.StatusOK {
		t.Fatal("a wrong secret passes")
	}
	if response, _ := r.ask(t, "/nowhere"); response.StatusCode != http.StatusNotFound {
		t.Fatal(response.StatusCode)
	}

	text := r.scrape(t, address)
	for _, line := range []string{
		`gatehouse_requests_total{endpoint="token",method="POST",status="2xx"} 1`,
		`gatehouse_requests_total{endpoint="token",method="POST",status="4xx"} 1`,
		`gatehouse_requests_total{endpoint="other",method="GET",status="4xx"} 1`,
		`gatehouse_request_duration_seconds_count{endpoint="token"} 2`,
		`gatehouse_tokens_issued_total{client_id="web",grant_type="client_credentials",tenant="` + string(gatehouse.DefaultTenant) + `"} 1`,
		`gatehouse_client_requests_total{client_id="web",outcome="served",tenant="` + string(gatehouse.DefaultTenant) + `"} 1`,
		`gatehouse_passwords_waiting 0`,
		`gatehouse_store_acts_waiting 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
	if total := regexp.MustCompile(`(?m)^gatehouse_refusals_total\{rule="[a-z-]+"\} [1-9]`).FindAllString(text, -1); len(total) != 1 || strings.Contains(total[0], metrics.Other) {
		t.Errorf("refusals: %q", total)
	}
	if strings.Contains(text, `outcome="refused"`) {
		t.Error("what a stranger did is counted as the client's")
	}
	if strings.Contains(text, good) || strings.Contains(text, "wrong\"} 1") {
		t.Error("the page shows what was sent")
	}
	if !strings.Contains(text, "gatehouse_store_commits_total") || !strings.Contains(text, "go_goroutines") {
		t.Error("the database's or the process's metrics are missing")
	}
}

func TestWhatBecameOfAClientsRequest(t *testing.T) {
	for want, answer := range map[string]endpoint.Answer{
		metrics.ClientServed:   {Status: 200},
		metrics.ClientRefused:  {Status: 400, Rule: "scope-not-granted"},
		metrics.ClientLimited:  {Status: 429, Rule: "client-limited"},
		metrics.ClientReplayed: {Status: 400, Rule: "refresh-replayed"},
		metrics.ClientFailed:   {Status: 503, Rule: "not-ready"},
	} {
		if got := clientOutcome(answer); got != want {
			t.Errorf("%+v: %s, not %s", answer, got, want)
		}
	}
	for rule := range clientRefusals {
		if !slices.Contains(oauth.RuleNames(), rule) {
			t.Errorf("there is no rule %s", rule)
		}
	}
}

// The public listener never shows the metrics, and theirs shows nothing else.
func TestMetricsAreApart(t *testing.T) {
	r, address := runMeasured(t)
	_ = r.scrape(t, address)
	if response, _ := r.ask(t, "/metrics"); response.StatusCode != http.StatusNotFound {
		t.Errorf("the public listener answers %d", response.StatusCode)
	}
	for _, path := range []string{"/", "/jwks", "/token", "/livez", "/debug/pprof/"} {
		response, err := r.client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = body(t, response)
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("the listener of the metrics answers %s with %d", path, response.StatusCode)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("the metrics' listener is open after the end")
	}
	off := run(t)
	if off.metrics != nil {
		t.Error("a server without metrics.listen counts")
	}
}

func TestTheMetricsAddressIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := open(t, Config{PublicURL: "http://127.0.0.1:8080", Data: dataDirectory(t), Metrics: Metrics{Listen: taken.Addr().String()}}, quiet())
	public, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), public); err == nil || !strings.Contains(err.Error(), "metrics.listen") {
		t.Errorf("%v", err)
	}
	if _, err := net.Dial("tcp", public.Addr().String()); err == nil {
		t.Error("its public listener is still open")
	}
	if err := CheckIdle(t.Context(), s.config.Data); err != nil {
		t.Error("its control socket is still open")
	}
	for text, want := range map[string]string{"nowhere": "host:port", "127.0.0.1:8080": "must differ"} {
		c := Config{PublicURL: "http://127.0.0.1:8080", Data: "data", Listen: "127.0.0.1:8080", Metrics: Metrics{Listen: text}}
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		c.Metrics.Listen = "127.0.0.1:9464"
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
}

func TestOutcomesAreCounted(t *testing.T) {
	r, address := runMeasured(t)
	counted := counting{r.store, r.metrics}
	tenant := gatehouse.DefaultTenant
	_, err := r.store.PutUser(t.Context(), tenant, gatehouse.User{Subject: "alice", Username: "alice"}, gatehouse.Event{Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	now := r.store.Now() // a session begins no sooner than its password
	session := func(subject string, id byte) gatehouse.Session {
		return gatehouse.Session{ID: string('a' + rune(id)), Subject: subject, AuthTime: now, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	for id, subject := range []string{"alice", "nobody"} {
		created, err := counted.CreateSession(t.Context(), tenant, [32]byte{byte(id + 1)}, session(subject, byte(id)), nil, gatehouse.Circumstance{})
		if err != nil || created != (subject == "alice") {
			t.Fatalf("a session of %s: %v, %v", subject, created, err)
		}
	}
	rotated, err := counted.RotateRefresh(t.Context(), tenant, gatehouse.Rotation{PresentedHash: []byte("presented"), Successor: gatehouse.RefreshState{Hash: []byte("next")}, Succeeds: func(gatehouse.RefreshState) bool { return false }})
	if err != nil || rotated.Outcome != gatehouse.RotateUnknown {
		t.Fatalf("%+v, %v", rotated, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := counted.RotateRefresh(gone, tenant, gatehouse.Rotation{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for rule := range loginRefusals {
		if !slices.Contains(oauth.RuleNames(), rule) {
			t.Errorf("there is no rule %s", rule)
		}
	}
	r.refused(t.Context(), endpoint.Refusal{Error: oauth.Refuse("login-throttled", oauth.TemporarilyUnavailable, "Later.")})
	text := r.scrape(t, address)
	for _, line := range []string{
		`gatehouse_logins_total{outcome="succeeded"} 1`, `gatehouse_logins_total{outcome="throttled"} 1`, `gatehouse_logins_total{outcome="wrong"} 0`,
		`gatehouse_refresh_total{outcome="ended"} 1`, `gatehouse_refresh_total{outcome="rotated"} 0`, `gatehouse_refresh_total{outcome="other"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the page lacks %s", line)
		}
	}
	if len(refreshOutcomes) != int(gatehouse.RotateUnknown) {
		t.Error("an outcome of a rotation has no name")
	}
	if !slices.ContainsFunc(r.Rows(), func(row endpoint.Row) bool { return row.Name == tokenEndpoint }) {
		t.Error("no row is the token endpoint's")
	}
}
