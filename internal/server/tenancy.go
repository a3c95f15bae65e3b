package server

import (
	"context"
	"net/url"
	"strings"
	"sync"
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
		Now() time.Time
		Tenant(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.Settings, bool, error)
		TenantRecord(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.TenantRecord, bool, error)
		TenantAt(ctx context.Context, host string) (gatehouse.TenantID, bool, error)
	}
	keys interface {
		Has(ctx context.Context, tenant gatehouse.TenantID) (bool, error)
	}
	// publicURL is the default tenant's issuer, publicHost its host.
	publicURL, publicHost string
	// last holds each tenant as it was read last, for the documents that are
	// served while the database is away: gatehouse.TenantID → seen. hosts is
	// for the same: host → gatehouse.TenantID.
	last, hosts sync.Map
}

// seen is a tenant at the time at which it was read.
type seen struct {
	gatehouse.Tenant
	at time.Time
}

// seenAge is how old a remembered tenant may become before it is replaced by a
// newer reading.
const seenAge = time.Second

func newTenancy(db *store.Store, keys *keyring.Keyring, public *url.URL) *tenancy {
	return &tenancy{store: db, keys: keys, publicURL: public.Scheme + "://" + public.Host, publicHost: public.Host}
}

func (t *tenancy) Resolve(ctx context.Context, host, path string) (endpoint.Place, bool, error) {
	place := endpoint.Place{Tenant: gatehouse.Tenant{ID: gatehouse.DefaultTenant}, Path: path}
	issuer := t.publicURL
	host = strings.ToLower(host)
	owner, owned, err := t.ownerOf(ctx, host)
	if err != nil {
		return endpoint.Place{}, false, notReady("The database does not answer.", err)
	}
	if owned {
		place.Tenant.ID = owner
		scheme, _, _ := strings.Cut(t.publicURL, "://") // one server speaks either http or https
		issuer = scheme + "://" + host
	} else if named, prefix, rest, below := belowTenantPath(path); below {
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

// ownerOf returns the tenant that has the host to itself.
func (t *tenancy) ownerOf(ctx context.Context, host string) (tenant gatehouse.TenantID, owned bool, err error) {
	if host == t.publicHost {
		return "", false, nil
	}
	tenant, owned, err = t.store.TenantAt(ctx, host)
	known, remembered := t.hosts.Load(host)
	switch {
	case err != nil && remembered:
		return known.(gatehouse.TenantID), true, nil
	case err == nil && owned && known != tenant:
		t.hosts.Store(host, tenant)
	}
	return tenant, owned, err
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
	tenant, found, err := t.read(ctx, id)
	if err != nil {
		last, known := t.last.Load(id)
		if !known {
			return gatehouse.Tenant{}, false, err
		}
		return last.(*seen).Tenant, true, err
	}
	if !found {
		return gatehouse.Tenant{}, false, nil
	}
	now := t.store.Now()
	if last, known := t.last.Load(id); !known || now.Sub(last.(*seen).at) >= seenAge {
		t.last.Store(id, &seen{tenant, now})
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
	// originsAge is how long the origins of clients are kept before they are
	// read again.
	originsAge = time.Second
	// clientPage is how many clients are read at once.
	clientPage = 500
)

// origins knows the web origins of registered clients, from their redirect
// URIs.
type origins struct {
	store *store.Store

	mu    sync.Mutex
	known map[gatehouse.TenantID]knownOrigins
}

type knownOrigins struct {
	at    time.Time
	exact map[string]bool
	// anyPort are origins, without their port, of loopback redirect URIs.
	anyPort map[string]bool
}

func (o *origins) KnownOrigin(ctx context.Context, tenant gatehouse.TenantID, origin string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[tenant]
	if now := o.store.Now(); known.exact == nil || now.Sub(known.at) >= originsAge {
		var err error
		if known, err = o.read(ctx, tenant); err != nil {
			return false, err
		}
		known.at = now
		if o.known == nil {
			o.known = map[gatehouse.TenantID]knownOrigins{}
		}
		o.known[tenant] = known
	}
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
