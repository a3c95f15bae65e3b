package login

import (
	"strconv"
	"time"
)

func english() *texts {
	return &texts{
		Language: "en",
		Span:     englishSpan,
		Ago:      englishAgo,
		Day:      func(t time.Time) string { return t.Format("2 January 2006") },

		SignInTitle:     "Sign in",
		SignInFor:       "to continue to {client}",
		SignInAgain:     "{client} asks you to sign in again.",
		SignInOther:     "{client} expects another account than the one that is signed in here.",
		SignInAccount:   "to see and manage your account",
		Username:        "Username or e-mail",
		Password:        "Password",
		SignIn:          "Sign in",
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
		StartAgain:    "Start again",

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

		AccountTitle: "Your account",

		SessionsTitle:    "Where you are signed in",
		SessionsIntro:    "Browsers in which your account is open. End those that you do not know, or no longer use.",
		SessionsOnlyThis: "You are signed in nowhere else.",
		ThisBrowser:      "This browser",
		SessionAddress:   "Address",
		SignedInSince:    "Signed in",
		Seen:             "Last seen",
		SeenNow:          "now",
		EndSession:       "End",
		EndSessionOf:     "End the session with {device}, signed in {since}",
		EndOthers:        "End all other sessions",

		AllowedTitle:      "What you allowed",
		AllowedIntro:      "Applications that may use your account. When you withdraw that, their access ends at once.",
		AllowedNone:       "No application may use your account at present.",
		AllowedSince:      "Allowed since",
		LastUsed:          "Last used",
		NotInUse:          "not connected at present",
		Connection:        "Connection",
		ConnectionOffline: "stays while you are away",
		ConnectionOnline:  "until you sign out",
		OnDevice:          "an application on your own devices",
		Withdraw:          "Withdraw",
		WithdrawOf:        "Withdraw what you allowed {client}",
		MayNow:            "It is able to",

		EventsTitle:         "What happened",
		EventsIntro:         "In the last {days}. If something here was not you, change your password and end the sessions that you do not know.",
		EventsNone:          "Nothing in the last {days} that you should know of.",
		ToldNewDevice:       "A new device signed in: {device}, from {place}.",
		ToldFailedOnce:      "A sign-in failed, from {place}.",
		ToldFailed:          "{count} sign-ins failed, from {place}.",
		ToldRefreshReplay:   "Somebody used an old key of {client} again, from {place}. It may have been copied, so we ended the application's access.",
		ToldCodeReplay:      "Somebody used a sign-in to {client} a second time, from {place}. We ended the access that it had given.",
		ToldLostState:       "{client} came with a key that our records do not explain, from {place}. We ended its access to be safe.",
		ToldRedelivered:     "{client} used a key twice within a moment, from another address than usual: {place}. A bad connection does that; so does a copy of the key.",
		ToldPasswordChanged: "You changed your password, with {device} from {place}.",
		ToldPasswordSet:     "An administrator set a new password.",
		ToldSessionEnded:    "A session was ended from this page, with {device} from {place}.",
		ToldSessionLimit:    "Your oldest session ended, because you signed in with more browsers than are allowed.",
		UnknownApplication:  "an application",

		PasswordTitle:        "Password",
		PasswordIntro:        "When you change it, all other sessions and the access of all applications end.",
		NoPassword:           "Your account has no password.",
		CurrentPassword:      "Current password",
		NewPassword:          "New password",
		RepeatPassword:       "New password, once more",
		NewPasswordHint:      "At least {least} characters. Four unusual words are stronger than one riddle.",
		ChangePassword:       "Change password",
		PasswordMissing:      "Fill in all three fields.",
		PasswordWrong:        "The current password is not right.",
		PasswordDiffers:      "The new password was not the same both times.",
		PasswordShort:        "The new password needs at least {least} characters.",
		PasswordLong:         "The new password is too long.",
		PasswordCommon:       "The new password is one of those that are tried first. Choose another.",
		PasswordPersonal:     "The new password must not be your name or e-mail address. Choose another.",
		PasswordSame:         "The new password is the current one. Choose another.",
		PasswordOvertaken:    "Your password or your sign-in has changed meanwhile. Nothing was done.",
		NotePasswordChanged:  "Your password is changed. All other sessions and the access of all applications have ended.",
		NoteSessionEnded:     "The session has ended.",
		NoteSessionGone:      "That session had ended before.",
		NoteOthersEnded:      "All other sessions have ended.",
		NoteNoOthers:         "There was no other session.",
		NoteWithdrawn:        "You withdrew it. The application's access has ended.",
		NoteNothingWithdrawn: "There was nothing left to withdraw.",
		DeviceOn:             "{browser} on {system}",
		BrowserUnknown:       "a browser on {system}",
		DeviceUnknown:        "an unknown browser",
		PlaceUnknown:         "an unknown address",

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

// englishUnits in the order of unit.
var englishUnits = [...]string{"second", "minute", "hour", "day"}

func englishCount(n int64, of unit) string {
	if n == 1 {
		return "1\u00a0" + englishUnits[of]
	}
	return strconv.FormatInt(n, 10) + "\u00a0" + englishUnits[of] + "s"
}

func englishSpan(d time.Duration) string { return englishCount(counted(d)) }

func englishAgo(d time.Duration) string {
	n, of := passed(d)
	if n == 0 {
		return "less than a minute ago"
	}
	return englishCount(n, of) + " ago"
}
