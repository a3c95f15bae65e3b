package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// Store is what applying a tenant file reads and writes. Every method is one
// act, atomic by itself and recorded by the event that comes with it.
type Store interface {
	Now() time.Time
	Tenant(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.Settings, bool, error)
	PutSettings(ctx context.Context, tenant gatehouse.TenantID, settings gatehouse.Settings, event gatehouse.Event) error
	Resources(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.Resource, error)
	PutResource(ctx context.Context, tenant gatehouse.TenantID, resource gatehouse.Resource, event gatehouse.Event) error
	Client(ctx context.Context, tenant gatehouse.TenantID, id string) (gatehouse.Client, bool, error)
	Clients(ctx context.Context, tenant gatehouse.TenantID, after string, limit int) ([]gatehouse.Client, error)
	PutClient(ctx context.Context, tenant gatehouse.TenantID, client gatehouse.Client, event gatehouse.Event) error
	DisableClient(ctx context.Context, tenant gatehouse.TenantID, id string, disabled bool, event gatehouse.Event) (bool, error)
	User(ctx context.Context, tenant gatehouse.TenantID, subject string) (gatehouse.User, bool, error)
	UserByLogin(ctx context.Context, tenant gatehouse.TenantID, loginKey string) (gatehouse.User, bool, error)
	PutUser(ctx context.Context, tenant gatehouse.TenantID, user gatehouse.User, event gatehouse.Event) (store.PutUserOutcome, error)
	SetPassword(ctx context.Context, tenant gatehouse.TenantID, subject, phc string, event gatehouse.Event) (bool, error)
	DisableUser(ctx context.Context, tenant gatehouse.TenantID, subject string, disabled bool, event gatehouse.Event) (bool, error)
	AppendEvent(ctx context.Context, tenant gatehouse.TenantID, event gatehouse.Event) error
	hostStore
}

// Options say how a file is applied.
type Options struct {
	// DryRun computes the report and writes nothing.
	DryRun bool
	// Actor is who is recorded in the events; "apply" when empty.
	Actor string
	// MustBeNew refuses clients and users that exist already.
	MustBeNew bool
	// Fetch gets the documents that clients name; without it a new
	// sector_identifier_uri is refused.
	Fetch Fetcher
	// Unattended refuses a file that would have a secret made, since nobody
	// is there to whom it could be told.
	Unattended bool
}

// Report is what applying a file did, or would do.
type Report struct {
	// Changes are lines such as "+ user alice" or
	// "client web: redirect_uris: + https://app.example/callback".
	Changes []string
	// Notes are what a person should know beside the changes.
	Notes []string
	// Generated are secrets that were made now and can never be shown again.
	Generated []Credential
	// Weak are the weakening switches that the file's clients use.
	Weak []string
	// WeakPasswords name users whose password in the file is among the first
	// that are tried, one sentence each.
	WeakPasswords []string
	// Clients and Subjects name what the file described, in its order.
	Clients  []string
	Subjects []string
}

// Apply makes the tenant as the file says. The whole file is checked before
// the first write; an error then lists everything that is wrong, one line
// each. Applying the same file again changes nothing. Redirect URIs on the host
// of an issuer are refused, be it a tenant's or that of the server's publicURL,
// which is "" where nobody knows it.
func Apply(ctx context.Context, db Store, hasher Hasher, tenant gatehouse.TenantID, publicURL string, file File, options Options) (Report, error) {
	if options.Actor == "" {
		options.Actor = "apply"
	}
	p := planner{db: db, hasher: hasher, tenant: tenant, options: options, now: db.Now()}
	var err error
	if p.hosts, err = HostsOf(ctx, db, publicURL); err != nil {
		return Report{}, err
	}
	if err := p.plan(ctx, file); err != nil {
		return Report{}, err
	}
	if options.DryRun {
		p.report.Generated = nil
		return p.report, nil
	}
	for done, act := range p.acts {
		if err := act(ctx); err != nil {
			return Report{}, fmt.Errorf("after %d of %d changes: %w", done, len(p.acts), err)
		}
	}
	if len(p.acts) == 0 {
		return p.report, nil
	}
	detail := map[string]string{"changes": strconv.Itoa(len(p.report.Changes))}
	return p.report, db.AppendEvent(ctx, tenant, gatehouse.Event{Kind: gatehouse.EventApplied, Actor: options.Actor, Detail: detail})
}

// planner compares a file with what is stored and gathers the acts that make
// them equal.
type planner struct {
	db      Store
	hasher  Hasher
	tenant  gatehouse.TenantID
	options Options
	now     time.Time
	hosts   IssuerHosts
	// resources are all that the tenant will have.
	resources []gatehouse.Resource
	wrong     problems
	acts      []func(context.Context) error
	report    Report
}

func (p *planner) plan(ctx context.Context, file File) error {
	steps := []func(context.Context, File) error{p.planResources, p.planSettings, p.planClients, p.planUsers}
	p.checkNames(file)
	for _, step := range steps {
		if err := step(ctx, file); err != nil {
			return err
		}
	}
	file.locate(p.wrong.list)
	return p.wrong.err()
}

func (p *planner) do(act func(context.Context) error) { p.acts = append(p.acts, act) }

func (p *planner) change(format string, args ...any) {
	p.report.Changes = append(p.report.Changes, fmt.Sprintf(format, args...))
}

func (p *planner) changes(of string, differences []difference) {
	for _, d := range differences {
		p.change("%s: %s: %s", of, d.key, d.text)
	}
}

// checkNames finds what stands in the file twice, and a client_id that is
// also a sub: a resource must be able to tell a person from a machine by the
// token's sub (RFC 9700 §4.15).
func (p *planner) checkNames(file File) {
	clients, logins, subs, named := map[string]int{}, map[string]int{}, map[string]int{}, map[string][]int{}
	once := func(seen map[string]int, name string, index int, path, what string) {
		if name == "" {
			return
		}
		if first, twice := seen[name]; twice && first != index {
			p.wrong.add(path, "write it once", "%s %q is also that of entry %d", what, name, first)
			return
		}
		seen[name] = index
	}
	for i, client := range file.Clients {
		once(clients, client.ClientID, i, fmt.Sprintf("clients[%d].client_id", i), "the client_id")
		// A client without client_id is found again by its name, which nobody
		// else may have then.
		if client.ClientName != "" {
			named[client.ClientName] = append(named[client.ClientName], i)
		}
	}
	for i, client := range file.Clients {
		if client.ClientID == "" && len(named[client.ClientName]) > 1 {
			p.wrong.add(fmt.Sprintf("clients[%d].client_name", i), "write its client_id", "%d clients have the name %q, by which this one must be found again", len(named[client.ClientName]), client.ClientName)
		}
	}
	for i, user := range file.Users {
		once(logins, gatehouse.LoginKey(user.Username), i, fmt.Sprintf("users[%d].username", i), "the login name")
		once(logins, gatehouse.LoginKey(user.Email), i, fmt.Sprintf("users[%d].email", i), "the login name")
		once(subs, user.Sub, i, fmt.Sprintf("users[%d].sub", i), "the sub")
		if client, taken := clients[user.Sub]; taken && user.Sub != "" {
			p.wrong.add(fmt.Sprintf("users[%d].sub", i), "choose another sub", "%q is also the client_id of clients[%d]", user.Sub, client)
		}
	}
}

func (p *planner) planResources(ctx context.Context, file File) error {
	stored, err := p.db.Resources(ctx, p.tenant)
	if err != nil {
		return err
	}
	p.resources = slices.Clone(stored)
	for i, entry := range file.Resources {
		resource := entry.resource()
		wrong := checkResource(resource)
		p.wrong.list = append(p.wrong.list, under(EntryPath("resources", i, resource.Name), wrong)...)
		at := slices.IndexFunc(p.resources, func(r gatehouse.Resource) bool { return r.Identified(resource.Identifier) })
		switch {
		case at < 0:
			p.resources = append(p.resources, resource)
			p.change("+ resource %s", resource.Identifier)
		case p.resources[at].Identifier != resource.Identifier:
			p.wrong.add(fmt.Sprintf("resources[%d].identifier", i), "write it in the same way", "%q names the same resource as %q", resource.Identifier, p.resources[at].Identifier)
			continue
		case at >= len(stored) || slices.ContainsFunc(file.Resources[:i], func(e ResourceEntry) bool { return e.Identifier == resource.Identifier }):
			p.wrong.add(fmt.Sprintf("resources[%d].identifier", i), "write it once", "%q is there twice", resource.Identifier)
			continue
		default:
			differences := compare(p.resources[at], resource)
			p.resources[at] = resource
			if len(differences) == 0 {
				continue
			}
			p.changes("resource "+resource.Identifier, differences)
		}
		p.do(func(ctx context.Context) error {
			return p.db.PutResource(ctx, p.tenant, resource, gatehouse.Event{
				Kind: gatehouse.EventResourceChanged, Actor: p.options.Actor, Detail: map[string]string{"resource": resource.Identifier},
			})
		})
	}
	if len(p.resources) > MaxResources {
		p.wrong.add("resources", "", "more than %d resources", MaxResources)
	}
	checkScopesApart(&p.wrong, p.resources)
	return nil
}

func (p *planner) planSettings(ctx context.Context, file File) error {
	if file.Settings == nil {
		return nil
	}
	settings := *file.Settings
	p.wrong.list = append(p.wrong.list, under("settings", CheckSettings(settings, p.resources))...)
	stored, _, err := p.db.Tenant(ctx, p.tenant)
	if err != nil {
		return err
	}
	differences := compare(stored, settings)
	if len(differences) == 0 {
		return nil
	}
	p.changes("settings", differences)
	p.do(func(ctx context.Context) error {
		return p.db.PutSettings(ctx, p.tenant, settings, gatehouse.Event{
			Kind: gatehouse.EventSettingsChanged, Actor: p.options.Actor, Detail: map[string]string{"keys": keysOf(differences)},
		})
	})
	return nil
}

// newID makes an identifier of 130 random bits in lower case.
func newID() string { return strings.ToLower(rand.Text()) }
