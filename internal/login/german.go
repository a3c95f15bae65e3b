package login

import (
	"strconv"
	"time"
)

func german() *texts {
	return &texts{
		Language: "de",
		Span:     germanSpan,
		Ago:      germanAgo,
		Day: func(t time.Time) string {
			return strconv.Itoa(t.Day()) + ". " + germanMonths[t.Month()-1] + " " + strconv.Itoa(t.Year())
		},

		SignInTitle:     "Anmelden",
		SignInFor:       "und weiter zu {client}",
		SignInAgain:     "{client} bittet Sie, sich noch einmal anzumelden.",
		SignInOther:     "{client} erwartet ein anderes Konto als das, das hier angemeldet ist.",
		SignInAccount:   "um Ihr Konto zu sehen und zu verwalten",
		Username:        "Benutzername oder E-Mail-Adresse",
		Password:        "Passwort",
		SignIn:          "Anmelden",
		ContinueAs:      "Weiter als {user}",
		OtherAccount:    "oder mit einem anderen Konto",
		WrongPassword:   "Name und Passwort gehören nicht zusammen. Prüfen Sie beides und versuchen Sie es noch einmal.",
		MissingField:    "Geben Sie Ihren Namen und Ihr Passwort ein.",
		TooManyAttempts: "Zu viele Versuche. Warten Sie {wait} und versuchen Sie es dann noch einmal.",
		Busy:            "Der Server prüft gerade andere Anmeldungen. Warten Sie {wait} und versuchen Sie es dann noch einmal.",
		SessionChanged:  "Ihre Anmeldung in diesem Browser hat sich inzwischen geändert. Wählen Sie noch einmal.",

		ConsentTitle:     "Darf {client} Ihr Konto benutzen?",
		SignedInAs:       "Angemeldet als {user}",
		NotYou:           "Nicht Sie?",
		ItMay:            "Die Anwendung darf dann",
		AtResource:       "Bei {resource}",
		NothingElse:      "Sie wiedererkennen, wenn Sie zurückkommen, und sonst nichts über Sie erfahren",
		StayingConnected: "Wie lange das gilt",
		Offline:          "Die Anwendung bleibt verbunden, während Sie weg sind, auch wenn Sie sich hier abmelden: bis zu {longest}.",
		UntilSignOut:     "Die Anwendung bleibt verbunden, bis Sie sich hier abmelden: bis zu {longest}.",
		Idle:             "Wird sie {idle} lang nicht benutzt, muss sie wieder fragen.",
		OneTime:          "Ihr Zugriff gilt {life} und endet dann von selbst. Danach muss sie wieder fragen.",
		WhereNext:        "Wohin es weitergeht",
		BackTo:           "Sie kommen zurück zu {host}, der Adresse, die für die Anwendung hinterlegt ist.",
		ThisDevice:       "Sie kommen zurück zu einer Anwendung auf diesem Gerät ({address}). Welche das ist, lässt sich nicht prüfen: Erlauben Sie es nur, wenn Sie sie gerade eben selbst gestartet haben.",
		Allow:            "Erlauben",
		Cancel:           "Abbrechen",

		Policy: "Datenschutz",
		Terms:  "Nutzungsbedingungen",

		SignOutTitle:      "Abmelden?",
		SignOutAsk:        "Sie sind angemeldet als {user}. Abgemeldet wird der ganze Browser.",
		SignOutAskUnknown: "Abgemeldet wird der ganze Browser.",
		SignOutYes:        "Abmelden",
		SignOutElse:       "Wollen Sie angemeldet bleiben, schließen Sie diese Seite.",
		SignedOutTitle:    "Sie sind abgemeldet",
		SignedOut:         "Sie können diese Seite schließen. Schließen Sie auf einem gemeinsam benutzten Rechner auch den Browser: Anwendungen können eigene Sitzungen haben.",

		FinishedTitle: "Diese Anmeldung ist schon abgeschlossen",
		Finished:      "Sie haben hier bereits geantwortet, und die Anwendung hat Ihre Antwort erhalten. Gehen Sie zurück zur Anwendung. Verlangt sie noch immer eine Anmeldung, beginnen Sie dort von vorn.",
		StartAgain:    "Von vorn beginnen",

		FormPostTitle:  "Einen Augenblick",
		FormPost:       "Sie werden zurück zur Anwendung gebracht.",
		FormPostButton: "Weiter",

		ErrorStopped: "Hier geht es nicht weiter",
		ErrorOurs:    "Hier ist etwas schiefgegangen",
		ErrorBusy:    "Gerade ist zu viel los",
		ErrorTooMany: "Zu viele Versuche",
		ErrorDoStart: "Hilft es nicht, in der Anwendung von vorn zu beginnen, nennen Sie ihren Betreibern die Kennung unten.",
		ErrorDoWait:  "Warten Sie {wait} und versuchen Sie es dann noch einmal.",
		ErrorDoOurs:  "Es liegt nicht an Ihnen. Geschieht es noch einmal, nennen Sie den Betreibern dieses Dienstes die Kennung unten.",
		ErrorID:      "Kennung dieses Fehlers",
		Support:      "Hilfe",

		AccountTitle: "Ihr Konto",

		SessionsTitle:    "Wo Sie angemeldet sind",
		SessionsIntro:    "Browser, in denen Ihr Konto offen ist. Beenden Sie, was Sie nicht kennen oder nicht mehr brauchen.",
		SessionsOnlyThis: "Sonst sind Sie nirgends angemeldet.",
		ThisBrowser:      "Dieser Browser",
		SessionAddress:   "Adresse",
		SignedInSince:    "Angemeldet",
		Seen:             "Zuletzt gesehen",
		SeenNow:          "jetzt",
		EndSession:       "Beenden",
		EndSessionOf:     "Sitzung beenden: {device}, angemeldet {since}",
		EndOthers:        "Alle anderen Sitzungen beenden",

		AllowedTitle:      "Was Sie erlaubt haben",
		AllowedIntro:      "Anwendungen, die Ihr Konto benutzen dürfen. Widerrufen Sie das, endet ihr Zugriff sofort.",
		AllowedNone:       "Zurzeit darf keine Anwendung Ihr Konto benutzen.",
		AllowedSince:      "Erlaubt seit",
		LastUsed:          "Zuletzt benutzt",
		NotInUse:          "zurzeit nicht verbunden",
		Connection:        "Verbindung",
		ConnectionOffline: "bleibt, während Sie weg sind",
		ConnectionOnline:  "bis Sie sich abmelden",
		OnDevice:          "eine Anwendung auf Ihren eigenen Geräten",
		Withdraw:          "Widerrufen",
		WithdrawOf:        "Widerrufen, was Sie {client} erlaubt haben",
		MayNow:            "Die Anwendung darf",

		EventsTitle:         "Was geschehen ist",
		EventsIntro:         "Letzte {days}. Waren Sie etwas davon nicht selbst, ändern Sie Ihr Passwort und beenden Sie die Sitzungen, die Sie nicht kennen.",
		EventsNone:          "Letzte {days}: nichts, was Sie wissen müssten.",
		ToldNewDevice:       "Ein neues Gerät hat sich angemeldet: {device}, von {place}.",
		ToldFailedOnce:      "Eine Anmeldung ist gescheitert, von {place}.",
		ToldFailed:          "{count} Anmeldungen sind gescheitert, von {place}.",
		ToldRefreshReplay:   "Jemand hat einen alten Schlüssel von {client} noch einmal benutzt, von {place}. Er könnte kopiert worden sein; darum haben wir den Zugriff der Anwendung beendet.",
		ToldCodeReplay:      "Jemand hat eine Anmeldung bei {client} ein zweites Mal benutzt, von {place}. Wir haben den Zugriff beendet, den sie gegeben hatte.",
		ToldLostState:       "{client} kam mit einem Schlüssel, den unsere Aufzeichnungen nicht erklären, von {place}. Wir haben den Zugriff vorsorglich beendet.",
		ToldRedelivered:     "{client} hat einen Schlüssel kurz hintereinander zweimal benutzt, von einer anderen Adresse als sonst: {place}. Das tut eine schlechte Verbindung, aber auch eine Kopie des Schlüssels.",
		ToldPasswordChanged: "Sie haben Ihr Passwort geändert ({device}, von {place}).",
		ToldPasswordSet:     "Ein neues Passwort wurde von der Verwaltung gesetzt.",
		ToldSessionEnded:    "Eine Sitzung wurde auf dieser Seite beendet ({device}, von {place}).",
		ToldSessionLimit:    "Ihre älteste Sitzung ist zu Ende, weil Sie sich mit mehr Browsern angemeldet haben als erlaubt.",
		UnknownApplication:  "eine Anwendung",

		PasswordTitle:        "Passwort",
		PasswordIntro:        "Ändern Sie es, enden alle anderen Sitzungen und der Zugriff aller Anwendungen.",
		NoPassword:           "Ihr Konto hat kein Passwort.",
		CurrentPassword:      "Jetziges Passwort",
		NewPassword:          "Neues Passwort",
		RepeatPassword:       "Neues Passwort, noch einmal",
		NewPasswordHint:      "Mindestens {least} Zeichen. Vier ungewöhnliche Wörter sind stärker als ein Rätsel.",
		ChangePassword:       "Passwort ändern",
		PasswordMissing:      "Füllen Sie alle drei Felder aus.",
		PasswordWrong:        "Das jetzige Passwort stimmt nicht.",
		PasswordDiffers:      "Das neue Passwort war nicht beide Male gleich.",
		PasswordShort:        "Das neue Passwort braucht mindestens {least} Zeichen.",
		PasswordLong:         "Das neue Passwort ist zu lang.",
		PasswordCommon:       "Das neue Passwort gehört zu denen, die zuerst probiert werden. Wählen Sie ein anderes.",
		PasswordPersonal:     "Das neue Passwort darf nicht Ihr Name oder Ihre E-Mail-Adresse sein. Wählen Sie ein anderes.",
		PasswordSame:         "Das neue Passwort ist das jetzige. Wählen Sie ein anderes.",
		PasswordOvertaken:    "Ihr Passwort oder Ihre Anmeldung hat sich inzwischen geändert. Es wurde nichts getan.",
		NotePasswordChanged:  "Ihr Passwort ist geändert. Alle anderen Sitzungen und der Zugriff aller Anwendungen sind beendet.",
		NoteSessionEnded:     "Die Sitzung ist beendet.",
		NoteSessionGone:      "Diese Sitzung war schon zu Ende.",
		NoteOthersEnded:      "Alle anderen Sitzungen sind beendet.",
		NoteNoOthers:         "Es gab keine andere Sitzung.",
		NoteWithdrawn:        "Sie haben es widerrufen. Der Zugriff der Anwendung ist beendet.",
		NoteNothingWithdrawn: "Es gab nichts mehr zu widerrufen.",
		DeviceOn:             "{browser} unter {system}",
		BrowserUnknown:       "ein Browser unter {system}",
		DeviceUnknown:        "ein unbekannter Browser",
		PlaceUnknown:         "unbekannter Adresse",

		Scopes: map[string]string{
			"openid":         "Sie wiedererkennen, wenn Sie zurückkommen",
			"profile":        "Ihr Profil sehen, etwa Namen, Bild, Geburtsdatum und Sprache",
			"email":          "Ihre E-Mail-Adresse sehen",
			"address":        "Ihre Postanschrift sehen",
			"phone":          "Ihre Telefonnummer sehen",
			"offline_access": "verbunden bleiben, während Sie weg sind",
		},
		UnknownScope: "die Berechtigung {scope} benutzen",
	}
}

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

// germanUnits in the order of unit: one, several, and several after "vor".
var germanUnits = [...][3]string{
	{"Sekunde", "Sekunden", "Sekunden"}, {"Minute", "Minuten", "Minuten"}, {"Stunde", "Stunden", "Stunden"}, {"Tag", "Tage", "Tagen"},
}

func germanSpan(d time.Duration) string {
	n, of := counted(d)
	if n == 1 {
		return "1\u00a0" + germanUnits[of][0]
	}
	return strconv.FormatInt(n, 10) + "\u00a0" + germanUnits[of][1]
}

func germanAgo(d time.Duration) string {
	n, of := passed(d)
	switch {
	case n == 0:
		return "vor weniger als einer Minute"
	case n == 1 && of == days:
		return "vor 1\u00a0Tag"
	case n == 1:
		return "vor 1\u00a0" + germanUnits[of][0]
	}
	return "vor " + strconv.FormatInt(n, 10) + "\u00a0" + germanUnits[of][2]
}
