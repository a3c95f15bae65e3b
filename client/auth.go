package client

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"gatehouse/jose"
)

// Methods of client authentication, by their names in RFC 7591 §2 and RFC 8705 §2.
const (
	AuthNone       = "none"
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthTLS        = "tls_client_auth"
	AuthSelfSigned = "self_signed_tls_client_auth"
)

// assertionLife is how long a client assertion is good for: it is made for one
// request.
const assertionLife = time.Minute

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2

// checkAuth says what is missing for the method.
func (c *Config) checkAuth() error {
	secret, key := !c.ClientSecret.IsZero(), c.PrivateKey != nil
	switch c.AuthMethod {
	case "":
		if secret && key {
			return errors.New("both ClientSecret and PrivateKey are set; say by AuthMethod which one is used")
		}
	case AuthNone, AuthTLS, AuthSelfSigned:
	case AuthBasic, AuthPost:
		if !secret {
			return fmt.Errorf("AuthMethod %s needs ClientSecret", c.AuthMethod)
		}
	case AuthPrivateKey:
		if !key {
			return fmt.Errorf("AuthMethod %s needs PrivateKey", c.AuthMethod)
		}
	default:
		return fmt.Errorf("AuthMethod %q is none of %s, %s, %s, %s, %s, %s", c.AuthMethod, AuthNone, AuthBasic, AuthPost, AuthPrivateKey, AuthTLS, AuthSelfSigned)
	}
	return nil
}

// authMethod is the configured method, or the one that the credentials and the
// metadata suggest.
func (c *Config) authMethod(metadata Metadata) string {
	supported := metadata.TokenEndpointAuthMethodsSupported
	switch {
	case c.AuthMethod != "":
		return c.AuthMethod
	case c.PrivateKey != nil:
		return AuthPrivateKey
	case c.ClientSecret.IsZero():
		return AuthNone
	case slices.Contains(supported, AuthPost) && !slices.Contains(supported, AuthBasic):
		return AuthPost
	}
	return AuthBasic // RFC 8414 §2: the default where nothing is said
}

func (c *Config) byCertificate() bool {
	return c.AuthMethod == AuthTLS || c.AuthMethod == AuthSelfSigned
}

// authenticate adds what proves that it is us to a request, by exactly one method
// (RFC 6749 §2.3).
func (c *Client) authenticate(form url.Values, header http.Header, metadata Metadata) error {
	switch c.config.authMethod(metadata) {
	case AuthBasic:
		// RFC 6749 §2.3.1: both are form-encoded first.
		credentials := http.Request{Header: header}
		credentials.SetBasicAuth(url.QueryEscape(c.config.ClientID), url.QueryEscape(c.config.ClientSecret.Reveal()))
	case AuthPost:
		form.Set("client_id", c.config.ClientID)
		form.Set("client_secret", c.config.ClientSecret.Reveal())
	case AuthPrivateKey:
		assertion, err := c.assertion(time.Now())
		if err != nil {
			return err
		}
		form.Set("client_id", c.config.ClientID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default:
		form.Set("client_id", c.config.ClientID)
	}
	return nil
}

// assertion makes the token of RFC 7523 §3 for one request.
func (c *Client) assertion(now time.Time) (string, error) {
	audience := c.config.AssertionAudience
	if audience == "" {
		// The issuer, and it alone: with an endpoint for an audience, a hostile
		// issuer that names somebody else's endpoint gets an assertion for it.
		audience = c.provider.issuer
	}
	claims, err := json.Marshal(struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		IssuedAt int64  `json:"iat"`
		Expiry   int64  `json:"exp"`
	}{c.config.ClientID, c.config.ClientID, audience, rand.Text(), now.Unix(), now.Add(assertionLife).Unix()})
	if err != nil {
		return "", fmt.Errorf("client: encoding a client assertion: %w", err)
	}
	signed, err := c.config.PrivateKey.Sign(jose.TypeJWT, claims)
	if err != nil {
		return "", fmt.Errorf("client: signing a client assertion: %w", err)
	}
	return signed, nil
}
