package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

func people(t *testing.T, open Open) {
	t.Run("a user is read as it was put", func(t *testing.T) { userRoundTrip(t, open) })
	t.Run("login names", func(t *testing.T) { loginNames(t, open) })
	t.Run("a subject is never given again", func(t *testing.T) { subjects(t, open) })
	t.Run("what ends with a user", func(t *testing.T) { userEnds(t, open) })
	t.Run("rehashing", func(t *testing.T) { rehashing(t, open) })
	t.Run("consents join", func(t *testing.T) { consents(t, open) })
}

func userRoundTrip(t *testing.T, open Open) {
	s := setUp(t, open)
	user := gatehouse.User{
		Subject: "sub-bob", Username: "Bob", PasswordHash: "$argon2id$bob",
		Claims:     gatehouse.StandardClaims{Name: "Bob B.", Email: "Bob@Example.com", EmailVerified: true, Address: &gatehouse.Address{Locality: "Ulm"}},
		Attributes: gatehouse.Attributes{"department": "Ledgers", "floor": 2.0, "guest": false, "teams": []any{"a", "b"}},
	}
	is(t, store.Stored)(s.PutUser(t.Context(), tenant, user, byCLI))
	user.CreatedAt, user.UpdatedAt, user.PasswordChangedAt = s.Now(), s.Now(), s.Now()
	read := func(got gatehouse.User, found bool, err error) gatehouse.User {
		t.Helper()
		is(t, true)(found, err)
		return got
	}
	same(t, user, read(s.User(t.Context(), tenant, "sub-bob")))
	same(t, user, read(s.UserByLogin(t.Context(), tenant, gatehouse.LoginKey(" BOB "))))
	same(t, user, read(s.UserByLogin(t.Context(), tenant, gatehouse.LoginKey("bob@example.COM"))))

	s.clock.Move(time.Hour)
	user.Claims.Name, user.Claims.Address, user.Attributes = "Robert B.", nil, gatehouse.Attributes{"floor": 3.0}
	is(t, store.Stored)(s.PutUser(t.Context(), tenant, user, byCLI))
	user.UpdatedAt = s.Now()
	same(t, user, read(s.User(t.Context(), tenant, "sub-bob")))
	user.Attributes = nil
	is(t, store.Stored)(s.PutUser(t.Context(), tenant, user, byCLI))
	user.UpdatedAt = s.Now()
	same(t, user, read(s.User(t.Context(), tenant, "sub-bob")))

	for i := range 5 {
		s.putUser(tenant, fmt.Sprint("sub-", i), fmt.Sprint("user-", 9-i))
	}
	users, err := s.Users(t.Context(), tenant, "bob", 3)
	s.ok(err)
	names := ""
	for _, u := range users {
		names += u.Username + " "
	}
	is(t, "user-5 user-6 user-7 ")(names, nil)
	if _, found, err := s.User(t.Context(), tenant, "nobody"); found || err != nil {
		t.Fatalf("nobody: %v %v", found, err)
	}
}

func loginNames(t *testing.T, open Open) {
	s := setUp(t, open)
	put := func(want store.PutUserOutcome, subject, username, email string) {
		t.Helper()
		is(t, want)(s.PutUser(t.Context(), tenant, gatehouse.User{Subject: subject, Username: username, Claims: gatehouse.StandardClaims{Email: email}}, byCLI))
	}
	put(store.LoginNameTaken, "sub-bob", "ALICE", "")
	put(store.LoginNameTaken, "sub-bob", "bob", "alice@example.com")
	put(store.LoginNameTaken, "sub-bob", "alice@EXAMPLE.com", "") // a name that is another's address
	if _, found, err := s.User(t.Context(), tenant, "sub-bob"); found || err != nil {
		t.Fatalf("a refused user was kept: %v", err)
	}
	put(store.Stored, "sub-bob", "bob", "bob@example.com")
	put(store.LoginNameTaken, "sub-bob", "alice", "bob@example.com")
	if bob, found, err := s.UserByLogin(t.Context(), tenant, "bob"); err != nil || !found || bob.Username != "bob" {
		t.Fatalf("a refused change took the name away: %+v %v", bob, err)
	}
	put(store.Stored, "sub-bob", "bob@example.com", "bob@example.com") // both names are one
	put(store.Stored, "sub-bob", "robert", "")
	if _, found, err := s.UserByLogin(t.Context(), tenant, "bob@example.com"); found || err != nil {
		t.Fatalf("a name that was given up still signs in: %v", err)
	}
	put(store.Stored, "sub-eve", "bob", "bob@example.com")
}

func subjects(t *testing.T, open Open) {
	s := setUp(t, open)
	is(t, true)(s.DeleteUser(t.Context(), tenant, subject, byCLI))
	is(t, false)(s.DeleteUser(t.Context(), tenant, subject, byCLI))
	put := func(subject string) (store.PutUserOutcome, error) {
		return s.PutUser(t.Context(), tenant, gatehouse.User{Subject: subject, Username: "alice"}, byCLI)
	}
	is(t, store.SubjectTaken)(put(subject))
	is(t, store.SubjectTaken)(put(clientID))
	is(t, store.Stored)(put("sub-alice-2")) // the name is free again
	for _, id := range []string{subject, "sub-alice-2"} {
		if err := s.PutClient(t.Context(), tenant, gatehouse.Client{ID: id}, byCLI); !errors.Is(err, store.ErrSubjectExists) {
			t.Fatalf("a client took the subject %s as its id: %v", id, err)
		}
	}
	s.ok(s.PutClient(t.Context(), tenant, gatehouse.Client{ID: "another"}, byCLI))
}

func userEnds(t *testing.T, open Open) {
	put := func(change func(*gatehouse.User)) func(*stage) (bool, error) {
		return func(s *stage) (bool, error) {
			user, _, err := s.User(s.Context(), tenant, subject)
			if err != nil {
				return false, err
			}
			change(&user)
			outcome, err := s.PutUser(s.Context(), tenant, user, byCLI)
			return outcome == store.Stored, err
		}
	}
	for _, row := range []struct {
		name string
		act  func(*stage) (bool, error)
		want gatehouse.EndReason
	}{
		{"a password is set", func(s *stage) (bool, error) {
			return s.SetPassword(s.Context(), tenant, subject, "$argon2id$new", byCLI)
		}, gatehouse.EndedByPasswordChange},
		{"disabled", func(s *stage) (bool, error) { return s.DisableUser(s.Context(), tenant, subject, true, byCLI) }, gatehouse.EndedByUserDisabled},
		{"enabled", func(s *stage) (bool, error) { return s.DisableUser(s.Context(), tenant, subject, false, byCLI) }, ""},
		{"deleted", func(s *stage) (bool, error) { return s.DeleteUser(s.Context(), tenant, subject, byCLI) }, gatehouse.EndedByUserRemoved},
		{"put with another password", put(func(u *gatehouse.User) { u.PasswordHash = "$argon2id$new" }), gatehouse.EndedByPasswordChange},
		{"put as disabled", put(func(u *gatehouse.User) { u.DisabledAt = time.UnixMilli(1) }), gatehouse.EndedByUserDisabled},
		{"put with another name", put(func(u *gatehouse.User) { u.Username = "alicia" }), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := setUp(t, open)
			s.putUser(tenant, "sub-bob", "bob")
			s.session(tenant, "sub-bob", "sid-bob")
			bobs := s.newIssue("openid")
			bobs.Grant.Subject, bobs.Grant.SessionID = "sub-bob", "sid-bob"
			is(t, gatehouse.CodeAccepted)(s.issued(tenant, bobs))
			online, offline, code := s.redeemed("openid"), s.redeemed("openid", "offline_access"), s.issue("openid")
			s.clock.Move(time.Second)

			is(t, true)(row.act(s))
			_, found, err := s.Session(t.Context(), tenant, cookie(sessionID), 0)
			is(t, row.want == "")(found, err)
			for _, g := range []gatehouse.Grant{online, offline, code} {
				is(t, row.want)(s.row(g.ID).EndReason, nil)
				s.told(g, gatehouse.EventGrantEnded, count(row.want != ""))
			}
			is(t, row.want != "")(s.tokenEnded(online), nil)
			is(t, count(row.want != ""))(len(s.events(gatehouse.EventSessionEnded)), nil)

			_, found, err = s.Session(t.Context(), tenant, cookie("sid-bob"), 0)
			is(t, true)(found, err)
			is(t, false)(s.row(bobs.Grant.ID).Ended(), nil)
			is(t, false)(s.tokenEnded(bobs.Grant), nil)
		})
	}
	s := setUp(t, open)
	is(t, false)(s.SetPassword(t.Context(), tenant, "nobody", "x", byCLI))
	is(t, false)(s.DisableUser(t.Context(), tenant, "nobody", true, byCLI))
}

func rehashing(t *testing.T, open Open) {
	s := setUp(t, open)
	g := s.redeemed("openid")
	hash := func() string {
		user, _, err := s.User(t.Context(), tenant, subject)
		s.ok(err)
		return user.PasswordHash
	}
	s.ok(s.Rehash(t.Context(), tenant, subject, "$argon2id$stale", "$argon2id$2"))
	is(t, "$argon2id$alice")(hash(), nil)
	s.ok(s.Rehash(t.Context(), tenant, subject, "$argon2id$alice", "$argon2id$2"))
	is(t, "$argon2id$2")(hash(), nil)
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
}

func consents(t *testing.T, open Open) {
	s := setUp(t, open)
	give := func(consents ...gatehouse.Consent) {
		t.Helper()
		issue := s.newIssue("openid")
		issue.Consents = consents
		is(t, gatehouse.CodeAccepted)(s.issued(tenant, issue))
	}
	const api = "https://api.example.com/"
	give(gatehouse.Consent{Scope: oauth.Scope{"openid", "email"}}, gatehouse.Consent{Resource: api, Scope: oauth.Scope{"photos:read"}})
	s.clock.Move(time.Hour)
	give(gatehouse.Consent{Resource: api, Scope: oauth.Scope{"photos:write", "photos:read"}})
	give()
	got, err := s.Consent(t.Context(), tenant, subject, clientID)
	s.ok(err)
	same(t, []gatehouse.Consent{
		{Subject: subject, ClientID: clientID, Resource: "", Scope: []string{"openid", "email"}, GrantedAt: s.Now().Add(-time.Hour)},
		{Subject: subject, ClientID: clientID, Resource: api, Scope: []string{"photos:read", "photos:write"}, GrantedAt: s.Now()},
	}, got)
	is(t, 3)(len(s.events(gatehouse.EventConsent)), nil)

	g := s.redeemed("openid", "offline_access")
	is(t, false)(s.WithdrawConsent(t.Context(), tenant, subject, "another", from))
	is(t, gatehouse.RotateAccepted)(s.rotate(g, 1))
	is(t, true)(s.WithdrawConsent(t.Context(), tenant, subject, clientID, from))
	is(t, false)(s.WithdrawConsent(t.Context(), tenant, subject, clientID, from))
	is(t, gatehouse.RotateEnded)(s.rotate(g, 2))
	is(t, true)(s.tokenEnded(g), nil)
	got, err = s.Consent(t.Context(), tenant, subject, clientID)
	is(t, 0)(len(got), err)
	is(t, 1)(len(s.events(gatehouse.EventConsentWithdrawn)), nil)
}
