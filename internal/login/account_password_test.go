package login

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/spec"
)

// changes sends the form of the password and returns the page that follows.
func (b *browser) changes(current, chosen, again string) string {
	b.h.t.Helper()
	return b.sends("/account/password", "current", current, "new", chosen, "again", again)
}

const unusual = "four unusual words here"

func TestChangingThePassword(t *testing.T) {
	spec.Covers(t, "SE-01", "SE-04")
	h := newHouse(t)
	h.sessionFor("u-alice", "sid-phone", time.Hour)
	h.sessionFor("u-bob", "sid-bob", time.Hour)
	b := h.owner()
	before := b.cookies[sessionName]
	old, _, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(before), 0)
	h.pass(time.Minute)
	page := b.changes("correct horse", unusual, unusual)
	if !strings.Contains(page, english().NotePasswordChanged) || !strings.Contains(page, english().SessionsOnlyThis) {
		t.Fatalf("page: %s", page)
	}
	after := b.cookies[sessionName]
	session, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(after), 0)
	if after == before || !found || session.ID == old.ID || session.Subject != "u-alice" || !session.AuthTime.Equal(h.now) {
		t.Errorf("the session that follows: %+v", session)
	}
	for _, dead := range []string{before, "sid-phone"} {
		if _, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash(dead), 0); found {
			t.Errorf("%s is alive", dead)
		}
	}
	if _, found, _ := h.Session(t.Context(), h.tenant.ID, sessionHash("sid-bob"), 0); !found {
		t.Error("bob was signed out")
	}
	wantStatus(t, h.browser().signIn("alice", "correct horse"), http.StatusUnprocessableEntity)
	wantSignedIn(t, h.browser().signIn("alice", unusual))
	if log := h.log.String(); strings.Contains(log, unusual) || strings.Contains(log, "correct horse") {
		t.Error("a password is in the log")
	}
}

func TestPasswordsThatAreRefused(t *testing.T) {
	h := newHouse(t)
	h.secrets.Public("alice@mail.example") // which is tried as a password
	b := h.owner()
	cookie := b.cookies[sessionName]
	for _, test := range []struct{ current, chosen, again, says, field string }{
		{"", unusual, unusual, english().PasswordMissing, ""},
		{"correct horse", "", "", english().PasswordMissing, ""},
		{"correct horse", unusual, unusual + "x", english().PasswordDiffers, "again"},
		{"correct horse", "short12", "short12", "at least 8 characters", "new"},
		{"correct horse", strings.Repeat("long ", 300), strings.Repeat("long ", 300), english().PasswordLong, "new"},
		{"correct horse", "Password123!", "Password123!", english().PasswordCommon, "new"},
		{"correct horse", "alice@mail.example", "alice@mail.example", english().PasswordPersonal, "new"},
		{"correct horse", "correct horse", "correct horse", english().PasswordSame, "new"},
		{"wrong", unusual, unusual, english().PasswordWrong, "current"},
	} {
		page := b.changes(test.current, test.chosen, test.again)
		if !strings.Contains(page, `<p id="password-error" class="alert" role="alert">`) || !strings.Contains(page, test.says) || !strings.Contains(page, "<details open>") {
			t.Errorf("%.20q: the page does not say %q", test.chosen, test.says)
		}
		_, field, _ := strings.Cut(page, `id="`+test.field+`"`)
		field, _, _ = strings.Cut(field, ">")
		if test.field != "" && (!strings.Contains(field, `aria-invalid="true"`) || !strings.Contains(field, "password-error")) {
			t.Errorf("%.20q: field %s is not marked: %s", test.chosen, test.field, field)
		}
		if strings.Count(page, `aria-invalid`) > 1 || strings.Contains(page, unusual) {
			t.Errorf("%.20q: another field is blamed, or a password shown", test.chosen)
		}
	}
	if h.users["u-alice"].PasswordHash != "plain:correct horse" || b.cookies[sessionName] != cookie || len(h.ended) != 0 {
		t.Error("something was changed")
	}
	if len(h.failures) != 1 {
		t.Errorf("%d failures were counted", len(h.failures))
	}
	b.changes("correct horse", unusual, unusual)
	if h.users["u-alice"].PasswordHash != "plain:"+unusual {
		t.Error("nor the good one taken")
	}
}

// Guessing the current password in a session that was taken over is delayed
// together with the sign-in.
func TestChangingThePasswordIsThrottled(t *testing.T) {
	spec.Covers(t, "BF-05")
	h := newHouse(t)
	b := h.owner()
	free := h.tenant.Settings.Throttle.FreeAttempts
	for range free {
		if page := b.changes("wrong", unusual, unusual); !strings.Contains(page, english().PasswordWrong) {
			t.Fatalf("page: %s", page)
		}
	}
	verified := h.verified
	page := b.changes("correct horse", unusual, unusual)
	if !strings.Contains(page, "Wait 1\u00a0second") || h.verified != verified {
		t.Errorf("the right password was looked at: %s", page)
	}
	wantStatus(t, b.signIn("alice", "correct horse"), http.StatusTooManyRequests) // the same counter
	wantSignedIn(t, h.browser().signIn("alice", "correct horse"))                 // nobody else is held up
	h.pass(2 * time.Second)
	b.changes("correct horse", unusual, unusual)
	if h.users["u-alice"].PasswordHash != "plain:"+unusual {
		t.Error("the right password was not taken after the wait")
	}
}

func TestChangingThePasswordWhenOthersAreQuicker(t *testing.T) {
	h := newHouse(t)
	b := h.owner()
	cookie := b.cookies[sessionName]
	h.overtaken = true
	if page := b.changes("correct horse", unusual, unusual); !strings.Contains(page, english().PasswordOvertaken) || b.cookies[sessionName] != cookie {
		t.Errorf("page: %s", page)
	}
	h.overtaken = false
	for _, busy := range []*bool{&h.busy, &h.hashBusy} {
		*busy = true
		if page := b.changes("correct horse", unusual, unusual); !strings.Contains(page, "Wait 2\u00a0seconds") {
			t.Errorf("page: %s", page)
		}
		*busy = false
	}
	h.fault = errors.New("disk on fire")
	form := url.Values{"csrf": {"x"}}
	wantRefused(t, b.post("/account/password", form), 500, "server-error")
	h.fault = nil
	if page := b.changes("correct horse", unusual, unusual); !strings.Contains(page, english().NotePasswordChanged) {
		t.Errorf("page: %s", page)
	}
}

func TestAnAccountWithoutAPassword(t *testing.T) {
	h := newHouse(t)
	b := h.owner()
	alice := h.users["u-alice"]
	alice.PasswordHash = ""
	h.users["u-alice"] = alice
	if page := b.account(); strings.Contains(page, "password-form") || !strings.Contains(page, english().NoPassword) {
		t.Errorf("page: %s", page)
	}
}

func TestWeakPasswords(t *testing.T) {
	user := gatehouse.User{Username: "liddell", Claims: gatehouse.StandardClaims{Name: "Alice Liddell", Email: "wonderland@mail.example"}}
	for password, want := range map[string]weakness{
		"1234567": tooShort, "äöüäöü": tooShort, strings.Repeat("x y z w ", 129): tooLong,
		"password": tooCommon, "Password1": tooCommon, "P@ssw0rd!": tooCommon, "passwort2024": tooCommon, "123456789": tooCommon, "qwertyuiop": tooCommon,
		"QWERTZ123": tooCommon, "1qaz2wsx": tooCommon, "iloveyou": tooCommon, "dragon!!": tooCommon, "$unshine7": tooCommon, "monkeymonkey": tooCommon,
		"aaaaaaaa": tooCommon, "abababab": tooCommon, "abcabcabc": tooCommon, "abcdefgh": tooCommon, "87654321": tooCommon, "20.11.2026": tooCommon,
		"letmein99": tooCommon, "summer2026": tooCommon, "!!!admin!!!": tooCommon, "12345678901": tooCommon, "xkcdxkcd": tooCommon,
		"liddell1": tooPersonal, "LIDDELL!!": tooPersonal, "wonderland@mail.example": tooPersonal, "wonderland7": tooPersonal, "Alice Liddell": tooPersonal,
		"examplehouse": strongEnough, "Example House": tooPersonal,
		"correct horse battery": strongEnough, "vT9#kLp2qX": strongEnough, "ein Haus am Meer": strongEnough, "493027561834": strongEnough, "пароль-и-чай": strongEnough,
	} {
		if got := weaknessOf(password, user, "Example House"); got != want {
			t.Errorf("%.30q: %d, want %d", password, got, want)
		}
	}
}
