package server

import (
	"context"
	"net"
	"net/url"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/store"
)

// tenancy knows the default tenant, which lives at the root of the public
// URL. Whatever Host a request names, the tenant's URLs come from
// configuration.
type tenancy struct {
	store  *store.Store
	issuer string
}

func (t *tenancy) Resolve(ctx context.Context, _, _ string) (gatehouse.Tenant, string, bool, error) {
	settings, _, err := t.store.Tenant(ctx, gatehouse.DefaultTenant)
	return gatehouse.Tenant{ID: gatehouse.DefaultTenant, Issuer: t.issuer, Settings: settings.WithDefaults()}, "", true, err
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
	// anyPort are origins of loopback redirect URIs without a port.
	anyPort map[string]bool
}

func (o *origins) KnownOrigin(ctx context.Context, tenant gatehouse.TenantID, origin string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.known[tenant]
	if now := o.store.Now(); known.exact == nil || now.Sub(known.at) > originsAge {
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
	if known.exact[origin] {
		return true, nil
	}
	parsed, err := url.Parse(origin)
	return err == nil && parsed.Port() != "" && known.anyPort[parsed.Scheme+"://"+hostOnly(parsed)], nil
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
				known.add(client.RedirectURIs)
			}
		}
		if len(clients) < clientPage {
			return known, nil
		}
		after = clients[len(clients)-1].ID
	}
}

func (k knownOrigins) add(redirectURIs []string) {
	for _, text := range redirectURIs {
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme != "https" && uri.Scheme != "http" {
			continue
		}
		origin := uri.Scheme + "://" + uri.Host
		k.exact[origin] = true
		if uri.Scheme == "http" && uri.Port() == "" {
			k.anyPort[origin] = true
		}
	}
}

func hostOnly(uri *url.URL) string {
	host, _, err := net.SplitHostPort(uri.Host)
	if err != nil {
		return uri.Host
	}
	if uri.Hostname() != host || host != "" && uri.Host[0] == '[' {
		return "[" + uri.Hostname() + "]"
	}
	return host
}
