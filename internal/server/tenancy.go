package server

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

// tenancy knows the default tenant, which lives at the root of the public
// URL. Whatever Host a request names, the tenant's URLs come from
// configuration.
type tenancy struct {
	store  *store.Store
	issuer string
	// last is the tenant as it was read last, for the documents that are
	// served while the database is away.
	last atomic.Pointer[gatehouse.Tenant]
}

func (t *tenancy) Resolve(ctx context.Context, _, _ string) (gatehouse.Tenant, string, bool, error) {
	settings, _, err := t.store.Tenant(ctx, gatehouse.DefaultTenant)
	if err != nil {
		err = notReady("The database does not answer.", err)
		if last := t.last.Load(); last != nil {
			return *last, "", true, err
		}
		return gatehouse.Tenant{}, "", false, err
	}
	tenant := gatehouse.Tenant{ID: gatehouse.DefaultTenant, Issuer: t.issuer, Settings: settings.WithDefaults()}
	t.last.Store(&tenant)
	return tenant, "", true, nil
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
	if port := uri.Port(); portNumber(port) {
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
