package authserver

import (
	"context"
	"slices"

	"gatehouse"
	"gatehouse/oauth"
)

type resourceStore interface {
	Resources(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.Resource, error)
}

// audiences are the resources of a tenant, with what a client may ask of
// them.
type audiences struct {
	tenant gatehouse.Tenant
	client gatehouse.Client
	known  []gatehouse.Resource
}

func (s *Server) audiences(ctx context.Context, tenant gatehouse.Tenant, client gatehouse.Client) (audiences, error) {
	known, err := s.Store.Resources(ctx, tenant.ID)
	return audiences{tenant, client, known}, err
}

// resource returns the resource of that identifier. The issuer itself stands
// for tokens that are only for us.
func (a audiences) resource(identifier string) (gatehouse.Resource, bool) {
	for _, resource := range a.known {
		if resource.Identified(identifier) {
			return resource, true
		}
	}
	issuer := gatehouse.Resource{Identifier: a.tenant.Issuer}
	return issuer, issuer.Identified(identifier)
}

// understood drops the scope values that nobody in this tenant defined
// (OpenID Connect Core §3.1.2.1: "scope values used that are not understood
// by an implementation SHOULD be ignored").
func (a audiences) understood(scope oauth.Scope) oauth.Scope {
	return scope.Keep(func(token string) bool {
		return gatehouse.IdentityScopes.Has(token) || slices.ContainsFunc(a.known, func(r gatehouse.Resource) bool { return r.Admits(token) })
	})
}

// requested returns the identifiers of the resources that a request names
// (RFC 8707 §2).
func (a audiences) requested(resources []string) ([]string, error) {
	var named []string
	for _, text := range resources {
		resource, found := a.resource(text)
		if !found {
			return nil, oauth.Refuse("resource-unknown", oauth.InvalidTarget, "A resource parameter names no resource of this server.") // RFC 8707 §2
		}
		if !slices.Contains(named, resource.Identifier) {
			named = append(named, resource.Identifier)
		}
	}
	return named, nil
}

// implied returns the resources that a request without a resource parameter
// is for: those of its scopes, the client's default first; without resource
// scopes the client's default, the tenant's, or the issuer itself.
func (a audiences) implied(scope oauth.Scope) []string {
	var owners []string
	preferred := a.preferred()
	for _, token := range scope.Without(gatehouse.IdentityScopes) {
		if owner, found := a.owner(token, preferred); found && !slices.Contains(owners, owner) {
			owners = append(owners, owner)
		}
	}
	if len(owners) == 0 {
		return []string{preferred}
	}
	if i := slices.Index(owners, preferred); i > 0 {
		owners[0], owners[i] = owners[i], owners[0]
	}
	return owners
}

func (a audiences) preferred() string {
	for _, identifier := range []string{a.client.DefaultResource, a.tenant.Settings.DefaultResource} {
		if resource, found := a.resource(identifier); found && identifier != "" {
			return resource.Identifier
		}
	}
	return a.tenant.Issuer
}

func (a audiences) owner(token, preferred string) (string, bool) {
	found := ""
	for _, resource := range a.known {
		if resource.Admits(token) && (found == "" || resource.Identifier == preferred) {
			found = resource.Identifier
		}
	}
	return found, found != ""
}

// within returns the part of a scope that means something at the resources:
// the scopes of OpenID Connect and the resources' own.
func (a audiences) within(scope oauth.Scope, resources []string) oauth.Scope {
	return scope.Keep(func(token string) bool {
		return gatehouse.IdentityScopes.Has(token) || slices.ContainsFunc(resources, func(identifier string) bool {
			resource, _ := a.resource(identifier)
			return resource.Admits(token)
		})
	})
}

// one chooses the audience of an access token among those that a grant
// allows: one resource per token.
func (a audiences) one(allowed, requested []string) (gatehouse.Resource, error) {
	named, err := a.requested(requested)
	if err != nil {
		return gatehouse.Resource{}, err
	}
	switch {
	case len(named) > 1:
		return gatehouse.Resource{}, oauth.Refuse("resource-several", oauth.InvalidTarget, "An access token is for one resource. Ask for one token per resource.")
	case len(named) == 1 && !slices.Contains(allowed, named[0]):
		return gatehouse.Resource{}, oauth.Refuse("resource-not-granted", oauth.InvalidTarget, "The resource was not part of what was granted.") // RFC 8707 §2.2
	case len(named) == 0:
		named = allowed
	}
	resource, found := a.resource(named[0])
	if !found {
		return gatehouse.Resource{}, oauth.Refuse("resource-unknown", oauth.InvalidTarget, "The resource that was granted no longer exists.")
	}
	return resource, nil
}
