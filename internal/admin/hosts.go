package admin

import (
	"context"
	"fmt"
	"net/url"

	"gatehouse"
	"gatehouse/internal/store"
	"gatehouse/oauth"
)

// IssuerHosts are the hosts of all issuers of a server.
type IssuerHosts struct {
	public  oauth.Hosts
	tenants *store.Hosts
}

type hostStore interface {
	TenantHosts(ctx context.Context) (*store.Hosts, error)
}

// HostsOf returns the hosts of a server's issuers: those of its tenants and,
// unless publicURL is empty because nobody knows it, that of the public URL.
func HostsOf(ctx context.Context, db hostStore, publicURL string) (IssuerHosts, error) {
	var hosts IssuerHosts
	if public, err := url.Parse(publicURL); err == nil && public.Host != "" {
		hosts.public = oauth.NewHosts(public.Host)
	}
	var err error
	hosts.tenants, err = db.TenantHosts(ctx)
	return hosts, err
}

// Has says whether a URI points at one of the hosts.
func (h IssuerHosts) Has(uri string) bool { return h.public.Has(uri) || h.tenants.Has(uri) }

// Misplaced returns a sentence for each URI of a client to which no code is
// sent, and no browser after signing out, since it is at one of the hosts: a
// tenant was given its host after the client was registered.
func Misplaced(client gatehouse.Client, hosts IssuerHosts) []string {
	var found []string
	for _, list := range []struct {
		key  string
		uris []string
	}{{"redirect_uris", client.RedirectURIs}, {"post_logout_redirect_uris", client.PostLogoutRedirectURIs}} {
		for _, uri := range list.uris {
			if hosts.Has(uri) {
				found = append(found, fmt.Sprintf("client %s has %s among its %s, which is on a host of this server itself: requests with it are refused", client.ID, uri, list.key))
			}
		}
	}
	return found
}
