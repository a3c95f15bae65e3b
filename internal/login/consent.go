package login

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/oauth"
)

// consentForm is the purpose of the form token of the consent page.
const consentForm = "consent"

// flow knows whom a client expects and carries out a decision: it answers with the redirect or the form that
// the protocol asks for, or returns why not.
type flow interface {
	// Allow records the consent and issues the code.
	Allow(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error
	// Deny tells the client access_denied.
	Deny(w http.ResponseWriter, r *endpoint.Request, in interaction.Interaction) error
	// Expects says whether the client would have this user signed in: it may
	// have named another (OpenID Connect Core §3.1.2.1).
	Expects(r *endpoint.Request, in interaction.Interaction, subject string) (bool, error)
}

type resourceStore interface {
	Resources(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.Resource, error)
}

type consentView struct {
	frame
	Client                     clientView
	User, NotYou               string
	Groups                     []scopeGroup
	Staying                    []template.HTML
	Host, Device               string
	Action, Interaction, Token string
}

// scopeGroup is the sentences of one resource's scopes; Resource is "" for
// what concerns the person.
type scopeGroup struct {
	Resource  string
	Sentences []template.HTML
}

func (e *Endpoints) showConsent(w http.ResponseWriter, r *endpoint.Request) error {
	query, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		return err
	}
	in, client, err := e.open(r, query, interaction.StageConsent)
	if err != nil {
		return err
	}
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	if !found || !isShown(in, someone) {
		// Another session than the page was made for: decide again.
		in.Session, in.Subject = "", ""
		location, err := e.onward(r, in)
		if err != nil {
			return err
		}
		seeOther(w, location)
		return nil
	}
	resources, err := e.Store.Resources(r.Context(), r.Tenant.ID)
	if err != nil {
		return err
	}
	notYou, err := e.sealForLogin(r, in)
	if err != nil {
		return err
	}
	view := consentView{
		frame: e.Pages.frameIn(r, "", in.UILocales), Client: viewOf(client), User: person(someone.User),
		NotYou: r.Path("/login") + "?i=" + notYou,
		Action: r.Path("/consent"), Interaction: query.Get("i"),
		Token: e.box.FormToken(r, e.box.Binding(r), consentForm, in),
	}
	view.Width = "wide"
	asked := in
	asked.Scope = in.Scope.Union(in.Claims.Scope(r.Tenant.Settings)) // claims that are asked for one by one
	view.Groups = scopeGroups(view.T, asked, resources)
	view.Staying = staying(view.T, r.Tenant.Settings, client, in, resources)
	view.Host, view.Device = destination(in.RedirectURI)
	e.Pages.show(w, r, http.StatusOK, "consent", view, policyFor(client, in.RedirectURI))
	return nil
}

// sealForLogin returns the interaction for the sign-in page, no session
// chosen.
func (e *Endpoints) sealForLogin(r *endpoint.Request, in interaction.Interaction) (string, error) {
	in.Stage, in.Session, in.Subject = interaction.StageLogin, "", ""
	return e.box.Seal(r, in)
}

// isShown says whether the consent page names the user who is signed in now. A
// newer session of the same user, from another tab, will do.
func isShown(in interaction.Interaction, someone signedIn) bool {
	return someone.Subject == in.Subject
}

func (e *Endpoints) decide(w http.ResponseWriter, r *endpoint.Request) error {
	if err := sameOrigin(r); err != nil {
		return err
	}
	form, err := oauth.ReadForm(r.Request)
	if err != nil {
		return err
	}
	in, _, err := e.open(r, form, interaction.StageConsent)
	if err != nil {
		return err
	}
	if err := e.genuine(r, form, consentForm, in); err != nil {
		return err
	}
	someone, found, err := e.current(w, r)
	if err != nil {
		return err
	}
	if !found || !isShown(in, someone) {
		return oauth.Refuse("consent-other-user", oauth.AccessDenied,
			"The page asked another person than the one who is signed in now, or that sign-in has ended.").WithStatus(http.StatusForbidden)
	}
	switch form.Get("decision") {
	case "allow":
		return e.Flow.Allow(w, r, in)
	case "deny":
		return e.Flow.Deny(w, r, in)
	}
	return oauth.Refuse("consent-no-decision", oauth.InvalidRequest, "The form does not say whether you allow or cancel.")
}

// scopeGroups says in sentences what the request asks for: about the person
// first, then resource by resource.
func scopeGroups(t *texts, in interaction.Interaction, resources []gatehouse.Resource) []scopeGroup {
	var about scopeGroup
	for _, scope := range in.Scope.Intersect(gatehouse.IdentityScopes) {
		if scope != "offline_access" { // has a section of its own
			about.Sentences = append(about.Sentences, fill(t.Scopes[scope]))
		}
	}
	var groups []scopeGroup
	left := in.Scope.Without(gatehouse.IdentityScopes)
	for _, resource := range named(in.Resources, resources) {
		group := scopeGroup{Resource: displayed(resource.Name)}
		if group.Resource == "" {
			group.Resource = displayed(resource.Identifier)
		}
		for _, scope := range resource.Scopes {
			for _, asked := range left {
				if values, matches := oauth.ScopeValues(scope.Name, asked); matches {
					left = left.Without(oauth.Scope{asked})
					group.Sentences = append(group.Sentences, sentence(t, scope, asked, values))
				}
			}
		}
		if len(group.Sentences) > 0 {
			groups = append(groups, group)
		}
	}
	for _, scope := range left {
		about.Sentences = append(about.Sentences, fill(t.UnknownScope, "scope", scope))
	}
	if len(about.Sentences) > 0 {
		groups = append([]scopeGroup{about}, groups...)
	}
	if len(groups) == 0 {
		groups = []scopeGroup{{Sentences: []template.HTML{fill(t.NothingElse)}}}
	}
	return groups
}

// sentence is what the resource's owner wrote for a scope, with the values of
// its parameters.
func sentence(t *texts, scope gatehouse.ResourceScope, asked string, values []string) template.HTML {
	if description := displayed(scope.Description); description != "" {
		return fill(description, values...)
	}
	return fill(t.UnknownScope, "scope", asked)
}

// named returns the resources of the request, before the others.
func named(identifiers []string, resources []gatehouse.Resource) []gatehouse.Resource {
	var first, rest []gatehouse.Resource
	for _, resource := range resources {
		if slices.ContainsFunc(identifiers, resource.Identified) {
			first = append(first, resource)
		} else {
			rest = append(rest, resource)
		}
	}
	return append(first, rest...)
}

// staying says how long the client keeps its access.
func staying(t *texts, settings gatehouse.Settings, client gatehouse.Client, in interaction.Interaction, resources []gatehouse.Resource) []template.HTML {
	if !client.MayUse(gatehouse.GrantRefreshToken) {
		life := settings.AccessTokenLifetime.Std()
		for _, resource := range resources {
			if slices.ContainsFunc(in.Resources, resource.Identified) {
				life = max(life, resource.TokenLifetime.Std())
			}
		}
		return []template.HTML{fill(t.OneTime, "life", t.Span(life))}
	}
	how := t.UntilSignOut
	if in.Scope.Has("offline_access") {
		how = t.Offline
	}
	longest, idle := settings.RefreshAbsoluteLifetime.Std(), settings.RefreshIdleLifetime.Std()
	said := []template.HTML{fill(how, "longest", t.Span(longest))}
	if idle < longest {
		said = append(said, fill(t.Idle, "idle", t.Span(idle)))
	}
	return said
}

// destination returns the host that the redirect URI was verified to name, or
// else, for an application on the person's device, how it is reached.
func destination(redirectURI string) (host, device string) {
	uri, err := url.Parse(redirectURI)
	switch {
	case err != nil:
		return "", displayed(redirectURI)
	case uri.Scheme == "https":
		return uri.Host, ""
	case uri.Scheme == "http":
		return "", uri.Host
	}
	return "", uri.Scheme + ":"
}
