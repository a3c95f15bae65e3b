package dev

import (
	"net/url"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
)

// Scopes of PhotoAPI.
const (
	scopeRead  = "photos:read"
	scopeWrite = "photos:write"
)

// Identifiers of the demonstration clients.
const (
	clientWeb        = "web"
	clientSPA        = "spa"
	clientMachine    = "machine"
	clientPhotoAPI   = "photoapi"
	clientPlayground = "playground"
	clientBFF        = "photos-bff"
	clientGateway    = "photos-gateway"
	clientThumbnails = "thumbnails"
)

// confidential are the demonstration clients that have a secret.
var confidential = []string{clientWeb, clientMachine, clientPhotoAPI, clientBFF, clientGateway, clientThumbnails}

// callbackPath is where the playground, and applications by our advice,
// receive the answer to an authorization request.
const callbackPath = "/callback"

// anyLoopbackPort are redirect URIs of which the port does not count
// (RFC 8252 §7.3).
var anyLoopbackPort = []string{"http://127.0.0.1" + callbackPath, "http://[::1]" + callbackPath}

// urls are the addresses of the stage, each an origin without a slash.
type urls struct {
	issuer, playground, api, bff, gateway, thumbnails string
	// apiIdentifier names PhotoAPI in tokens, wherever it listens.
	apiIdentifier string
}

// demoFile is the tenant file of the stage. redirectURIs are the developer's
// own, for web and spa.
func demoFile(at urls, secrets map[string]secret.String, redirectURIs []string) admin.File {
	everything := strings.Join(append(slices.Clone(gatehouse.IdentityScopes), scopeRead, scopeWrite), " ")
	playgroundCallback := at.playground + callbackPath
	person := gatehouse.ClientMetadata{
		GrantTypes:              []string{gatehouse.GrantAuthorizationCode, gatehouse.GrantRefreshToken},
		RedirectURIs:            distinct(redirectURIs, []string{playgroundCallback}, anyLoopbackPort),
		PostLogoutRedirectURIs:  afterLogout(redirectURIs, at.playground),
		TokenEndpointAuthMethod: gatehouse.AuthNone,
		Scope:                   everything,
	}
	web, spa, playground := person, person, person
	web.ClientName, web.TokenEndpointAuthMethod = "Demo web application", gatehouse.AuthClientSecretBasic
	spa.ClientName = "Demo browser application"
	spa.RedirectURIs = distinct(redirectURIs, anyLoopbackPort, []string{playgroundCallback})
	playground.ClientName = "Gatehouse playground"
	playground.RedirectURIs = []string{playgroundCallback}
	playground.PostLogoutRedirectURIs = []string{at.playground + "/"}

	machine := gatehouse.ClientMetadata{
		ClientName:              "Demo service",
		GrantTypes:              []string{gatehouse.GrantClientCredentials},
		TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic,
		Scope:                   scopeRead + " " + scopeWrite,
	}
	photoAPI := gatehouse.ClientMetadata{
		ClientName:              "PhotoAPI",
		GrantTypes:              []string{gatehouse.GrantTokenExchange},
		TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic,
		Scope:                   scopeRead,
		Introspects:             []string{at.apiIdentifier},
		RevocationFeed:          true,
		TokenExchange:           &gatehouse.TokenExchange{Accepts: []string{at.apiIdentifier}, Audiences: []string{thumbnailsIdentifier}},
	}
	thumbnails := gatehouse.ClientMetadata{
		ClientName:              "Thumbnails",
		GrantTypes:              []string{gatehouse.GrantClientCredentials},
		TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic,
		Introspects:             []string{thumbnailsIdentifier},
		RevocationFeed:          true,
	}
	gateway := photoAPI
	gateway.ClientName = "Gateway"
	gateway.Scope = scopeRead + " " + scopeWrite
	gateway.TokenExchange = &gatehouse.TokenExchange{Accepts: []string{at.apiIdentifier}, Audiences: []string{at.apiIdentifier}}
	backend := bffAddresses(at)
	photos := gatehouse.ClientMetadata{
		ClientName:              "Demo photos, with a backend for frontend",
		GrantTypes:              []string{gatehouse.GrantAuthorizationCode, gatehouse.GrantRefreshToken},
		TokenEndpointAuthMethod: gatehouse.AuthClientSecretBasic,
		RedirectURIs:            []string{backend.RedirectURI},
		PostLogoutRedirectURIs:  []string{backend.PostLogoutRedirectURI},
		BackchannelLogoutURI:    backend.BackChannelLogoutURI,
		Scope:                   bffScope,
	}
	return admin.File{
		Resources: []admin.ResourceEntry{{
			Identifier: at.apiIdentifier,
			Name:       "PhotoAPI",
			Scopes: admin.Scopes{
				{Name: scopeRead, Description: "See your photos"},
				{Name: scopeWrite, Description: "Add and delete photos on your behalf"},
			},
		}, {
			Identifier: thumbnailsIdentifier,
			Name:       "Thumbnails",
		}},
		Clients: []admin.ClientEntry{
			{ClientID: clientWeb, ClientSecret: secrets[clientWeb], ClientMetadata: web},
			{ClientID: clientSPA, ClientMetadata: spa},
			{ClientID: clientMachine, ClientSecret: secrets[clientMachine], ClientMetadata: machine},
			{ClientID: clientPhotoAPI, ClientSecret: secrets[clientPhotoAPI], ClientMetadata: photoAPI},
			{ClientID: clientPlayground, ClientMetadata: playground},
			{ClientID: clientBFF, ClientSecret: secrets[clientBFF], ClientMetadata: photos},
			{ClientID: clientGateway, ClientSecret: secrets[clientGateway], ClientMetadata: gateway},
			{ClientID: clientThumbnails, ClientSecret: secrets[clientThumbnails], ClientMetadata: thumbnails},
		},
		Users: demoUsers(),
	}
}

// afterLogout are the places to which a sign-out may return: the callbacks
// themselves, and the roots of their origins with and without a slash.
func afterLogout(redirectURIs []string, playground string) []string {
	var places []string
	for _, text := range redirectURIs {
		if uri, err := url.Parse(text); err == nil && (uri.Scheme == "https" || uri.Scheme == "http") && uri.Host != "" {
			root := uri.Scheme + "://" + uri.Host
			places = append(places, root+"/", root)
		}
		places = append(places, text)
	}
	return distinct(places, []string{playground + "/"})
}

// distinct joins lists and leaves out what was there before.
func distinct(lists ...[]string) []string {
	var joined []string
	for _, one := range slices.Concat(lists...) {
		if !slices.Contains(joined, one) {
			joined = append(joined, one)
		}
	}
	return joined
}

// unclaimed returns the scopes that no resource of the developer's declares: a
// scope belongs to one resource, and the demonstration steps aside.
func unclaimed(scopes admin.Scopes, own []admin.ResourceEntry) admin.Scopes {
	return slices.DeleteFunc(slices.Clone(scopes), func(demo gatehouse.ResourceScope) bool {
		return slices.ContainsFunc(own, func(r admin.ResourceEntry) bool {
			return slices.ContainsFunc(r.Scopes, func(s gatehouse.ResourceScope) bool { return s.Name == demo.Name })
		})
	})
}

// join puts the developer's own file before the demonstration. What both
// describe is as the developer's file has it. The developer's entries come
// first, so that problems name them by the places they have in their file.
func join(own, demo admin.File) admin.File {
	joined := own
	for _, resource := range demo.Resources {
		if !slices.ContainsFunc(own.Resources, func(r admin.ResourceEntry) bool { return r.Identifier == resource.Identifier }) {
			resource.Scopes = unclaimed(resource.Scopes, own.Resources)
			joined.Resources = append(joined.Resources, resource)
		}
	}
	for _, client := range demo.Clients {
		if !slices.ContainsFunc(own.Clients, func(c admin.ClientEntry) bool { return c.ClientID == client.ClientID }) {
			joined.Clients = append(joined.Clients, client)
		}
	}
	for _, user := range demo.Users {
		same := func(u admin.UserEntry) bool {
			return u.Sub == user.Sub || gatehouse.LoginKey(u.Username) == gatehouse.LoginKey(user.Username) || gatehouse.LoginKey(u.Email) == gatehouse.LoginKey(user.Email)
		}
		if !slices.ContainsFunc(own.Users, same) {
			joined.Users = append(joined.Users, user)
		}
	}
	return joined
}
