package revocation

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func token() Token {
	return Token{
		GrantHandle: "gid-1", ID: "jti-1", SessionID: "sid-1", ClientID: "web", Subject: "alice",
		Issuer: "https://as.test", KeyID: "kid-1", IssuedAt: noon,
	}
}

func TestSet(t *testing.T) {
	later := noon.Add(time.Hour)
	for name, test := range map[string]struct {
		entry Entry
		ended bool
	}{
		"its grant":                    {Entry{Claim: GrantHandle, Value: "gid-1"}, true},
		"another grant":                {Entry{Claim: GrantHandle, Value: "gid-2"}, false},
		"itself":                       {Entry{Claim: TokenID, Value: "jti-1"}, true},
		"its session":                  {Entry{Claim: SessionID, Value: "sid-1"}, true},
		"its client":                   {Entry{Claim: ClientID, Value: "web"}, true},
		"its client until it":          {Entry{Claim: ClientID, Value: "web", IssuedUntil: noon}, true},
		"its client until before it":   {Entry{Claim: ClientID, Value: "web", IssuedUntil: noon.Add(-time.Second)}, false},
		"another client":               {Entry{Claim: ClientID, Value: "web2", IssuedUntil: later}, false},
		"its user until after it":      {Entry{Claim: Subject, Value: "alice", IssuedUntil: later}, true},
		"its user until before it":     {Entry{Claim: Subject, Value: "alice", IssuedUntil: noon.Add(-time.Hour)}, false},
		"its issuer":                   {Entry{Claim: Issuer, Value: "https://as.test", IssuedUntil: later}, true},
		"another issuer":               {Entry{Claim: Issuer, Value: "https://as.test/", IssuedUntil: later}, false},
		"its key":                      {Entry{Claim: KeyID, Value: "kid-1"}, true},
		"a value under another claim":  {Entry{Claim: TokenID, Value: "gid-1"}, false},
		"a session that is not in it":  {Entry{Claim: SessionID, Value: "sid-2"}, false},
		"iat, to the second and above": {Entry{Claim: Subject, Value: "alice", IssuedUntil: noon.Add(999 * time.Millisecond)}, true},
	} {
		s := NewSet(10)
		test.entry.Expiry = later
		if !s.Add(test.entry) {
			t.Fatalf("%s: not added", name)
		}
		if got := s.Ended(token()); got != test.ended {
			t.Errorf("%s: ended %v, want %v", name, got, test.ended)
		}
	}
	s := NewSet(10)
	if !s.Add(Entry{Claim: GrantHandle, Value: "gid-1", Expiry: later}) || s.Ended(Token{}) {
		t.Error("a token of which nothing is known has ended")
	}
	if s.Add(Entry{Claim: "cnf", Value: "x", Expiry: later}) || s.Len() != 1 {
		t.Error("an entry of an unknown claim was added")
	}
}

func TestSetKeepsTheLaterTimes(t *testing.T) {
	s := NewSet(10)
	early := Entry{Claim: ClientID, Value: "web", IssuedUntil: noon.Add(-time.Hour), Expiry: noon.Add(time.Hour)}
	late := Entry{Claim: ClientID, Value: "web", IssuedUntil: noon, Expiry: noon.Add(2 * time.Hour)}
	for _, e := range []Entry{early, late, early} {
		if !s.Add(e) || s.Len() != 1 {
			t.Fatalf("%d entries", s.Len())
		}
	}
	if !s.Ended(token()) {
		t.Error("an earlier entry that came again took the later one back")
	}
	s.Expire(noon.Add(time.Hour + 2*time.Minute))
	if !s.Ended(token()) || s.Len() != 1 {
		t.Error("the entry left at the earlier of its times")
	}
	s.Expire(noon.Add(2*time.Hour + time.Minute))
	if s.Ended(token()) || s.Len() != 0 || len(s.leaving) != 0 {
		t.Error("the entry did not leave")
	}
	if !s.Add(late) || !s.Ended(token()) {
		t.Error("an entry cannot come back")
	}
}

func TestSetIsBounded(t *testing.T) {
	s := NewSet(100)
	for i := range 1000 {
		added := s.Add(Entry{Claim: TokenID, Value: fmt.Sprint("jti-", i), Expiry: noon.Add(time.Duration(i) * time.Second)})
		if added != (i < 100) {
			t.Fatalf("entry %d: added %v", i, added)
		}
	}
	if !s.Add(Entry{Claim: TokenID, Value: "jti-7", Expiry: noon}) {
		t.Error("a full set refuses an entry that it has")
	}
	s.Expire(noon.Add(61 * time.Second))
	if s.Len() != 40 {
		t.Errorf("%d entries are left, want those of the running minute and after, 40", s.Len())
	}
	if !s.Add(Entry{Claim: TokenID, Value: "new", Expiry: noon.Add(time.Hour)}) {
		t.Error("there is no room after entries have left")
	}
}

// TestSetOfAHostileIssuer has an issuer fill the set with long values, and put the
// expiry of one entry off for ever.
func TestSetOfAHostileIssuer(t *testing.T) {
	s := NewSet(100)
	kept := 0
	for i := range 100 {
		long := fmt.Sprintf("%d%s", i, strings.Repeat("x", 4000))
		if s.Add(Entry{Claim: Subject, Value: long, Expiry: noon}) {
			kept += len(long)
		}
	}
	if kept > 100*meanValue+MaxLine || s.Len() == 0 {
		t.Errorf("%d bytes are kept in %d entries", kept, s.Len())
	}
	s.Expire(noon.Add(2 * time.Minute))
	for i := range 100 {
		if !s.Add(Entry{Claim: Subject, Value: fmt.Sprint("user-", i), Expiry: noon.Add(time.Hour)}) {
			t.Fatal("there is no room after the long ones have left")
		}
	}
	for i := range 100_000 {
		s.Add(Entry{Claim: Subject, Value: "user-7", Expiry: noon.Add(time.Duration(i) * time.Minute)})
	}
	noted := 0
	for _, places := range s.leaving {
		noted += len(places)
	}
	if most := 2*s.Len() + spareLeaving; noted > most || noted != s.noted {
		t.Errorf("%d places are noted (counted %d), want at most %d", noted, s.noted, most)
	}
	s.Expire(noon.Add(90_000 * time.Minute))
	if s.Len() != 1 || !s.Ended(Token{Subject: "user-7", IssuedAt: noon}) {
		t.Errorf("%d entries are left, want the one that was put off", s.Len())
	}
	s.Expire(noon.Add(100_001 * time.Minute))
	if s.Len() != 0 || s.bytes != 0 || s.noted != 0 {
		t.Errorf("%d entries, %d bytes, %d places are left", s.Len(), s.bytes, s.noted)
	}
}

func TestSetAtOnce(t *testing.T) {
	s := NewSet(1 << 20)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 500 {
				id := fmt.Sprint(g, "-", i)
				if !s.Add(Entry{Claim: TokenID, Value: id, Expiry: noon.Add(time.Hour)}) || !s.Ended(Token{ID: id, IssuedAt: noon}) {
					t.Error("an entry that was added is not there")
				}
				s.Expire(noon)
			}
		})
	}
	group.Wait()
	if s.Len() != 8*500 {
		t.Errorf("%d entries", s.Len())
	}
}

func BenchmarkEnded(b *testing.B) {
	s := NewSet(1 << 20)
	for i := range 100_000 {
		s.Add(Entry{Claim: GrantHandle, Value: fmt.Sprint("handle-", i), Expiry: noon})
		s.Add(Entry{Claim: ClientID, Value: fmt.Sprint("client-", i%100), Expiry: noon, IssuedUntil: noon})
	}
	asked := token()
	b.ReportAllocs()
	for b.Loop() {
		if s.Ended(asked) {
			b.Fatal("ended")
		}
	}
}
