package storetest

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

// shared are the methods that belong to no tenant.
var shared = []string{"AdvanceAfterRestore", "ClockOffset", "Close", "DueLogouts", "EachTenant", "KV", "KeyChanges", "KeyEncryptionKey", "Load", "Now", "Ping", "SetKeyEncryptionKey", "Sweep", "TenantHosts", "Tenants", "Version"}

// asked are the methods that picture asks.
var asked = []string{
	"Client", "Clients", "Consent", "Events", "FollowEndings", "Grant", "GrantOfSession", "GrantTerms", "GrantTermsOfHandle", "Keys", "KnownConsent", "KnownSession", "Resources", "Session", "Tenant", "TenantRecord", "TokenEnded", "User", "UserByLogin", "Users",
	"UserSessions", "Allowances", "SecurityEvents",
}

// tenants puts the same ids into two tenants, has every act done in one of them, and looks whether
// the other has changed.
func tenants(t *testing.T, open Open) {
	acts := tenantActs()
	maps.Copy(acts, accountActs())
	maps.Copy(acts, keyActs())
	maps.Copy(acts, makingActs())
	maps.Copy(acts, exchangeActs())
	maps.Copy(acts, logoutActs())
	t.Run("every method is here", func(t *testing.T) {
		known := make(map[string]bool)
		for _, name := range append(shared, asked...) {
			known[name] = true
		}
		for name := range acts {
			method, _, _ := strings.Cut(name, " ")
			known[method] = true
		}
		for method := range reflect.TypeFor[*store.Store]().Methods() {
			if !known[method.Name] {
				t.Errorf("nothing is known of the isolation of %s", method.Name)
			}
			delete(known, method.Name)
		}
		if len(known) > 0 {
			t.Errorf("these methods do not exist: %v", known)
		}
	})
	for name, run := range acts {
		t.Run(name, func(t *testing.T) {
			s := setUp(t, open, tenant, stranger)
			g := s.furnishBoth()
			s.clock.Move(time.Second)
			before, theirs := s.picture(tenant, g), s.picture(stranger, g)
			s.ok(run(s, stranger, g))
			s.clock.Move(2 * time.Second)
			if after := s.picture(tenant, g); after != before {
				t.Errorf("the tenant next door changed\nfrom %s\nto   %s", before, after)
			}
			if after := s.picture(stranger, g); after == theirs {
				t.Errorf("nothing changed where the act was done: %s", after)
			}
		})
	}
	t.Run("an empty tenant sees nothing", func(t *testing.T) {
		s := setUp(t, open, tenant)
		empty := s.picture("three", gatehouse.Grant{})
		g := s.furnishBoth()
		if got := s.picture("three", g); got != empty {
			t.Errorf("it sees %s", got)
		}
		if s.picture(tenant, g) == empty {
			t.Error("and so does everyone")
		}
	})
}

// furnishBoth gives each tenant that has a client the same settings, resource, grant, consent and
// keys. The grant is redeemed and was rotated once.
func (s *stage) furnishBoth() gatehouse.Grant {
	s.Helper()
	issue := s.newIssue("openid", "photos:read")
	issue.Consents = []gatehouse.Consent{{Resource: "", Scope: []string{"openid"}}}
	for _, tenant := range []gatehouse.TenantID{tenant, stranger} {
		if _, found, err := s.Client(s.Context(), tenant, clientID); err != nil || !found {
			continue
		}
		s.ok(s.PutSettings(s.Context(), tenant, gatehouse.Settings{Name: "Photos"}, byCLI))
		s.ok(s.PutResource(s.Context(), tenant, gatehouse.Resource{Identifier: "https://api.example.com/"}, byCLI))
		is(s.TB, true)(s.AddKeys(s.Context(), tenant, []gatehouse.StoredKey{{ID: "k1", Purpose: gatehouse.KeySign}}, true))
		is(s.TB, gatehouse.CodeAccepted)(s.issued(tenant, issue))
		is(s.TB, gatehouse.RedeemAccepted)(s.RedeemCode(s.Context(), tenant, s.telling(issue.Grant)))
		rotated, err := s.RotateRefresh(s.Context(), tenant, s.rotation(issue.Grant, 1, ""))
		is(s.TB, gatehouse.RotateAccepted)(rotated.Outcome, err)
		fresh := issue
		fresh.Grant.ID[15] = 1
		is(s.TB, gatehouse.CodeAccepted)(s.issued(tenant, fresh))
	}
	return issue.Grant
}

// second is the other grant of furnishBoth, whose code was not redeemed.
func second(g gatehouse.Grant) gatehouse.Grant {
	g.ID[15] = 1
	return g
}

// picture is all that a tenant can be asked, as text.
func (s *stage) picture(tenant gatehouse.TenantID, g gatehouse.Grant) string {
	s.Helper()
	var b strings.Builder
	look := func(what string, values ...any) {
		if err, failed := values[len(values)-1].(error); failed && err != nil {
			s.Fatalf("%s: %v", what, err)
		}
		fmt.Fprintf(&b, "\n%s: %+v", what, values)
	}
	all := func(values ...any) []any { return values }
	ctx := s.Context()
	settings, found, err := s.Tenant(ctx, tenant)
	look("settings", all(settings, found, err)...)
	record, found, err := s.TenantRecord(ctx, tenant)
	record.ID = ""
	look("record", all(record, found, err)...)
	client, found, err := s.Client(ctx, tenant, clientID)
	look("client", all(client, found, err)...)
	clients, err := s.Clients(ctx, tenant, "", 0)
	look("clients", all(clients, err)...)
	resources, err := s.Resources(ctx, tenant)
	look("resources", all(resources, err)...)
	user, found, err := s.User(ctx, tenant, subject)
	look("user", all(user, found, err)...)
	user, found, err = s.UserByLogin(ctx, tenant, "alice@example.com")
	look("user by login", all(user, found, err)...)
	users, err := s.Users(ctx, tenant, "", 0)
	look("users", all(users, err)...)
	session, found, err := s.Session(ctx, tenant, cookie(sessionID), 0)
	look("session", all(session, found, err)...)
	session, found = s.KnownSession(tenant, cookie(sessionID), 0)
	look("known session", session, found)
	for _, id := range []gatehouse.GrantID{g.ID, second(g).ID} {
		grant, found, err := s.Grant(ctx, tenant, id)
		look("grant", all(grant, found, err)...)
		grant, found, err = s.GrantTerms(ctx, tenant, id)
		look("terms", all(grant, found, err)...)
		grant, found, err = s.GrantTermsOfHandle(ctx, tenant, second(g).Handle)
		look("grant of handle", all(grant, found, err)...)
		grant, found, err = s.GrantOfSession(ctx, tenant, sessionID, clientID)
		look("grant of session", all(grant, found, err)...)
	}
	consents, err := s.Consent(ctx, tenant, subject, clientID)
	look("consents", all(consents, err)...)
	consents, found = s.KnownConsent(tenant, subject, clientID)
	look("known consents", consents, found)
	ended, err := s.TokenEnded(ctx, tenant, gatehouse.TokenFacts{Handle: g.Handle, ID: "jti", ClientID: clientID, Subject: subject, IssuedAt: s.Now().Truncate(time.Minute)})
	look("token ended", all(ended, err)...)
	look("feed", s.followed(tenant, 0).Entries)
	events, err := s.Events(ctx, tenant, gatehouse.EventFilter{Limit: 1000})
	look("events", all(events, err)...)
	keys, err := s.Keys(ctx, tenant)
	look("keys", all(keys, err)...)
	s.pictureAccount(tenant, look)
	look("clients to be told", s.due(tenant))
	return b.String()
}

// did is for acts that must have found what they were to change.
func did(done bool, err error) error {
	if err == nil && !done {
		return fmt.Errorf("the act found nothing to do")
	}
	return err
}

func tenantActs() map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error {
	return map[string]func(*stage, gatehouse.TenantID, gatehouse.Grant) error{
		"PutSettings": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.PutSettings(s.Context(), tenant, gatehouse.Settings{Name: "Stranger"}, byCLI)
		},
		"PutResource": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.PutResource(s.Context(), tenant, gatehouse.Resource{Identifier: "https://api.example.com/", Name: "Other"}, byCLI)
		},
		"DeleteResource": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DeleteResource(s.Context(), tenant, "https://api.example.com/", byCLI))
		},
		"PutClient": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.PutClient(s.Context(), tenant, gatehouse.Client{ID: clientID, Secrets: []gatehouse.ClientSecret{{ID: "s", Hash: []byte{1}}}}, byCLI)
		},
		"DisableClient": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DisableClient(s.Context(), tenant, clientID, true, byCLI))
		},
		"DeleteClient": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DeleteClient(s.Context(), tenant, clientID, byCLI))
		},
		"AddClientSecret": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.AddClientSecret(s.Context(), tenant, clientID, gatehouse.ClientSecret{ID: "s2", Hash: []byte{2}}, s.Now(), byCLI))
		},
		"PutUser": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			outcome, err := s.PutUser(s.Context(), tenant, gatehouse.User{Subject: subject, Username: "mallory"}, byCLI)
			return did(outcome == store.Stored, err)
		},
		"SetPassword": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.SetPassword(s.Context(), tenant, subject, "$argon2id$other", byCLI))
		},
		"Rehash": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.Rehash(s.Context(), tenant, subject, "$argon2id$alice", "$argon2id$stronger")
		},
		"DisableUser": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DisableUser(s.Context(), tenant, subject, true, byCLI))
		},
		"DeleteUser": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.DeleteUser(s.Context(), tenant, subject, byCLI))
		},
		"CreateSession": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			old := cookie(sessionID)
			return did(s.CreateSession(s.Context(), tenant, cookie("new"), gatehouse.Session{ID: "new", Subject: subject, AuthTime: s.Now(), ExpiresAt: s.Now().Add(absolute)}, &old, from))
		},
		"EndSession": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.EndSession(s.Context(), tenant, sessionID, gatehouse.EndedByLogout, from))
		},
		"IssueCode": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			issue := s.newIssue("openid", "email")
			issue.Consents = []gatehouse.Consent{{Scope: oauth.Scope{"email"}}}
			outcome, err := s.issued(tenant, issue)
			return did(outcome == gatehouse.CodeAccepted, err)
		},
		"CountWrongVerifier": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			_, err := s.CountWrongVerifier(s.Context(), tenant, second(g).ID, from)
			return err
		},
		"RedeemCode": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			outcome, err := s.RedeemCode(s.Context(), tenant, s.redemption(second(g)))
			return did(outcome == gatehouse.RedeemAccepted, err)
		},
		"RedeemCode again": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			outcome, err := s.RedeemCode(s.Context(), tenant, s.redemption(g))
			return did(outcome == gatehouse.RedeemReplayed, err)
		},
		"RotateRefresh": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			rotated, err := s.RotateRefresh(s.Context(), tenant, s.rotation(g, 2, ""))
			return did(rotated.Outcome == gatehouse.RotateAccepted, err)
		},
		"RotateRefresh again": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			rotated, err := s.RotateRefresh(s.Context(), tenant, s.rotation(g, 1, ""))
			return did(rotated.Outcome == gatehouse.RotateRedelivered, err)
		},
		"RotateRefresh of lost state": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			rotated, err := s.RotateRefresh(s.Context(), tenant, s.rotation(g, 9, ""))
			return did(rotated.Outcome == gatehouse.RotateLostState, err)
		},
		"EndGrant": func(s *stage, tenant gatehouse.TenantID, g gatehouse.Grant) error {
			return did(s.EndGrant(s.Context(), tenant, g.ID, gatehouse.EndedByRevocation, from))
		},
		"RevokeToken": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.RevokeToken(s.Context(), tenant, "jti", s.Now().Add(access), clientID, from)
		},
		"WithdrawConsent": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.WithdrawConsent(s.Context(), tenant, subject, clientID, from))
		},
		"AppendEvent": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.AppendEvent(s.Context(), tenant, gatehouse.Event{Kind: gatehouse.EventConsentDenied})
		},
		"CountFailedLogin": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return s.CountFailedLogin(s.Context(), tenant, subject, "account", from)
		},
		"AddKeys": func(s *stage, tenant gatehouse.TenantID, _ gatehouse.Grant) error {
			return did(s.AddKeys(s.Context(), tenant, []gatehouse.StoredKey{{ID: "k2", Purpose: gatehouse.KeySign, Generation: 1}}, false))
		},
	}
}
