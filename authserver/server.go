package authserver

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/interaction"
	"gatehouse/internal/keyring"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// Pages are the pages that the protocol's endpoints show to people.
type Pages interface {
	Error(w http.ResponseWriter, r *endpoint.Request, e *oauth.Error)
	// FormPost answers with a form that posts the parameters to the client's
	// redirect URI (OAuth 2.0 Form Post Response Mode §2).
	FormPost(w http.ResponseWriter, r *endpoint.Request, client gatehouse.Client, redirectURI string, params []oauth.Param)
	// LogoutConfirm asks whether to sign out; username may be "".
	LogoutConfirm(w http.ResponseWriter, r *endpoint.Request, username string)
	LoggedOut(w http.ResponseWriter, r *endpoint.Request)
	// Finished tells that this authorization has been answered before.
	Finished(w http.ResponseWriter, r *endpoint.Request)
	// Languages are the BCP 47 tags of the languages of the pages.
	Languages() []string
}

// store is all that the endpoints ask of storage. Each part is declared above
// the functions that use it.
type store interface {
	clientStore
	resourceStore
	authorizeStore
	codeStore
	tenantStore
	handleStore
	refreshStore
	userStore
	endingStore
	revocationStore
	feedStore
	logoutStore
	exchangeStore
	logoutQueue
	Now() time.Time
}

type clientStore interface {
	Client(ctx context.Context, tenant gatehouse.TenantID, id string) (gatehouse.Client, bool, error)
}

// issuerHosts knows where the pages of issuers are.
type issuerHosts interface {
	// OnIssuerHost says whether a URI points at the host of an issuer, the
	// tenant's own or another's.
	OnIssuerHost(ctx context.Context, uri string) (bool, error)
}

type userStore interface {
	User(ctx context.Context, tenant gatehouse.TenantID, subject string) (gatehouse.User, bool, error)
}

// Config is what a Server stands on.
type Config struct {
	Store store
	Keys  *keyring.Keyring
	Box   *interaction.Box
	Pages Pages
	// Hosts are those of all issuers of the server.
	Hosts issuerHosts
	// Hasher verifies client secrets that were registered too short to be
	// kept as SHA-256. Its slots are not those of the login form.
	Hasher *secret.Hasher
	// Leases have servers keep rate limits together; nil has this one keep them
	// for itself.
	Leases *endpoint.Leases
	Log    *slog.Logger
}

// Server serves the endpoints. It is safe for concurrent use.
type Server struct {
	Config
	limits    limits
	feeds     *feeds
	shortened shortSecrets
	documents documents
}

// New makes a Server.
func New(config Config) *Server {
	return &Server{Config: config, limits: newLimits(config.Store.Now, config.Leases), feeds: newFeeds()}
}

// Rows returns the endpoint table. Discovery is derived from it.
func (s *Server) Rows() []endpoint.Row {
	get, post := []string{http.MethodGet}, []string{http.MethodPost}
	both := []string{http.MethodGet, http.MethodPost}
	page := s.Pages.Error
	return []endpoint.Row{
		{Name: "oauth-metadata", Path: "/.well-known/oauth-authorization-server", Methods: get, Caller: endpoint.Anyone, CORS: endpoint.AnyOrigin, Outage: true, Serve: s.serveMetadata, Errors: endpoint.JSONErrors},
		{Name: "openid-configuration", Path: "/.well-known/openid-configuration", Methods: get, Caller: endpoint.Anyone, CORS: endpoint.AnyOrigin, Outage: true, Serve: s.serveMetadata, Errors: endpoint.JSONErrors},
		{Name: "jwks", Path: "/jwks", Methods: get, Caller: endpoint.Anyone, CORS: endpoint.AnyOrigin, Metadata: "jwks_uri", Outage: true, Serve: s.serveJWKS, Errors: endpoint.JSONErrors},
		{Name: "authorization", Path: "/authorize", Methods: both, Caller: endpoint.Browser, Metadata: "authorization_endpoint", Serve: s.serveAuthorize, Errors: page},
		{Name: "token", Path: "/token", Methods: post, Caller: endpoint.ClientCredentials, CORS: endpoint.KnownOrigin, Metadata: "token_endpoint", Serve: s.serveToken, Errors: endpoint.JSONErrors},
		{Name: "userinfo", Path: "/userinfo", Methods: both, Caller: endpoint.BearerToken, CORS: endpoint.KnownOrigin, Metadata: "userinfo_endpoint", Serve: s.serveUserinfo, Errors: bearerErrors},
		{Name: "introspection", Path: "/introspect", Methods: post, Caller: endpoint.ClientCredentials, Metadata: "introspection_endpoint", Serve: s.serveIntrospect, Errors: endpoint.JSONErrors},
		{Name: "revocation", Path: "/revoke", Methods: post, Caller: endpoint.ClientCredentials, CORS: endpoint.KnownOrigin, Metadata: "revocation_endpoint", Serve: s.serveRevoke, Errors: endpoint.JSONErrors},
		{Name: FeedEndpoint, Path: "/revocations", Methods: post, Caller: endpoint.ClientCredentials, Metadata: "revocation_feed_endpoint", Serve: s.serveFeed, Errors: endpoint.JSONErrors},
		{Name: "end-session", Path: "/logout", Methods: both, Caller: endpoint.Browser, Metadata: "end_session_endpoint", Serve: s.serveLogout, Errors: page},
	}
}

// call is one request of an authenticated client.
type call struct {
	*endpoint.Request
	Client gatehouse.Client
	Form   oauth.Form
}

func (c *call) tenant() gatehouse.TenantID { return c.Tenant.ID }
