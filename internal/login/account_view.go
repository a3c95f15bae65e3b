package login

import (
	"html/template"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
)

// places names where a network address is, in a language given by its BCP 47
// tag; false for one that it does not know.
type places interface {
	Place(address, language string) (name string, known bool)
}

type accountView struct {
	frame
	User, Username, Email, LoginName, Initial      string
	SignOut                                        string
	SessionsAction, PermissionsAction              string
	PasswordAction                                 string
	SessionsToken, PermissionsToken, PasswordToken string
	Sessions                                       []sessionView
	Allowed                                        []allowedView
	Events                                         []eventView
	EventsFor                                      string
	HasPassword                                    bool
	PasswordHint                                   string
	// Notice says what was done; Trouble, what was wrong with the form of the
	// password, TroubleAt naming the field.
	Notice, Trouble, TroubleAt string

	may policy
}

// moment is a time for machines and people.
type moment struct{ Machine, Words string }

type sessionView struct {
	ID, Device, Place string
	Since, Seen       moment
	Current           bool
}

type allowedView struct {
	ClientID    string
	Client      clientView
	Hosts       []string
	Groups      []scopeGroup
	Since, Used moment
	InUse       bool
	Offline     bool
}

type eventView struct {
	At    moment
	Text  template.HTML
	Grave bool
}

// accountPage gathers all that the page shows to its owner.
func (e *Endpoints) accountPage(r *endpoint.Request, someone signedIn) (accountView, error) {
	user := someone.User
	view := accountView{
		frame: e.Pages.frame(r, "account-page"), User: displayed(user.DisplayName()), Email: displayed(user.Claims.Email),
		LoginName: user.Username, Initial: initialOf(user.DisplayName()), SignOut: r.Path("/logout/confirm"),
		SessionsAction: r.Path("/account/sessions"), PermissionsAction: r.Path("/account/permissions"), PasswordAction: r.Path("/account/password"),
		HasPassword: user.PasswordHash != "",
	}
	if username := displayed(user.Username); username != view.User && username != view.Email {
		view.Username = username
	}
	view.Width = "page"
	view.PasswordHint = plain(view.T.NewPasswordHint, "least", minimum())
	in := inWords{view.T, e.box.Now(), zoneOf(user), e.Places}
	if err := e.addSessions(r, someone, in, &view); err != nil {
		return view, err
	}
	if err := e.addAllowed(r, user.Subject, in, &view); err != nil {
		return view, err
	}
	return view, e.addEvents(r, user.Subject, in, &view)
}

// zoneOf is the time zone of a user's zoneinfo claim, else UTC.
func zoneOf(user gatehouse.User) *time.Location {
	if name := user.Claims.Zoneinfo; name != "" && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone
		}
	}
	return time.UTC
}

// inWords says times and places to one person.
type inWords struct {
	t      *texts
	now    time.Time
	zone   *time.Location
	places places
}

func (in inWords) day(at time.Time) moment {
	return moment{at.UTC().Format(time.RFC3339), in.t.Day(at.In(in.zone))}
}

func (in inWords) at(at time.Time) moment {
	m := in.day(at)
	m.Words += ", " + at.In(in.zone).Format("15:04 MST")
	return m
}

func (in inWords) ago(at time.Time) moment {
	return moment{at.UTC().Format(time.RFC3339), in.t.Ago(in.now.Sub(at))}
}

func (in inWords) place(address string) string {
	if address == "" {
		return in.t.PlaceUnknown
	}
	if in.places != nil {
		if name, known := in.places.Place(address, in.t.Language); known {
			return displayed(name) + " (" + displayed(address) + ")"
		}
	}
	return displayed(address)
}

func (e *Endpoints) addSessions(r *endpoint.Request, someone signedIn, in inWords, view *accountView) error {
	sessions, err := e.Store.UserSessions(r.Context(), r.Tenant.ID, someone.Subject, r.Tenant.Settings.SessionIdleLifetime.Std())
	if err != nil {
		return err
	}
	for _, session := range sessions {
		s := sessionView{
			ID: session.ID, Device: sentenceCase(deviceNamed(in.t, session.UserAgent)), Place: in.place(session.Address),
			Since: in.at(session.AuthTime), Seen: in.ago(session.LastSeenAt), Current: session.ID == someone.ID,
		}
		if s.Current {
			s.Seen.Words = in.t.SeenNow
		}
		view.Sessions = append(view.Sessions, s)
	}
	slices.SortStableFunc(view.Sessions, func(a, b sessionView) int { // this browser first
		switch {
		case a.Current == b.Current:
			return 0
		case a.Current:
			return -1
		}
		return 1
	})
	return nil
}

func sentenceCase(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

func (e *Endpoints) addAllowed(r *endpoint.Request, subject string, in inWords, view *accountView) error {
	ctx, tenant := r.Context(), r.Tenant.ID
	allowances, err := e.Store.Allowances(ctx, tenant, subject)
	if err != nil || len(allowances) == 0 {
		return err
	}
	resources, err := e.Store.Resources(ctx, tenant)
	if err != nil {
		return err
	}
	for _, allowance := range allowances {
		client, found, err := e.Store.Client(ctx, tenant, allowance.ClientID)
		if err != nil {
			return err
		}
		if !found {
			client = gatehouse.Client{ID: allowance.ClientID}
		}
		asked := interaction.Interaction{Scope: allowance.Scope, Resources: allowance.Resources}
		shown := allowedView{
			ClientID: allowance.ClientID, Client: viewOf(client), Hosts: hostsOf(client), Groups: scopeGroups(in.t, asked, resources),
			Since: in.day(allowance.Since), Offline: allowance.Offline,
		}
		if !allowance.LastUsedAt.IsZero() {
			shown.Used, shown.InUse = in.ago(allowance.LastUsedAt), true
		}
		view.Allowed = append(view.Allowed, shown)
		view.may.load(shown.Client.LogoURI)
	}
	return nil
}

// maxHosts bounds how many of a client's hosts are shown.
const maxHosts = 3

// hostsOf returns the hosts that a client's registered redirect URIs verify.
func hostsOf(client gatehouse.Client) []string {
	var hosts []string
	for _, uri := range client.RedirectURIs {
		if host, _ := destination(uri); host != "" && !slices.Contains(hosts, host) && len(hosts) < maxHosts {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func (e *Endpoints) addEvents(r *endpoint.Request, subject string, in inWords, view *accountView) error {
	window := min(eventsShownFor, r.Tenant.Settings.EventRetention.Std())
	view.EventsFor = in.t.Span(window)
	events, err := e.Store.SecurityEvents(r.Context(), r.Tenant.ID, subject, in.now.Add(-window), eventsShown)
	if err != nil {
		return err
	}
	for _, event := range events {
		name := in.t.UnknownApplication
		if event.ClientID != "" {
			client, found, err := e.Store.Client(r.Context(), r.Tenant.ID, event.ClientID)
			if err != nil {
				return err
			}
			if name = displayed(event.ClientID); found {
				name = displayed(client.DisplayName())
			}
		}
		if text, grave := told(in, event, name); text != "" {
			view.Events = append(view.Events, eventView{in.at(event.LastAt), text, grave})
		}
	}
	return nil
}

// told says an event in a sentence, "" for one that has none. Grave ones may
// mean that somebody else is at work.
func told(in inWords, event gatehouse.Event, client string) (text template.HTML, grave bool) {
	t := in.t
	say := func(sentence string) template.HTML {
		return fill(sentence, "client", client, "place", in.place(event.By.Address),
			"device", deviceNamed(t, event.By.UserAgent), "count", strconv.Itoa(event.Count))
	}
	switch event.Kind {
	case gatehouse.EventNewDevice:
		return say(t.ToldNewDevice), true
	case gatehouse.EventLoginFailed:
		if event.Count == 1 {
			return say(t.ToldFailedOnce), false
		}
		return say(t.ToldFailed), false
	case gatehouse.EventRefreshReplayed:
		return say(t.ToldRefreshReplay), true
	case gatehouse.EventCodeReplayed:
		return say(t.ToldCodeReplay), true
	case gatehouse.EventLostState:
		return say(t.ToldLostState), true
	case gatehouse.EventRedelivered:
		return say(t.ToldRedelivered), false
	case gatehouse.EventUserChanged:
		if event.Actor != "" {
			return say(t.ToldPasswordSet), false
		}
		return say(t.ToldPasswordChanged), false
	case gatehouse.EventSessionEnded:
		if event.Detail["reason"] == string(gatehouse.EndedBySessionLimit) {
			return say(t.ToldSessionLimit), false
		}
		return say(t.ToldSessionEnded), false
	}
	return "", false
}
