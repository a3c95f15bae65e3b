package gatehousetest_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/secret"
	"gatehouse/internal/store"
	"gatehouse/jose"
	"gatehouse/oauth"
	"gatehouse/resource"
	"gatehouse/revocation"
)

const (
	feedSecret = "reader-secret-that-is-long-enough-to-be-random"
	feedTenant = `
settings:
  rate_limits: {token_per_client: 1000000, introspection_per_client: 1000000}
clients:
  - client_id: web
    client_secret: ` + webSecret + `
    grant_types: [client_credentials]
    scope: photos:read
  - client_id: reader
    client_secret: ` + feedSecret + `
    grant_types: [client_credentials]
    introspects: [https://api.example/]
    revocation_feed: true
resources:
  - identifier: https://api.example/
    scopes: {"photos:read": See your photos}
`
)

// followAt follows the feed of the issuer through the transport.
func followAt(t testing.TB, transport http.RoundTripper) *revocation.Follower {
	t.Helper()
	f, err := revocation.Follow(context.Background(), revocation.Config{
		Issuer: gatehousetest.URL, URL: gatehousetest.URL + "/revocations", ClientID: "reader", ClientSecret: feedSecret,
		HTTPClient: &http.Client{Transport: transport}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// token is an access token without a user.
func token(t testing.TB, issuer *gatehousetest.Issuer) string {
	t.Helper()
	answer := issuer.Post(t, "/token", "web", webSecret, url.Values{"grant_type": {"client_credentials"}})
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Text)
	}
	return answer.Member("access_token")
}

// facts are what a follower is asked about a token.
func facts(t testing.TB, raw string) revocation.Token {
	t.Helper()
	unverified, err := jose.Parse(raw, jose.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ID       string `json:"jti"`
		ClientID string `json:"client_id"`
		Subject  string `json:"sub"`
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return revocation.Token{
		ID: claims.ID, ClientID: claims.ClientID, Subject: claims.Subject, Issuer: claims.Issuer, KeyID: unverified.Header.KeyID,
		IssuedAt: time.Unix(claims.IssuedAt, 0),
	}
}

// TestAFollowerKnowsAtOnce has what is revoked by a server, and by a command beside it, known to a
// follower at once and a moment later.
func TestAFollowerKnowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Tenant: feedTenant, Engine: gatehousetest.SQLite})
		defer stop()
		command, err := store.Open(t.Context(), issuer.Database(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		defer command.Close()
		f := followAt(t, gatehousetest.Streaming{Issuer: issuer})
		defer f.Close()
		issue := func() (string, revocation.Token) {
			raw := token(t, issuer)
			return raw, facts(t, raw)
		}
		raw, one := issue()
		<-f.Ready()
		wants := func(token revocation.Token, want revocation.State, within time.Duration) {
			t.Helper()
			for begin := time.Now(); f.View(token) != want; time.Sleep(10 * time.Millisecond) {
				synctest.Wait()
				if f.View(token) != want && time.Since(begin) >= within {
					t.Fatalf("after %v it is %v, want %v", within, f.View(token), want)
				}
			}
		}
		wants(one, revocation.Live, 0)
		if answer := issuer.Post(t, "/revoke", "web", webSecret, url.Values{"token": {raw}}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Text)
		}
		wants(one, revocation.Revoked, 20*time.Millisecond)

		_, two := issue()
		wants(two, revocation.Live, 0)
		by := gatehouse.Event{Actor: "cli"}
		if _, err := command.DisableClient(t.Context(), gatehouse.DefaultTenant, "web", true, by); err != nil {
			t.Fatal(err)
		}
		wants(two, revocation.Revoked, 200*time.Millisecond)
		if _, err := command.DisableClient(t.Context(), gatehouse.DefaultTenant, "web", false, by); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		_, three := issue()
		wants(three, revocation.Live, 0)
		wants(two, revocation.Revoked, 0)

		revoked, found, err := issuer.Server().Keys().Revoke(t.Context(), gatehouse.DefaultTenant, three.KeyID, "cli")
		if err != nil || !found {
			t.Fatalf("%+v %v", revoked, err)
		}
		wants(three, revocation.Revoked, 20*time.Millisecond)
		_, four := issue()
		wants(four, revocation.Live, 0)
		if _, err := command.EndEverything(t.Context(), gatehouse.DefaultTenant, by); err != nil {
			t.Fatal(err)
		}
		wants(four, revocation.Revoked, 200*time.Millisecond)

		time.Sleep(20 * time.Minute) // over several connections
		_, five := issue()
		wants(five, revocation.Live, 0)
	})
}

// TestAnExchangedTokenAtAnAPI revokes the token of which another was made: an API that follows the feed
// refuses both.
func TestAnExchangedTokenAtAnAPI(t *testing.T) {
	const deep = "https://deep.example/"
	synctest.Test(t, func(t *testing.T) {
		issuer, stop := gatehousetest.Run(t, gatehousetest.Options{Engine: gatehousetest.SQLite, Tenant: feedTenant + `
  - identifier: ` + deep + `
    scopes: {"deep:read": Read deeply}
    token_format: jwt
`})
		defer stop()
		gateway := gatehouse.Client{ID: "gateway", ClientMetadata: gatehouse.ClientMetadata{
			TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic, GrantTypes: []string{gatehouse.GrantTokenExchange}, Scope: "photos:read deep:read",
			TokenExchange: &gatehouse.TokenExchange{Accepts: []string{"https://api.example/"}, Audiences: []string{deep}},
		}, Secrets: []gatehouse.ClientSecret{{ID: "s", Kind: gatehouse.SecretSHA256, Hash: secret.Hash(feedSecret)}}}
		if err := issuer.Server().Store().PutClient(t.Context(), gatehouse.DefaultTenant, gateway, gatehouse.Event{Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		rs, err := resource.New(t.Context(), resource.Config{
			Issuer: issuer.URL, Audience: deep, ClientID: "reader", ClientSecret: feedSecret, Feed: true,
			HTTPClient: &http.Client{Transport: gatehousetest.Streaming{Issuer: issuer}}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer rs.Close()
		exchanged := func(raw string) string {
			t.Helper()
			answer := issuer.Post(t, "/token", "gateway", feedSecret, url.Values{
				"grant_type": {gatehouse.GrantTokenExchange}, "subject_token": {raw}, "resource": {deep},
				"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			})
			if answer.StatusCode != http.StatusOK {
				t.Fatal(answer.Text)
			}
			return answer.Member("access_token")
		}
		wants := func(raw, rule string) {
			t.Helper()
			synctest.Wait()
			access, err := rs.Check(t.Context(), raw, resource.Needs{})
			if rule == "" && err != nil || rule != "" && (err == nil || oauth.AsError(err).Rule != rule) {
				t.Errorf("%v, want %q", err, rule)
			}
			if act, _ := access.Claims.Actor(); err == nil && (act == nil || act.Subject != "gateway") {
				t.Errorf("%+v acts", act)
			}
		}
		first, second := token(t, issuer), token(t, issuer)
		one, two := exchanged(first), exchanged(second)
		for begin := time.Now(); !rs.Feeds()[issuer.URL].Connected && time.Since(begin) < time.Minute; {
			time.Sleep(time.Second)
		}
		wants(one, "")
		wants(two, "")
		if answer := issuer.Post(t, "/revoke", "web", webSecret, url.Values{"token": {first}}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Text)
		}
		time.Sleep(100 * time.Millisecond)
		wants(one, "resource-token-revoked")
		wants(two, "")
		if _, err := issuer.Server().Store().DisableClient(t.Context(), gatehouse.DefaultTenant, "web", true, gatehouse.Event{Actor: "cli"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		wants(two, "resource-token-revoked")
	})
}

// served are servers of one database behind one address, each on a socket of its own.
type served struct {
	issuers []*gatehousetest.Issuer
	clients []*http.Client
	sockets []*httptest.Server
}

func serveAll(t testing.TB, issuers ...*gatehousetest.Issuer) *served {
	t.Helper()
	s := &served{issuers: issuers}
	for _, issuer := range issuers {
		socket := httptest.NewServer(issuer.Server().Handler())
		t.Cleanup(func() {
			issuer.Server().Drain()
			socket.Close()
		})
		s.sockets = append(s.sockets, socket)
		s.clients = append(s.clients, &http.Client{Transport: dialing(t, func() string { return socket.Listener.Addr().String() })})
	}
	return s
}

// dialing is a transport whose connections all go to the address.
func dialing(t testing.TB, address func() string) *http.Transport {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address())
		},
		MaxIdleConnsPerHost: 64,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// post sends a form to a server and returns the status.
func (s *served) post(ctx context.Context, server int, path string, form url.Values) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, gatehousetest.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", webSecret)
	answer, err := s.clients[server].Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// place is where a revocation has to arrive.
type place struct {
	ready   func() bool
	refuses func(raw string, token revocation.Token) bool
}

// atFollower is a follower by itself.
func atFollower(f *revocation.Follower) place {
	return place{
		ready:   func() bool { return f.View(revocation.Token{}) == revocation.Live },
		refuses: func(_ string, token revocation.Token) bool { return f.View(token) == revocation.Revoked },
	}
}

// atAPI is an API that follows the feed of a server.
func (s *served) atAPI(t testing.TB, server int) place {
	t.Helper()
	rs, err := resource.New(context.Background(), resource.Config{
		Issuer: gatehousetest.URL, Audience: "https://api.example/", ClientID: "reader", ClientSecret: feedSecret, Feed: true,
		HTTPClient: s.clients[server], Logger: slog.New(slog.DiscardHandler), MaxCached: 1 << 16,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rs.Close)
	return place{
		ready: func() bool { return rs.Feeds()[gatehousetest.URL].Connected },
		refuses: func(raw string, _ revocation.Token) bool {
			_, err := rs.Check(context.Background(), raw, resource.Needs{})
			return err != nil && oauth.AsError(err).Rule == "resource-token-revoked"
		},
	}
}

// revokeAll revokes tokens at all servers at once, and returns how long after the answer each of
// them had arrived at the last of the places.
func (s *served) revokeAll(t testing.TB, count int, places ...place) []time.Duration {
	t.Helper()
	const workers = 32
	tokens := make([]string, count)
	asked := make([]revocation.Token, count)
	for i := range tokens {
		tokens[i] = token(t, s.issuers[i%len(s.issuers)])
		asked[i] = facts(t, tokens[i])
	}
	for i, p := range places {
		for begin := time.Now(); !p.ready(); time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > 30*time.Second {
				t.Fatalf("place %d does not follow", i)
			}
		}
		if p.refuses(tokens[0], asked[0]) {
			t.Fatalf("place %d refuses a good token", i)
		}
	}
	took := make([]time.Duration, count)
	var next atomic.Int64
	var working sync.WaitGroup
	barrier := make(chan struct{})
	for worker := range workers {
		working.Go(func() {
			<-barrier
			for {
				i := int(next.Add(1)) - 1
				if i >= count || t.Failed() {
					return
				}
				status, err := s.post(t.Context(), worker%len(s.issuers), "/revoke", url.Values{"token": {tokens[i]}})
				if err != nil || status != http.StatusOK {
					t.Errorf("revocation %d: %d %v", i, status, err)
					return
				}
				answered := time.Now()
				for at, p := range places {
					for !p.refuses(tokens[i], asked[i]) {
						if time.Since(answered) > 20*time.Second { // far beyond what is promised: machines that test are busy
							t.Errorf("token %d was revoked, which did not arrive at place %d", i, at)
							return
						}
						time.Sleep(time.Millisecond)
					}
				}
				took[i] = time.Since(answered)
			}
		})
	}
	close(barrier)
	working.Wait()
	slices.Sort(took)
	return took
}

// TestNoRevocationIsMissed revokes 1600 tokens at one server, or at two, while followers listen: one
// and an API at each server, and one that is cut off all the time and comes again somewhere else.
func TestNoRevocationIsMissed(t *testing.T) {
	count := 1600
	if nightly() {
		count *= 10
	}
	missed := func(t *testing.T, issuers ...*gatehousetest.Issuer) {
		s := serveAll(t, issuers...)
		var places []place
		for i, client := range s.clients {
			places = append(places, atFollower(followAt(t, client.Transport)), s.atAPI(t, i))
		}
		var turn atomic.Int64
		restless := dialing(t, func() string {
			return s.sockets[int(turn.Add(1))%len(s.sockets)].Listener.Addr().String()
		})
		cutting := restless.DialContext
		restless.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := cutting(ctx, network, address)
			if err == nil {
				time.AfterFunc(700*time.Millisecond, func() { _ = conn.Close() })
			}
			return conn, err
		}
		restless.DisableKeepAlives = true
		unsteady := followAt(t, restless)
		took := s.revokeAll(t, count, places...)
		if t.Failed() {
			return
		}
		t.Logf("from the answer to the last refusal: p50 %v, p99 %v, longest %v", took[count/2], took[count*99/100], took[count-1])
		if longest := took[count-1]; longest > 10*time.Second {
			t.Errorf("the longest took %v", longest)
		}
		for begin := time.Now(); unsteady.Status().Entries < count; time.Sleep(10 * time.Millisecond) {
			if time.Since(begin) > time.Minute {
				t.Fatalf("who is cut off all the time knows %d of %d", unsteady.Status().Entries, count)
			}
		}
		if turn.Load() < 2 {
			t.Error("it was not cut off")
		}
	}
	t.Run("one server", func(t *testing.T) {
		missed(t, gatehousetest.Start(t, gatehousetest.Options{Tenant: feedTenant}))
	})
	t.Run("two servers", func(t *testing.T) {
		here := gatehousetest.Start(t, gatehousetest.Options{Tenant: feedTenant, Engine: gatehousetest.PostgreSQL})
		missed(t, here, gatehousetest.Start(t, gatehousetest.Options{Data: here.Data, Engine: gatehousetest.PostgreSQL}))
	})
}

// BenchmarkRevocation measures the time from the answer to a revocation to the refusal at an API, while
// 32 clients revoke as fast as they can.
func BenchmarkRevocation(b *testing.B) {
	s := serveAll(b, gatehousetest.Start(b, gatehousetest.Options{Tenant: feedTenant}))
	api := s.atAPI(b, 0)
	for b.Loop() {
		took := s.revokeAll(b, 1600, api)
		for _, quantile := range []int{50, 99} {
			b.ReportMetric(float64(took[len(took)*quantile/100].Microseconds())/1000, fmt.Sprintf("ms-p%d", quantile))
		}
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-max")
	}
}
