package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/oauth"
)

const (
	// LoginLife is how long a person may take to sign in.
	LoginLife = 10 * time.Minute

	// verifierBytes give a code_verifier of 43 characters (RFC 7636 §4.1), and
	// more than 128 bits to state and nonce.
	verifierBytes = 32
)

// AuthorizationRequest is what a login asks for. The zero value asks for what the
// [Config] says.
type AuthorizationRequest struct {
	// RedirectURI, Scope and Resources replace those of the Config where they are set.
	RedirectURI string
	Scope       string
	Resources   []string
	// Prompt is login, consent, select_account or none (OpenID Connect Core §3.1.2.1).
	// A login is held against auth_time only where the issuer says it; set MaxAge, too,
	// where it must be proved that there was one: then auth_time has to be there.
	Prompt string
	// MaxAge, if set, is how long before the request the person may have signed in; it
	// is checked.
	MaxAge time.Duration
	// ACRValues are wished for, in the order of preference. With RequireACR, one of
	// them must be reached, and it is checked.
	ACRValues  []string
	RequireACR bool
	// LoginHint, UILocales, Display and IDTokenHint help the issuer's pages.
	LoginHint   string
	UILocales   string
	Display     string
	IDTokenHint Secret
	// Claims is the claims parameter (OpenID Connect Core §5.5) as JSON.
	Claims json.RawMessage
	// Extra are parameters beside the protocol's own, which it cannot replace.
	Extra url.Values
}

// Transaction is a login in progress: what the callback is held against. It is
// kept where only the browser that began the login leads to, and used once. Its
// JSON holds secrets; printed, it is its name.
type Transaction struct {
	Issuer      string        `json:"issuer"`
	State       string        `json:"state"`
	Nonce       string        `json:"nonce,omitempty"`
	Verifier    string        `json:"verifier"`
	RedirectURI string        `json:"redirect_uri"`
	Scope       oauth.Scope   `json:"scope,omitempty"`
	Resources   []string      `json:"resources,omitempty"`
	Began       time.Time     `json:"began"`
	MaxAge      time.Duration `json:"max_age,omitempty"`
	Anew        bool          `json:"anew,omitempty"` // a new sign-in was demanded
	ACR         []string      `json:"acr,omitempty"`  // of which one is demanded
	ReturnTo    string        `json:"return_to,omitempty"`
	// Subject is who was signed in when the login began, "" for nobody.
	Subject string `json:"subject,omitempty"`
}

func (t Transaction) String() string { return "client.Transaction" }

// Format keeps every verb of fmt from printing the secrets.
func (t Transaction) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, t.String()) }

// LogValue keeps the secrets out of structured logs.
func (t Transaction) LogValue() slog.Value { return slog.StringValue(t.String()) }

func randomText() string {
	var random [verifierBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// Begin makes the URL that the person's browser is sent to, and the transaction
// that [Client.Finish] needs when it comes back. [Client.LoginHandler] does both
// for web applications.
func (c *Client) Begin(ctx context.Context, asked AuthorizationRequest) (address string, transaction Transaction, err error) {
	const op = "login"
	k, err := c.known(ctx)
	if err != nil {
		return "", Transaction{}, err
	}
	if k.AuthorizationEndpoint == "" {
		return "", Transaction{}, &InvalidError{Op: op, Detail: "the issuer's metadata has no authorization_endpoint"}
	}
	transaction, err = c.transaction(asked)
	if err != nil {
		return "", Transaction{}, err
	}
	parameters, err := c.authorizationParameters(asked, transaction)
	if err != nil {
		return "", Transaction{}, err
	}
	if c.config.PushRequests || k.RequirePushedAuthorizationRequests { // RFC 9126 §5
		if parameters, err = c.push(ctx, parameters); err != nil {
			return "", Transaction{}, err
		}
	}
	endpoint, err := url.Parse(k.AuthorizationEndpoint)
	if err != nil {
		return "", Transaction{}, &InvalidError{Op: op, Detail: "the authorization_endpoint cannot be used"}
	}
	// RFC 6749 §3.1: a query of the endpoint's own is kept.
	endpoint.RawQuery = strings.TrimPrefix(endpoint.RawQuery+"&"+parameters.Encode(), "&")
	return endpoint.String(), transaction, nil
}

func (c *Client) transaction(asked AuthorizationRequest) (Transaction, error) {
	t := Transaction{
		Issuer: c.provider.issuer, State: randomText(), Verifier: randomText(),
		RedirectURI: asked.RedirectURI, Resources: asked.Resources, Scope: c.scope, Began: time.Now(),
		MaxAge: asked.MaxAge, Anew: slices.Contains(strings.Fields(asked.Prompt), "login"),
	}
	if t.RedirectURI == "" {
		t.RedirectURI = c.config.RedirectURI
	}
	if t.RedirectURI == "" {
		return Transaction{}, errors.New("client: login: RedirectURI is missing; set it to the registered address of the callback")
	}
	if t.Resources == nil {
		t.Resources = c.config.Resources
	}
	if asked.Scope != "" {
		scope, err := oauth.ParseScope(asked.Scope)
		if err != nil {
			return Transaction{}, errors.New("client: login: Scope is malformed")
		}
		t.Scope = scope
	}
	if t.Scope.Has("openid") {
		t.Nonce = randomText()
	}
	if asked.RequireACR {
		t.ACR = asked.ACRValues
	}
	return t, nil
}

func (c *Client) authorizationParameters(asked AuthorizationRequest, t Transaction) (url.Values, error) {
	parameters := url.Values{}
	for name, values := range asked.Extra {
		parameters[name] = slices.Clone(values)
	}
	for _, own := range []struct{ name, value string }{
		{"response_type", "code"},
		{"client_id", c.config.ClientID},
		{"redirect_uri", t.RedirectURI},
		{"scope", t.Scope.String()},
		{"state", t.State},
		{"nonce", t.Nonce},
		{"code_challenge", oauth.ChallengeS256(t.Verifier)}, // RFC 9700 §2.1.1
		{"code_challenge_method", oauth.ChallengeMethodS256},
		{"response_mode", c.config.ResponseMode},
		{"prompt", asked.Prompt},
		{"acr_values", strings.Join(asked.ACRValues, " ")},
		{"login_hint", asked.LoginHint},
		{"ui_locales", asked.UILocales},
		{"display", asked.Display},
		{"id_token_hint", asked.IDTokenHint.Reveal()},
		{"claims", string(asked.Claims)},
		{"request", ""}, {"request_uri", ""}, {"max_age", ""},
	} {
		if _, taken := parameters[own.name]; taken {
			return nil, fmt.Errorf("client: login: Extra has the parameter %s, which has a field of its own or is not offered", own.name)
		}
		if own.value != "" {
			parameters.Set(own.name, own.value)
		}
	}
	if asked.MaxAge > 0 {
		parameters.Set("max_age", strconv.FormatInt(int64(asked.MaxAge/time.Second), 10))
	}
	for _, resource := range slices.Concat(t.Resources, c.config.MoreResources) { // RFC 8707 §2.1
		if !slices.Contains(parameters["resource"], resource) {
			parameters.Add("resource", resource)
		}
	}
	return parameters, nil
}

// push sends the parameters by the back channel and returns those that stand for
// them (RFC 9126 §2).
func (c *Client) push(ctx context.Context, parameters url.Values) (url.Values, error) {
	const op = "pushed authorization request"
	got, err := c.post(ctx, op, pushEndpoint, parameters)
	if err != nil {
		return nil, err
	}
	var pushed struct {
		RequestURI string `json:"request_uri"`
	}
	if err := got.decode(&pushed); err != nil || pushed.RequestURI == "" || len(pushed.RequestURI) > oauth.MaxURILength {
		return nil, &InvalidError{Op: op, Detail: "the answer has no usable request_uri", Cause: err}
	}
	return url.Values{"client_id": {c.config.ClientID}, "request_uri": {pushed.RequestURI}}, nil // RFC 9126 §4
}
