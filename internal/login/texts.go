package login

import (
	"strconv"
	"strings"
	"time"
)

// texts are the words of the pages in one language. Names in braces are
// filled in where the text is shown; values always come out escaped.
type texts struct {
	// Language is the BCP 47 tag of the lang attribute.
	Language string
	// Span says how long something lasts.
	Span func(time.Duration) string

	SignInTitle, SignInFor, SignInAgain, SignInOther string
	Username, Password, SignIn                       string
	Continue, ContinueAs, OtherAccount               string
	WrongPassword, MissingField, TooManyAttempts     string
	Busy, SessionChanged                             string

	ConsentTitle, SignedInAs, NotYou                       string
	ItMay, AtResource, NothingElse                         string
	StayingConnected, Offline, UntilSignOut, Idle, OneTime string
	WhereNext, BackTo, ThisDevice                          string
	Allow, Cancel                                          string

	Policy, Terms string

	SignOutTitle, SignOutAsk, SignOutAskUnknown, SignOutYes, SignOutElse string
	SignedOutTitle, SignedOut                                            string

	FinishedTitle, Finished string

	FormPostTitle, FormPost, FormPostButton string

	ErrorStopped, ErrorOurs, ErrorBusy, ErrorTooMany string
	ErrorDoStart, ErrorDoWait, ErrorDoOurs           string
	ErrorID, Support                                 string

	// Scopes has a sentence for each scope that belongs to no resource.
	Scopes map[string]string
	// UnknownScope is for a scope that nobody described.
	UnknownScope string
}

func english() *texts {
	return &texts{
		Language: "en",
		Span:     englishSpan,

		SignInTitle:     "Sign in",
		SignInFor:       "to continue to {client}",
		SignInAgain:     "{client} asks you to sign in again.",
		SignInOther:     "{client} expects another account than the one that is signed in here.",
		Username:        "Username or e-mail",
		Password:        "Password",
		SignIn:          "Sign in",
		Continue:        "Continue",
		ContinueAs:      "Continue as {user}",
		OtherAccount:    "or use another account",
		WrongPassword:   "That name and password do not belong together. Check both and try again.",
		MissingField:    "Enter your name and your password.",
		TooManyAttempts: "Too many attempts. Wait {wait}, then try again.",
		Busy:            "The server is busy checking other sign-ins. Wait {wait}, then try again.",
		SessionChanged:  "Your sign-in in this browser has changed meanwhile. Choose again.",

		ConsentTitle:     "Allow {client} to use your account?",
		SignedInAs:       "Signed in as {user}",
		NotYou:           "Not you?",
		ItMay:            "It will be able to",
		AtResource:       "In {resource}",
		NothingElse:      "recognise you when you return, and learn nothing else about you",
		StayingConnected: "Staying connected",
		Offline:          "It stays connected while you are away, even after you sign out here, for up to {longest}.",
		UntilSignOut:     "It stays connected until you sign out here, for up to {longest}.",
		Idle:             "If it is not used for {idle}, it has to ask you again.",
		OneTime:          "Its access ends by itself after {life}. Then it has to ask again.",
		WhereNext:        "Where you go next",
		BackTo:           "You return to {host}, the address that is registered for it.",
		ThisDevice:       "You return to an application on this device ({address}). Which one cannot be verified: allow this only if you started it yourself, just now.",
		Allow:            "Allow",
		Cancel:           "Cancel",

		Policy: "Privacy policy",
		Terms:  "Terms of service",

		SignOutTitle:      "Sign out?",
		SignOutAsk:        "You are signed in as {user}. Signing out ends this in the whole browser.",
		SignOutAskUnknown: "Signing out ends your session in the whole browser.",
		SignOutYes:        "Sign out",
		SignOutElse:       "To stay signed in, close this page.",
		SignedOutTitle:    "You are signed out",
		SignedOut:         "You can close this page. On a shared computer, close the browser, too: applications may have sessions of their own.",

		FinishedTitle: "This sign-in is already finished",
		Finished:      "You have answered here before, and the application has received your answer. Go back to the application; if it still asks you to sign in, start again there.",

		FormPostTitle:  "One moment",
		FormPost:       "You are being taken back to the application.",
		FormPostButton: "Continue",

		ErrorStopped: "This cannot continue",
		ErrorOurs:    "Something went wrong here",
		ErrorBusy:    "Too busy right now",
		ErrorTooMany: "Too many attempts",
		ErrorDoStart: "If starting again from the application does not help, tell the people who run it, with the code below.",
		ErrorDoWait:  "Wait {wait}, then try again.",
		ErrorDoOurs:  "It is not your fault. If it happens again, tell the people who run this service, with the code below.",
		ErrorID:      "Code of this error",
		Support:      "Get help",

		Scopes: map[string]string{
			"openid":         "recognise you when you return",
			"profile":        "see your profile, such as your name, picture, birthdate and language",
			"email":          "see your e-mail address",
			"address":        "see your postal address",
			"phone":          "see your phone number",
			"offline_access": "stay connected while you are away",
		},
		UnknownScope: "use the permission {scope}",
	}
}

// englishSpan names a duration in its largest whole unit, rounded up: a wait
// is never told shorter than it is.
func englishSpan(d time.Duration) string {
	const day = 24 * time.Hour
	unit, name := time.Second, "second"
	switch {
	case d >= 2*day:
		unit, name = day, "day"
	case d >= 2*time.Hour && d != day, d == time.Hour:
		unit, name = time.Hour, "hour"
	case d == day:
		unit, name = day, "day"
	case d > 90*time.Second, d == time.Minute:
		unit, name = time.Minute, "minute"
	}
	n := max(1, int64((d+unit-1)/unit))
	if n == 1 {
		return "1\u00a0" + name
	}
	return strconv.FormatInt(n, 10) + "\u00a0" + name + "s"
}

// languages are the catalogues by their tag.
func languages() map[string]*texts {
	en := english()
	return map[string]*texts{en.Language: en}
}

// pickLanguage returns the catalogue for an Accept-Language header
// (RFC 9110 §12.5.4), in the order in which it names languages.
func pickLanguage(known map[string]*texts, accept string) *texts {
	for choice := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(choice, ";")
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		if t, found := known[strings.ToLower(primary)]; found {
			return t
		}
	}
	return known["en"]
}
