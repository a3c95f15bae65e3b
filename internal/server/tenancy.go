package server

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/keyring"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

// tenancy finds tenants: the default one lives at the root of the public URL,
// others below /t/, or at a host of their own. Their URLs come from
// configuration and from what operators wrote, whatever Host a request names: a
// host that no tenant has to itself is taken for that of the public URL.
type tenancy struct {
	store interface {
		Version(ctx context.Context) (int64, error)
		Tenant(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.Settings, bool, error)
		TenantRecord(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.TenantRecord, bool, error)
		TenantHosts(ctx context.Context) (*store.Hosts, error)
	}
	keys interface {
		Has(ctx context.Context, tenant gatehouse.TenantID) (bool, error)
	}
	// publicURL is the default tenant's issuer, and scheme and publicHost are
	// its parts. One server speaks either http or https.
	publicURL, scheme, publicHost string
	// public is the host of publicURL.
	public oauth.Hosts
	// last holds each tenant as it was read last, and hosts their hosts, for the
	// documents that are served while the database is away:
	// gatehouse.TenantID → *seen.
	last  sync.Map
	hosts atomic.Pointer[store.Hosts]
}

// seen is a tenant as it is at a version of the store's snapshot.
type seen struct {
	gatehouse.Tenant
	version int64
}

func newTenancy(db *store.Store, keys *keyring.Keyring, public *url.URL) *tenancy {
	return &tenancy{store: db, keys: keys, publicURL: public.Scheme + "://" + public.Host, scheme: public.Scheme, publicHost: public.Host, public: oauth.NewHosts(public.Host)}
}

// checkPublicHost refuses to be the default tenant where another one lives: its
// issuer would come to have other keys and people.
func (s *Server) checkPublicHost(ctx context.Context) error {
	hosts, err := s.store.TenantHosts(ctx)
	if err != nil {
		return err
	}
	_, host, _ := strings.Cut(s.config.PublicURL, "://")
	if owner, owned := hosts.Owner(host); owned {
		return fmt.Errorf("public_url is the issuer of tenant %s; give the default tenant another host", owner)
	}
	return nil
}

func (t *tenancy) Resolve(ctx context.Context, host, path string) (endpoint.Place, bool, error) {
	place := endpoint.Place{Tenant: gatehouse.Tenant{ID: gatehouse.DefaultTenant}, Path: path}
	issuer := t.publicURL
	if host != t.publicHost { // as nearly everybody writes it
		host = t.plain(host)
	}
	owner, owned, near, err := t.ownerOf(ctx, host)
	switch {
	case err != nil:
		return endpoint.Place{}, false, notReady("The database does not answer.", err)
	case near: // a tenant's host on another port is nobody's
		return endpoint.Place{}, false, nil
	case owned:
		place.Tenant.ID = owner
		issuer = t.scheme + "://" + host
	}
	if named, prefix, rest, below := belowTenantPath(path); below && !owned {
		place = endpoint.Place{Tenant: gatehouse.Tenant{ID: named}, Prefix: prefix, Path: rest}
		issuer += prefix
	}
	tenant, found, err := t.tenant(ctx, place.Tenant.ID)
	if err != nil {
		err = notReady("The database does not answer.", err)
	}
	if !found || tenant.Issuer != issuer { // a tenant has one address
		return endpoint.Place{}, false, err
	}
	place.Tenant = tenant
	return place, true, err
}

// plain returns a Host header as issuers write their host (RFC 3986 §6.2.3).
func (t *tenancy) plain(host string) string {
	host = strings.ToLower(host)
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		name, port = host[:i], strings.TrimLeft(host[i+1:], "0")
	}
	name = strings.TrimSuffix(name, ".")
	if port == "" || t.scheme == "https" && port == "443" || t.scheme == "http" && port == "80" {
		return name
	}
	return name + ":" + port
}

// ownerOf returns the tenant that has the host to itself, or says that it is
// near to that of one.
func (t *tenancy) ownerOf(ctx context.Context, host string) (tenant gatehouse.TenantID, owned, near bool, err error) {
	if host == t.publicHost {
		return "", false, false, nil
	}
	hosts, err := t.tenantHosts(ctx)
	if err != nil {
		return "", false, false, err
	}
	if tenant, owned = hosts.Owner(host); owned {
		return tenant, true, false, nil
	}
	return "", false, hosts.Near(host), nil
}

// tenantHosts returns the hosts of tenants, those that were known last while
// the database is away.
func (t *tenancy) tenantHosts(ctx context.Context) (*store.Hosts, error) {
	hosts, err := t.store.TenantHosts(ctx)
	if err != nil {
		if last := t.hosts.Load(); last != nil {
			return last, nil
		}
		return nil, err
	}
	if t.hosts.Load() != hosts {
		t.hosts.Store(hosts)
	}
	return hosts, nil
}

// OnIssuerHost says whether a URI points at the host of an issuer, whichever
// tenant's.
func (t *tenancy) OnIssuerHost(ctx context.Context, uri string) (bool, error) {
	if t.public.Has(uri) {
		return true, nil
	}
	hosts, err := t.tenantHosts(ctx)
	return err == nil && hosts.Has(uri), err
}

// belowTenantPath takes the name of a tenant out of a path: /t/NAME/token, and
// /.well-known/DOCUMENT/t/NAME, as RFC 8414 §3.1 writes the address of an
// issuer's metadata.
func belowTenantPath(path string) (tenant gatehouse.TenantID, prefix, rest string, below bool) {
	if after, found := strings.CutPrefix(path, gatehouse.TenantPath); found {
		name, _, _ := strings.Cut(after, "/")
		prefix = gatehouse.TenantPath + name
		return gatehouse.TenantID(name), prefix, strings.TrimPrefix(path, prefix), true
	}
	if strings.HasPrefix(path, wellKnown) {
		document, name, found := strings.Cut(path, gatehouse.TenantPath)
		if found && !strings.Contains(name, "/") {
			return gatehouse.TenantID(name), gatehouse.TenantPath + name, document, true
		}
	}
	return "", "", "", false
}

const wellKnown = "/.well-known/"

// tenant reads a tenant that is served. With an error it may return the tenant
// as it was last.
func (t *tenancy) tenant(ctx context.Context, id gatehouse.TenantID) (gatehouse.Tenant, bool, error) {
	var last *seen
	if known, is := t.last.Load(id); is {
		last = known.(*seen)
	}
	version, err := t.store.Version(ctx)
	current := err == nil && last != nil && last.version == version
	tenant, found := gatehouse.Tenant{}, false
	switch {
	case current && id == gatehouse.DefaultTenant:
		return last.Tenant, true, nil
	case current:
		tenant = last.Tenant
		found, err = t.keys.Has(ctx, id)
	case err == nil:
		tenant, found, err = t.read(ctx, id)
	}
	if err != nil {
		if last == nil {
			return gatehouse.Tenant{}, false, err
		}
		return last.Tenant, true, err
	}
	if !found {
		return gatehouse.Tenant{}, false, nil
	}
	if !current {
		// What was read may already be of a later version: it is of the one before
		// only if that is still there.
		if now, err := t.store.Version(ctx); err != nil || now != version {
			version = 0
		}
		t.last.Store(id, &seen{tenant, version})
	}
	return tenant, true, nil
}

func (t *tenancy) read(ctx context.Context, id gatehouse.TenantID) (gatehouse.Tenant, bool, error) {
	record := gatehouse.TenantRecord{ID: id}
	if id != gatehouse.DefaultTenant {
		if gatehouse.CheckTenantID(id) != nil {
			return gatehouse.Tenant{}, false, nil
		}
		var found bool
		var err error
		if record, found, err = t.store.TenantRecord(ctx, id); err != nil || !found || record.Disabled() {
			t.forget(id, err)
			return gatehouse.Tenant{}, false, err
		}
		if found, err = t.keys.Has(ctx, id); err != nil || !found {
			return gatehouse.Tenant{}, false, err
		}
	}
	settings, _, err := t.store.Tenant(ctx, id)
	if err != nil {
		return gatehouse.Tenant{}, false, err
	}
	return gatehouse.Tenant{ID: id, Issuer: record.IssuerUnder(t.publicURL), Settings: settings.WithDefaults()}, true, nil
}

// forget keeps a tenant that is not served any more from being served while
// the database is away.
func (t *tenancy) forget(id gatehouse.TenantID, err error) {
	if err == nil {
		t.last.Delete(id)
	}
}

const (
	// originsAge is how long the origins of clients are kept before it is looked
	// whether they have changed.
	originsAge = time.Second
	// clientPage is how many clients are read at once.
	clientPage = 500
)

// origins knows the web origins of registered clients, from their redirect
// URIs.
type origins struct {
	store interface {
		Now() time.Time
		Version(ctx context.Context) (int64, error)
		Clients(ctx context.Context, tenant gatehouse.TenantID, after string, limit int) ([]gatehouse.Client, error)
	}
	known sync.Map // gatehouse.TenantID → *tenantOrigins
}

// tenantOrigins are those of one tenant. Who reads them anew holds up nobody
// of another.
type tenantOrigins struct {
	mu sync.Mutex
	knownOrigins
}

type knownOrigins struct {
	at      time.Time
	version int64 // of the store, when they were read
	exact   map[string]bool
	// anyPort are origins, without their port, of loopback redirect URIs.
	anyPort map[string]bool
}

func (o *origins) KnownOrigin(ctx context.Context, tenant gatehouse.TenantID, origin string) (bool, error) {
	kept, _ := o.known.LoadOrStore(tenant, &tenantOrigins{})
	known := kept.(*tenantOrigins)
	known.mu.Lock()
	defer known.mu.Unlock()
	now := o.store.Now()
	if known.exact != nil && now.Sub(known.at) < originsAge {
		return known.has(origin), nil
	}
	// The clients themselves are read only if something has changed: any
	// stranger's request has an origin, and a tenant may have many clients.
	version, err := o.store.Version(ctx)
	if err != nil {
		return false, err
	}
	if known.exact == nil || known.version != version {
		read, err := o.read(store.WithPatience(ctx, 0), tenant) // many clients take many questions
		if err != nil {
			return false, err
		}
		read.version = version
		known.knownOrigins = read
	}
	known.at = now
	return known.has(origin), nil
}

func (o *origins) read(ctx context.Context, tenant gatehouse.TenantID) (knownOrigins, error) {
	known := knownOrigins{exact: map[string]bool{}, anyPort: map[string]bool{}}
	for after := ""; ; {
		clients, err := o.store.Clients(ctx, tenant, after, clientPage)
		if err != nil {
			return knownOrigins{}, err
		}
		for _, client := range clients {
			if !client.Disabled() {
				known.add(client)
			}
		}
		if len(clients) < clientPage {
			return known, nil
		}
		after = clients[len(clients)-1].ID
	}
}

func (k knownOrigins) add(client gatehouse.Client) {
	for _, text := range client.RedirectURIs {
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme != "https" && uri.Scheme != "http" {
			continue
		}
		origin := originOf(uri)
		k.exact[origin] = true
		portless := uri.Scheme + "://" + strings.TrimSuffix(uri.Host, ":"+uri.Port())
		if oauth.MatchRedirectURI([]string{origin}, portless+":1", client.RedirectRules()) { // RFC 8252 §7.3: on any port
			k.anyPort[portless] = true
		}
	}
}

func (k knownOrigins) has(origin string) bool {
	if k.exact[origin] {
		return true
	}
	uri, err := url.Parse(origin)
	if err != nil || origin != originOf(uri) {
		return false
	}
	portless := origin
	if port := uri.Port(); oauth.PortNumber(port) {
		portless = strings.TrimSuffix(origin, ":"+port)
	}
	return k.anyPort[portless]
}

// originOf returns the origin of an http or https URL as browsers write it
// (RFC 6454 §6.2): without the port that the scheme implies.
func originOf(uri *url.URL) string {
	host := uri.Host
	switch {
	case uri.Scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	case uri.Scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return uri.Scheme + "://" + host
}
