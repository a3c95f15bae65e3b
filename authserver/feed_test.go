package authserver_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/revocation"
)

// feedReader is a connection to the revocation feed.
type feedReader struct {
	*stage
	response *http.Response
	messages *revocation.Reader
	cursor   string // of the last mark
}

// readFeed connects as the client, and returns when the answer has begun.
func (s *stage) readFeed(client, cursor string) *feedReader {
	s.Helper()
	form := url.Values{}
	if cursor != "" {
		form.Set("cursor", cursor)
	}
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.URL+"/revocations", strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	r.SetBasicAuth(client, secrets[client])
	response, err := gatehousetest.Streaming{Issuer: s.Issuer}.RoundTrip(r)
	if err != nil {
		s.Fatal(err)
	}
	reader := &feedReader{s, response, revocation.NewReader(response.Body), ""}
	s.Cleanup(reader.close)
	return reader
}

func (f *feedReader) close() { _ = f.response.Body.Close() }

// next returns the next message, and fails the test if there is none.
func (f *feedReader) next() revocation.Message {
	f.Helper()
	m, err := f.messages.Next()
	if err != nil {
		f.Fatalf("the feed ended: %v", err)
	}
	if m.Mark != nil {
		f.cursor = m.Mark.Cursor
	}
	return m
}

// begins reads the beginning.
func (f *feedReader) begins(snapshot bool) {
	f.Helper()
	if f.response.StatusCode != http.StatusOK {
		f.Fatalf("status %d", f.response.StatusCode)
	}
	if b := f.next().Beginning; b == nil || b.Issuer != f.URL || b.Snapshot != snapshot {
		f.Fatalf("it begins with %+v", b)
	}
}

// tells reads up to the next mark and compares the entries before it, as claim and value.
func (f *feedReader) tells(want ...string) {
	f.Helper()
	var got []string
	for {
		m := f.next()
		if m.Mark != nil {
			break
		}
		got = append(got, string(m.Entry.Claim)+" "+m.Entry.Value)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		f.Errorf("it tells %v, want %v", got, want)
	}
}

// ends says how long it takes until the feed ends, as it does in good order.
func (f *feedReader) ends() time.Duration {
	f.Helper()
	for began := time.Now(); ; {
		switch _, err := f.messages.Next(); {
		case err == io.EOF:
			return time.Since(began)
		case err != nil:
			f.Fatalf("it ends with %v", err)
		}
	}
}

func jtiOf(s *stage, token string) string {
	s.Helper()
	return claimOf(s, token, "jti")
}

func claimOf(s *stage, token, name string) string {
	s.Helper()
	return s.post("/introspect", "svc", url.Values{"token": {token}}).Member(name)
}

func TestFeedTellsWhatEnds(t *testing.T) {
	travel(t, func(s *stage) {
		f := s.readFeed("photos-api", "")
		for name, want := range map[string]string{
			"Content-Type": "application/x-ndjson", "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Content-Length": "",
		} {
			if got := f.response.Header.Get(name); got != want {
				s.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		f.begins(true)
		f.tells()
		token := s.machineToken("photos:read")
		jti := jtiOf(s, token)
		s.wants(s.post("/revoke", "svc", url.Values{"token": {token}}), http.StatusOK, "")
		f.tells("jti " + jti)
		began := time.Now()
		for range 3 { // a pulse
			m := f.next()
			if m.Mark == nil || time.Since(m.Mark.At) > 2*time.Second || m.Mark.At.After(time.Now()) {
				s.Errorf("a second later it tells %+v", m)
			}
		}
		if took := time.Since(began); took > 4*time.Second || took < time.Second {
			s.Errorf("three pulses in %v", took)
		}
		f.close()
		after := f.cursor

		issued := tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, ""))
		gid := s.post("/introspect", "web", url.Values{"token": {issued.access}}).Member("gid")
		s.wants(s.post("/revoke", "web", url.Values{"token": {issued.refresh}}), http.StatusOK, "")
		next := s.readFeed("photos-api", after)
		next.begins(false)
		next.tells("gid " + gid)
		by := gatehouse.Event{Actor: "cli"}
		if _, err := s.Server().Store().EndEverything(s.Context(), gatehouse.DefaultTenant, by); err != nil {
			s.Fatal(err)
		}
		next.tells("iss " + s.URL)
		next.close()

		for name, cursor := range map[string]string{
			"none": "", "nonsense": "AAAA", "not base64": "-~", "long": strings.Repeat("A", 1000), "one that was changed": after[:20] + swapped(after[20]) + after[21:],
		} {
			again := s.readFeed("photos-api", cursor)
			if m := again.next(); !m.Beginning.Snapshot {
				s.Errorf("with a cursor that is %s it goes on somewhere", name)
			}
			again.tells("jti "+jti, "gid "+gid, "iss "+s.URL)
			again.close()
		}
	})
}

func TestFeedIsOfOneTenant(t *testing.T) {
	travel(t, func(s *stage) {
		blue := s.AddTenant(s.T, "blue", "", tenant)
		theirs := &stage{s.T, blue, blue.NewBrowser(s.T)}
		ours := s.readFeed("photos-api", "")
		ours.begins(true)
		ours.tells()
		other := theirs.readFeed("photos-api", ours.cursor)
		other.begins(true) // a cursor of another tenant is none
		other.tells()
		token := theirs.machineToken("photos:read")
		jti := jtiOf(theirs, token)
		theirs.wants(theirs.post("/revoke", "svc", url.Values{"token": {token}}), http.StatusOK, "")
		other.tells("jti " + jti)
		ours.tells()
	})
}

// TestFeedIsCut takes away, while it is read, what the reader is admitted by.
func TestFeedIsCut(t *testing.T) {
	by := gatehouse.Event{Actor: "cli"}
	for name, withdraw := range map[string]func(*stage, gatehouse.Client) error{
		"the client is disabled": func(s *stage, c gatehouse.Client) error {
			_, err := s.Server().Store().DisableClient(s.Context(), "blue", c.ID, true, by)
			return err
		},
		"the client is deleted": func(s *stage, c gatehouse.Client) error {
			_, err := s.Server().Store().DeleteClient(s.Context(), "blue", c.ID, by)
			return err
		},
		"the switch is taken away": func(s *stage, c gatehouse.Client) error {
			c.RevocationFeed = false
			return s.Server().Store().PutClient(s.Context(), "blue", c, by)
		},
		"its secret is replaced": func(s *stage, c gatehouse.Client) error {
			c.Secrets = []gatehouse.ClientSecret{{ID: "next", Kind: c.Secrets[0].Kind, Hash: c.Secrets[0].Hash}}
			return s.Server().Store().PutClient(s.Context(), "blue", c, by)
		},
		"its secret ends by time": func(s *stage, c gatehouse.Client) error {
			c.Secrets[0].ExpiresAt = time.Now().Add(time.Millisecond)
			return s.Server().Store().PutClient(s.Context(), "blue", c, by)
		},
		"the tenant is disabled": func(s *stage, _ gatehouse.Client) error {
			_, err := s.Server().Store().DisableTenant(s.Context(), "blue", true, by)
			return err
		},
		"the server stops": func(s *stage, _ gatehouse.Client) error { s.Server().Drain(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			travel(t, func(s *stage) {
				blue := s.AddTenant(s.T, "blue", "", tenant)
				s = &stage{s.T, blue, blue.NewBrowser(s.T)}
				f := s.readFeed("photos-api", "")
				f.begins(true)
				f.tells()
				f.tells() // it goes on
				client, _, err := s.Server().Store().Client(s.Context(), "blue", "photos-api")
				if err == nil {
					err = withdraw(s, client)
				}
				if err != nil {
					s.Fatal(err)
				}
				if took := f.ends(); took > 1250*time.Millisecond {
					s.Errorf("it was cut after %v", took)
				}
				if name == "the switch is taken away" {
					s.wants(s.post("/revocations", "photos-api", nil), http.StatusForbidden, "unauthorized_client")
				}
				synctest.Wait()
				if !strings.Contains(s.Log(), `"msg":"feed ended"`) {
					s.Error("the log does not say so")
				}
			})
		})
	}
}

// TestFeedOfAServerThatStops: who comes then is told to come again, by a refusal
// and not as a fault.
func TestFeedOfAServerThatStops(t *testing.T) {
	travel(t, func(s *stage) {
		s.Server().Drain()
		answer := s.wants(s.post("/revocations", "photos-api", nil), http.StatusServiceUnavailable, "temporarily_unavailable")
		if answer.Header.Get("Retry-After") != "1" || !strings.Contains(answer.Text, "feed-draining") {
			s.Errorf("%v %s", answer.Header, answer.Text)
		}
	})
}

func TestFeedIsReadAnewNowAndThen(t *testing.T) {
	travel(t, func(s *stage) {
		f := s.readFeed("photos-api", "")
		f.begins(true)
		if took := f.ends(); took < 5*time.Minute || took > 6*time.Minute+time.Second {
			s.Errorf("it lasted %v", took)
		}
	})
}

// TestSlowFeedReaderIsCut has a reader that takes nothing.
func TestSlowFeedReaderIsCut(t *testing.T) {
	travel(t, func(s *stage) {
		ctx, cancel := context.WithCancel(s.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/revocations", http.NoBody)
		if err != nil {
			s.Fatal(err)
		}
		r.Header.Set("Content-Type", formType)
		r.SetBasicAuth("photos-api", secrets["photos-api"])
		response, err := gatehousetest.Streaming{Issuer: s.Issuer}.RoundTrip(r)
		if err != nil {
			s.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if strings.Contains(s.Log(), `"msg":"feed ended"`) {
			s.Error("it was cut early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !strings.Contains(s.Log(), `"msg":"feed ended"`) || !strings.Contains(s.Log(), "timeout") {
			s.Error("it was not cut")
		}
		if _, err := response.Body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			s.Errorf("then it reads %v", err)
		}
	})
}

func TestFeedReadersAreBounded(t *testing.T) {
	travel(t, func(s *stage) {
		for i := range 100 {
			f := s.readFeed("photos-api", "")
			f.begins(true)
			if i%50 == 0 {
				time.Sleep(10 * time.Second)
			}
			go func() { _, _ = io.Copy(io.Discard, f.response.Body) }()
		}
		time.Sleep(10 * time.Second)
		full := s.post("/revocations", "photos-api", nil)
		if s.wants(full, http.StatusServiceUnavailable, "temporarily_unavailable"); full.Header.Get("Retry-After") != "10" || !strings.Contains(full.Text, "feed-full") {
			s.Errorf("%v %s", full.Header, full.Text)
		}
		limited := 0
		for range 200 {
			if answer := s.post("/revocations", "photos-api", nil); answer.StatusCode == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited < 50 {
			s.Errorf("%d of 200 attempts were limited", limited)
		}
	})
}
