package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/gatehousetest"
	"gatehouse/internal/config"
	"gatehouse/internal/keyring"
	"gatehouse/jose"
)

// rotate has every key replaced and lets the new ones take over.
func (s *stage) rotate() {
	s.Helper()
	turns, err := s.Server().Keys().Rotate(s.Context(), gatehouse.DefaultTenant, keyring.Rotation{Now: true, Actor: "cli"})
	s.did(err)
	if len(turns) != 6 {
		s.Fatalf("%d keys were rotated", len(turns))
	}
	time.Sleep(11 * time.Second)
}

func (s *stage) kid(algorithm jose.Algorithm) string {
	s.Helper()
	signer, found := s.Server().Keys().Signer(gatehouse.DefaultTenant, algorithm)
	if !found {
		s.Fatalf("no key signs by %s", algorithm)
	}
	return signer.ID()
}

func (s *stage) machineToken(scope string) string {
	s.Helper()
	return s.wants(s.post("/token", "svc", url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}), http.StatusOK, "").Member("access_token")
}

func (s *stage) wantActive(token string, active bool) {
	s.Helper()
	answer := s.wants(s.post("/introspect", "svc", url.Values{"token": {token}}), http.StatusOK, "")
	if strings.Contains(answer.Text, `"active":true`) != active {
		s.Errorf("introspection says %s", answer.Text)
	}
}

// TestWhatIsOutSurvivesARotation replaces all keys between the steps of
// everything that takes more than one.
func TestWhatIsOutSurvivesARotation(t *testing.T) {
	travel(t, func(s *stage) {
		tokens := tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, ""))
		signed, opaque := s.machineToken("photos:read"), s.machineToken("ledger:read")
		code := s.code("scope", "openid photos:read")
		stranger := s.NewBrowser(s.T)
		login := stranger.Get(request())
		before := s.kid(jose.ES256)

		s.rotate()
		if s.kid(jose.ES256) == before {
			s.Error("the old key signs")
		}
		s.wantLive(tokens)
		s.wantActive(signed, true)
		s.wantActive(opaque, true)
		s.wants(s.redeem(code), http.StatusOK, "")
		next := tokensOf(s.wants(s.refresh(tokens.refresh), http.StatusOK, ""))
		s.wants(s.refresh(tokens.refresh), http.StatusOK, "") // within the grace
		again := tokensOf(s.wants(s.refresh(next.refresh), http.StatusOK, ""))
		page := stranger.Post("/login", login.With("username", "bob", "password", "builder-bob-builds"))
		if !strings.Contains(page.Text, `id="consent-allow"`) {
			s.Fatalf("after the sign-in: %d at %s", page.StatusCode, page.Path)
		}

		s.rotate()
		page = stranger.Post("/consent", page.With("decision", "allow"))
		if page.Location == nil || page.Location.Query().Get("code") == "" {
			s.Errorf("after the consent: %d at %s", page.StatusCode, page.Path)
		}
		s.wantLive(again)
		s.wantLive(tokensOf(s.wants(s.refresh(again.refresh), http.StatusOK, "")))
		s.wantActive(signed, true)
		s.wantActive(opaque, true)
	})
}

// TestRefreshTokensSurvivePlannedRotations keeps a chain alive over planned rotations.
func TestRefreshTokensSurvivePlannedRotations(t *testing.T) {
	travel(t, func(s *stage) {
		refresh := tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, "")).refresh
		roots := map[uint32]bool{}
		keys := s.Server().Keys()
		for range 85 {
			time.Sleep(day)
			if _, err := keys.Tick(s.Context(), gatehouse.DefaultTenant); err != nil {
				s.Fatal(err)
			}
			roots[keys.MACRing(gatehouse.DefaultTenant, "grant").Current().ID] = true
			refresh = tokensOf(s.wants(s.refresh(refresh), http.StatusOK, "")).refresh
		}
		if len(roots) < 8 {
			s.Errorf("only %d roots were used", len(roots))
		}
	}, func(settings *gatehouse.Settings) { settings.KeyRotation = config.Duration(10 * day) })
}

func TestARevokedKeyEndsItsTokens(t *testing.T) {
	travel(t, func(s *stage) {
		other := gatehousetest.Start(s.T, gatehousetest.Options{Data: s.Data, PublicURL: s.URL})
		replica := &stage{s.T, other, other.NewBrowser(s.T)}
		tokens := tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, ""))
		signed, opaque := s.machineToken("photos:read"), s.machineToken("ledger:read")
		s.wantActive(signed, true)
		replica.wantActive(signed, true)
		kept := s.wants(get(s, "/jwks"), http.StatusOK, "")
		if cache := kept.Header.Get("Cache-Control"); cache != "public, max-age=300" {
			s.Errorf("the key set may be kept: %s", cache)
		}

		kid := s.kid(jose.ES256)
		revoked, found, err := s.Server().Keys().Revoke(s.Context(), gatehouse.DefaultTenant, kid, "cli")
		if err != nil || !found || revoked.Successor.ID == "" {
			s.Fatalf("%+v, %v, %v", revoked, found, err)
		}
		s.wantActive(signed, false)
		time.Sleep(time.Second / 4)       // for which a replica may remember what has ended
		replica.wantActive(signed, false) // though it has not read its keys since
		s.wantAccessDead(tokens.access)
		s.wantActive(opaque, true)
		set := s.wants(get(s, "/jwks"), http.StatusOK, "")
		if strings.Contains(set.Text, kid) || !strings.Contains(set.Text, revoked.Successor.ID) || set.Header.Get("Cache-Control") != "public, max-age=60" {
			s.Errorf("the key set: %s\n%s", set.Header.Get("Cache-Control"), set.Text)
		}
		if err := replica.Server().Keys().Follow(s.Context()); err != nil {
			s.Fatal(err)
		}
		fresh := s.machineToken("photos:read")
		s.wantActive(fresh, true)
		replica.wantActive(fresh, true)
		s.wantLive(tokensOf(s.wants(s.refresh(tokens.refresh), http.StatusOK, "")))
		s.wantEvents(gatehouse.EventKeyRevoked, 1)
		time.Sleep(day)
		if cache := get(s, "/jwks").Header.Get("Cache-Control"); cache != "public, max-age=300" {
			s.Errorf("a day later: %s", cache)
		}
	})
}

func get(s *stage, path string) gatehousetest.Answer {
	s.Helper()
	r, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
	s.did(err)
	return s.Issuer.Do(s.T, r)
}

// TestAfterARestoreNothingOldIsGood does what `keys after-restore` does.
func TestAfterARestoreNothingOldIsGood(t *testing.T) {
	travel(t, func(s *stage) {
		tokens := tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, ""))
		code, machine, opaque := s.code("scope", "openid photos:read"), s.machineToken("photos:read"), s.machineToken("ledger:read")
		db, keys := s.Server().Store(), s.Server().Keys()
		tenants, err := db.EachTenant(s.Context())
		s.did(err)
		if len(tenants) != 1 || tenants[0] != gatehouse.DefaultTenant {
			s.Fatalf("tenants: %v", tenants)
		}
		s.did(db.AdvanceAfterRestore(s.Context()))
		done, err := db.EndEverything(s.Context(), tenants[0], gatehouse.Event{Actor: "cli"})
		s.did(err)
		if done.Grants != 2 || done.Sessions != 1 {
			s.Errorf("ended: %+v", done)
		}
		turns, err := keys.Rotate(s.Context(), tenants[0], keyring.Rotation{OnlyMAC: true, Now: true, Actor: "cli"})
		s.did(err)
		if len(turns) != 1 || turns[0].Next.Purpose != gatehouse.KeyMAC {
			s.Errorf("rotated: %+v", turns)
		}
		time.Sleep(11 * time.Second)

		s.wantDead(tokens)
		s.wants(s.redeem(code), http.StatusBadRequest, "invalid_grant")
		s.wantActive(machine, false)
		s.wantActive(opaque, false)
		if page := s.Get(request()); !strings.Contains(page.Text, `id="login-form"`) {
			s.Errorf("the session is alive: %d at %s", page.StatusCode, page.Path)
		}
		s.wantLive(tokensOf(s.wants(s.redeem(s.code("scope", "openid offline_access photos:read")), http.StatusOK, "")))
		s.wantActive(s.machineToken("photos:read"), true)
	})
}
