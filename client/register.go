package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"gatehouse/jose"
)

// Registration is the metadata of a client (RFC 7591 §2, OpenID Connect Dynamic
// Client Registration §2) in the members that are used most; Extra holds others.
type Registration struct {
	RedirectURIs                      []string     `json:"redirect_uris,omitempty"`
	ClientName                        string       `json:"client_name,omitempty"`
	ClientURI                         string       `json:"client_uri,omitempty"`
	LogoURI                           string       `json:"logo_uri,omitempty"`
	Contacts                          []string     `json:"contacts,omitempty"`
	PolicyURI                         string       `json:"policy_uri,omitempty"`
	TosURI                            string       `json:"tos_uri,omitempty"`
	GrantTypes                        []string     `json:"grant_types,omitempty"`
	ResponseTypes                     []string     `json:"response_types,omitempty"`
	Scope                             string       `json:"scope,omitempty"`
	TokenEndpointAuthMethod           string       `json:"token_endpoint_auth_method,omitempty"`
	JWKSURI                           string       `json:"jwks_uri,omitempty"`
	JWKS                              *jose.KeySet `json:"jwks,omitempty"`
	SoftwareID                        string       `json:"software_id,omitempty"`
	SoftwareVersion                   string       `json:"software_version,omitempty"`
	ApplicationType                   string       `json:"application_type,omitempty"` // web or native
	IDTokenSignedResponseAlg          string       `json:"id_token_signed_response_alg,omitempty"`
	PostLogoutRedirectURIs            []string     `json:"post_logout_redirect_uris,omitempty"`
	BackchannelLogoutURI              string       `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired  bool         `json:"backchannel_logout_session_required,omitempty"`
	InitiateLoginURI                  string       `json:"initiate_login_uri,omitempty"`
	RequirePushedAuthorizationRequest bool         `json:"require_pushed_authorization_requests,omitempty"`

	// Extra are further members.
	Extra map[string]any `json:"-"`
}

// MarshalJSON puts Extra beside the members, which it cannot replace.
func (r Registration) MarshalJSON() ([]byte, error) {
	type members Registration
	plain, err := json.Marshal(members(r))
	if err != nil || len(r.Extra) == 0 {
		return plain, err
	}
	all := map[string]any{}
	for name, value := range r.Extra {
		all[name] = value
	}
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

// RegisterConfig says how registration is done.
type RegisterConfig struct {
	// InitialAccessToken is what the issuer wants from those who register (RFC 7591
	// §3), if anything.
	InitialAccessToken Secret
	// HTTPClient, Timeout and InsecureAllowHTTP are those of [Config].
	HTTPClient        *http.Client
	Timeout           time.Duration
	InsecureAllowHTTP bool
}

// Registered is a client that registered itself (RFC 7591 §3.2.1). It prints
// without its secrets.
type Registered struct {
	ClientID     string
	ClientSecret Secret
	// SecretExpiry is when the secret ends; zero for never.
	SecretExpiry time.Time
	// RegistrationClientURI and RegistrationAccessToken are for reading, changing and
	// deleting the registration (RFC 7592); absent where the issuer does not offer it.
	RegistrationClientURI   string
	RegistrationAccessToken Secret
	// Registration is what the issuer registered, which may differ from what was asked.
	Registration Registration

	wire   *wire
	issuer string
}

const registrationOp = "registration"

// Register registers a client at the issuer's registration_endpoint.
func Register(ctx context.Context, issuer string, wanted Registration, config RegisterConfig) (*Registered, error) {
	if err := checkIssuer(issuer, config.InsecureAllowHTTP); err != nil {
		return nil, errors.New("client: registration: " + err.Error())
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	w := &wire{http: newHTTPClient(config.HTTPClient, config.Timeout), insecure: config.InsecureAllowHTTP}
	metadata, err := w.fetchMetadata(ctx, issuer, true)
	if err != nil {
		return nil, err
	}
	if metadata.RegistrationEndpoint == "" {
		return nil, &InvalidError{Op: registrationOp, Detail: "the issuer's metadata has no registration_endpoint"}
	}
	r := &Registered{wire: w, issuer: issuer}
	return r, r.ask(ctx, http.MethodPost, metadata.RegistrationEndpoint, config.InitialAccessToken, wanted)
}

// Config is the beginning of a [Config] for the client that was registered.
func (r *Registered) Config() Config {
	config := Config{ClientID: r.ClientID, ClientSecret: r.ClientSecret, AuthMethod: r.Registration.TokenEndpointAuthMethod, Scope: r.Registration.Scope}
	if len(r.Registration.RedirectURIs) > 0 {
		config.RedirectURI = r.Registration.RedirectURIs[0]
	}
	return config
}

// Read reads the registration as it is now (RFC 7592 §2.1). The issuer may give new
// secrets with it.
func (r *Registered) Read(ctx context.Context) error {
	if err := r.manageable(); err != nil {
		return err
	}
	return r.ask(ctx, http.MethodGet, r.RegistrationClientURI, r.RegistrationAccessToken, nil)
}

// Update replaces the registration by what is wanted (RFC 7592 §2.2).
func (r *Registered) Update(ctx context.Context, wanted Registration) error {
	if err := r.manageable(); err != nil {
		return err
	}
	extra := map[string]any{"client_id": r.ClientID}
	if !r.ClientSecret.IsZero() {
		extra["client_secret"] = r.ClientSecret.Reveal()
	}
	for name, value := range wanted.Extra {
		if _, own := extra[name]; !own {
			extra[name] = value
		}
	}
	wanted.Extra = extra
	return r.ask(ctx, http.MethodPut, r.RegistrationClientURI, r.RegistrationAccessToken, wanted)
}

// Delete ends the registration (RFC 7592 §2.3).
func (r *Registered) Delete(ctx context.Context) error {
	if err := r.manageable(); err != nil {
		return err
	}
	_, err := r.send(ctx, http.MethodDelete, r.RegistrationClientURI, r.RegistrationAccessToken, nil)
	return err
}

func (r *Registered) manageable() error {
	if r.RegistrationClientURI == "" || r.RegistrationAccessToken.IsZero() {
		return errors.New("client: registration: the issuer does not let clients manage their registration")
	}
	return nil
}

func (r *Registered) send(ctx context.Context, method, address string, token Secret, body any) (answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, errors.New("client: registration: it cannot be written as JSON")
		}
	}
	request, err := newRequest(ctx, registrationOp, method, address, text)
	if err != nil {
		return answer{}, err
	}
	if text != nil {
		request.Header.Set("Content-Type", jsonType)
	}
	if !token.IsZero() {
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	got, err := r.wire.do(registrationOp, request)
	if err != nil {
		return answer{}, err
	}
	return got, got.failure(registrationOp, token.Reveal(), r.ClientSecret.Reveal())
}

// ask sends a registration and takes what the issuer registered.
func (r *Registered) ask(ctx context.Context, method, address string, token Secret, body any) error {
	got, err := r.send(ctx, method, address, token, body)
	if err != nil {
		return err
	}
	var said struct {
		ClientID                string  `json:"client_id"`
		ClientSecret            string  `json:"client_secret"`
		SecretExpiresAt         float64 `json:"client_secret_expires_at"`
		RegistrationClientURI   string  `json:"registration_client_uri"`
		RegistrationAccessToken string  `json:"registration_access_token"`
	}
	var registered struct {
		Registration
		JWKS json.RawMessage `json:"jwks"` // it is ours, and need not be read again
	}
	if got.decode(&said) != nil || json.Unmarshal(bytes.TrimSpace(got.body), &registered) != nil || said.ClientID == "" {
		return &InvalidError{Op: registrationOp, Detail: "the answer has no client_id, or cannot be read"}
	}
	if r.ClientID != "" && said.ClientID != r.ClientID {
		return &InvalidError{Op: registrationOp, Detail: "the answer is about another client"}
	}
	if said.RegistrationClientURI != "" {
		if err := checkEndpoint(said.RegistrationClientURI, r.issuer, r.wire.insecure); err != nil {
			return &InvalidError{Op: registrationOp, Detail: "registration_client_uri cannot be used", Cause: err}
		}
		r.RegistrationClientURI = said.RegistrationClientURI
	}
	if said.RegistrationAccessToken != "" { // RFC 7592 §3: a new one replaces the old
		r.RegistrationAccessToken = NewSecret(said.RegistrationAccessToken)
	}
	if said.ClientSecret != "" {
		r.ClientSecret, r.SecretExpiry = NewSecret(said.ClientSecret), numericDate(said.SecretExpiresAt)
	}
	r.ClientID, r.Registration = said.ClientID, registered.Registration
	return nil
}
