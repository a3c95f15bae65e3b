package authserver

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/keyring"
	"gatehouse/oauth"
)

// documentAge is how long a metadata document is served before it is built
// again; documentCacheTime how long clients may keep it.
const (
	documentAge       = time.Second
	documentCacheTime = 5 * time.Minute
)

// documents are the metadata of each tenant, kept as bytes.
type documents struct {
	built sync.Map // gatehouse.TenantID → document
}

func (d *documents) last(tenant gatehouse.TenantID) (document, bool) {
	kept, found := d.built.Load(tenant)
	if !found {
		return document{}, false
	}
	return kept.(document), true
}

type document struct {
	*oauth.Document
	at time.Time
}

// serveMetadata answers both metadata documents with the same content
// (RFC 8414 §3, OpenID Connect Discovery §4). While the database is away it
// answers what it answered last.
func (s *Server) serveMetadata(w http.ResponseWriter, r *endpoint.Request) error {
	now := s.Store.Now()
	kept, found := s.documents.last(r.Tenant.ID)
	if found && now.Sub(kept.at) < documentAge {
		kept.Write(w)
		return nil
	}
	known, err := s.Store.Resources(r.Context(), r.Tenant.ID)
	if err != nil && found {
		kept.Write(w)
		return nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(s.metadata(r, known))
	if err != nil {
		return err
	}
	built := document{oauth.NewDocument(body, documentCacheTime), now}
	s.documents.built.Store(r.Tenant.ID, built)
	built.Write(w)
	return nil
}

// serveJWKS answers the key set (RFC 7517 §5). No key signs that was not in it
// for as long as it may be kept.
func (s *Server) serveJWKS(w http.ResponseWriter, r *endpoint.Request) error {
	s.Keys.JWKS(r.Tenant.ID).Write(w)
	return nil
}

func (s *Server) metadata(r *endpoint.Request, known []gatehouse.Resource) oauth.ServerMetadata {
	scopes := gatehouse.IdentityScopes
	for _, resource := range known {
		scopes = scopes.Union(resource.Scope())
	}
	var algorithms []string
	for _, algorithm := range keyring.Algorithms() {
		algorithms = append(algorithms, string(algorithm))
	}
	metadata := oauth.ServerMetadata{
		Issuer:                                     r.Tenant.Issuer,
		ScopesSupported:                            scopes,
		ResponseTypesSupported:                     []string{"code"},
		ResponseModesSupported:                     responseModes,
		GrantTypesSupported:                        grantTypeNames(),
		TokenEndpointAuthMethodsSupported:          append(authMethodNames(), gatehouse.AuthNone),
		RevocationEndpointAuthMethodsSupported:     append(authMethodNames(), gatehouse.AuthNone),
		IntrospectionEndpointAuthMethodsSupported:  authMethodNames(),
		CodeChallengeMethodsSupported:              []string{oauth.ChallengeMethodS256},
		SubjectTypesSupported:                      []string{gatehouse.SubjectPublic, gatehouse.SubjectPairwise},
		IDTokenSigningAlgValuesSupported:           algorithms,
		UserinfoSigningAlgValuesSupported:          algorithms,
		ClaimTypesSupported:                        []string{"normal"},
		ClaimsSupported:                            claimsSupported(r.Tenant.Settings),
		PromptValuesSupported:                      promptValues,
		DisplayValuesSupported:                     displayValues,
		ACRValuesSupported:                         gatehouse.AuthenticationContexts(),
		ClaimsParameterSupported:                   true,
		UILocalesSupported:                         s.Pages.Languages(),
		AuthorizationResponseIssParameterSupported: true, // RFC 9207 §3
		BackchannelLogoutSupported:                 true,
		BackchannelLogoutSessionSupported:          true,
	}
	for _, row := range s.Rows() {
		publish(&metadata, row, r.Tenant.Issuer)
	}
	return metadata
}

// publish writes a row's URL into the member that the row names.
func publish(metadata *oauth.ServerMetadata, row endpoint.Row, issuer string) {
	members := map[string]*string{
		"authorization_endpoint": &metadata.AuthorizationEndpoint,
		"token_endpoint":         &metadata.TokenEndpoint,
		"userinfo_endpoint":      &metadata.UserinfoEndpoint,
		"jwks_uri":               &metadata.JWKSURI,
		"revocation_endpoint":    &metadata.RevocationEndpoint,
		"introspection_endpoint": &metadata.IntrospectionEndpoint,
		"end_session_endpoint":   &metadata.EndSessionEndpoint,

		"revocation_feed_endpoint": &metadata.RevocationFeedEndpoint,
	}
	if member, found := members[row.Metadata]; found {
		*member = issuer + row.Path
	}
}
