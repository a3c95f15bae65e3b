package login

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// texts are the words of the pages in one language. Names in braces are
// filled in where the text is shown; values always come out escaped.
type texts struct {
	// Language is the BCP 47 tag of the lang attribute.
	Language string
	// Span says how long something lasts, Ago how long it is over, Day on
	// which day it was.
	Span, Ago func(time.Duration) string
	Day       func(time.Time) string

	SignInTitle, SignInFor, SignInAgain, SignInOther string
	SignInAccount                                    string
	Username, Password, SignIn                       string
	ContinueAs, OtherAccount                         string
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

	FinishedTitle, Finished, StartAgain string

	FormPostTitle, FormPost, FormPostButton string

	ErrorStopped, ErrorOurs, ErrorBusy, ErrorTooMany string
	ErrorDoStart, ErrorDoWait, ErrorDoOurs           string
	ErrorID, Support                                 string

	AccountTitle                                     string
	SessionsTitle, SessionsIntro, SessionsOnlyThis   string
	ThisBrowser, SessionAddress, SignedInSince, Seen string
	SeenNow                                          string
	EndSession, EndSessionOf, EndOthers              string

	AllowedTitle, AllowedIntro, AllowedNone      string
	AllowedSince, LastUsed, NotInUse, Connection string
	ConnectionOffline, ConnectionOnline          string
	OnDevice, Withdraw, WithdrawOf, MayNow       string

	EventsTitle, EventsIntro, EventsNone                   string
	ToldNewDevice, ToldFailedOnce, ToldFailed              string
	ToldRefreshReplay, ToldCodeReplay, ToldLostState       string
	ToldRedelivered, ToldPasswordChanged, ToldPasswordSet  string
	ToldSessionEnded, ToldSessionLimit, UnknownApplication string

	PasswordTitle, PasswordIntro, NoPassword              string
	CurrentPassword, NewPassword, RepeatPassword          string
	NewPasswordHint, ChangePassword                       string
	PasswordMissing, PasswordWrong, PasswordDiffers       string
	PasswordShort, PasswordLong, PasswordCommon           string
	PasswordPersonal, PasswordSame, PasswordOvertaken     string
	NotePasswordChanged, NoteSessionEnded                 string
	NoteSessionGone, NoteOthersEnded, NoteNoOthers        string
	NoteWithdrawn, NoteNothingWithdrawn                   string
	DeviceOn, DeviceUnknown, BrowserUnknown, PlaceUnknown string

	// Scopes has a sentence for each scope that belongs to no resource.
	Scopes map[string]string
	// UnknownScope is for a scope that nobody described.
	UnknownScope string
}

// languages are the catalogues by their tag.
func languages() map[string]*texts {
	known := map[string]*texts{}
	for _, t := range []*texts{english(), german()} {
		known[t.Language] = t
	}
	return known
}

// Languages are the BCP 47 tags of the languages that the pages speak.
func (p *Pages) Languages() []string {
	var tags []string
	for tag := range p.languages {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// pickLanguage returns the catalogue of the first language that is known: of
// those that the application asks for (ui_locales), then of those that the
// browser accepts; else English.
func pickLanguage(known map[string]*texts, uiLocales []string, accept string) *texts {
	for _, tag := range append(slices.Clone(uiLocales), accepted(accept)...) {
		primary, _, _ := strings.Cut(tag, "-")
		if t, found := known[strings.ToLower(primary)]; found {
			return t
		}
	}
	return known["en"]
}

// maxAccepted is how many languages of an Accept-Language header are read.
const maxAccepted = 32

// accepted returns the languages of an Accept-Language header, the best first
// (RFC 9110 §12.5.4).
func accepted(header string) []string {
	type choice struct {
		tag    string
		weight float64
	}
	var choices []choice
	for part := range strings.SplitSeq(header, ",") {
		if len(choices) == maxAccepted {
			break
		}
		tag, parameter, _ := strings.Cut(part, ";")
		weight := 1.0
		if value, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q="); found {
			weight, _ = strconv.ParseFloat(value, 64) // malformed: not wanted
		}
		if weight > 0 {
			choices = append(choices, choice{strings.TrimSpace(tag), weight})
		}
	}
	slices.SortStableFunc(choices, func(a, b choice) int { return cmp.Compare(b.weight, a.weight) })
	var tags []string
	for _, c := range choices {
		tags = append(tags, c.tag)
	}
	return tags
}

const day = 24 * time.Hour

// unit is what a duration is counted in.
type unit int

const (
	seconds unit = iota
	minutes
	hours
	days
)

// counted returns a duration in its largest whole unit, rounded up: a wait is
// never told shorter than it is.
func counted(d time.Duration) (int64, unit) {
	length, name := time.Second, seconds
	switch {
	case d >= 2*day, d == day:
		length, name = day, days
	case d >= 2*time.Hour, d == time.Hour:
		length, name = time.Hour, hours
	case d > 90*time.Second, d == time.Minute:
		length, name = time.Minute, minutes
	}
	return max(1, int64((d+length-1)/length)), name
}

// passed returns how long something is over, rounded down; 0 seconds stands
// for less than a minute.
func passed(d time.Duration) (int64, unit) {
	switch {
	case d >= day:
		return int64(d / day), days
	case d >= time.Hour:
		return int64(d / time.Hour), hours
	case d >= time.Minute:
		return int64(d / time.Minute), minutes
	}
	return 0, seconds
}
