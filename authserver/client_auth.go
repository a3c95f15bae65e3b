package authserver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// credentials are what a request presents for its client.
type credentials struct {
	method   string
	clientID string
	secret   string
}

// authMethods is the table of client authentication methods (RFC 6749 §2.3,
// RFC 7591 §2). find returns the credentials of its method, and whether the
// request uses it at all.
var authMethods = []struct {
	name string
	find func(*endpoint.Request, oauth.Form) (credentials, bool, error)
}{
	{gatehouse.AuthClientSecretBasic, basicCredentials},
	{gatehouse.AuthClientSecretPost, postCredentials},
}

// authMethodNames are the methods of the table, for the metadata.
func authMethodNames() []string {
	var names []string
	for _, method := range authMethods {
		names = append(names, method.name)
	}
	return names
}

func basicCredentials(r *endpoint.Request, _ oauth.Form) (credentials, bool, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return credentials{}, false, nil
	}
	scheme, encoded, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Basic") {
		return credentials{}, true, oauth.Refuse("client-authorization-header", oauth.InvalidClient, "The Authorization header must be sent once and carry Basic credentials.")
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return credentials{}, true, malformedBasic()
	}
	rawID, rawSecret, found := strings.Cut(string(decoded), ":")
	// RFC 6749 §2.3.1: both are form-encoded inside the Basic credentials.
	id, idErr := url.QueryUnescape(rawID)
	clientSecret, secretErr := url.QueryUnescape(rawSecret)
	if !found || idErr != nil || secretErr != nil {
		return credentials{}, true, malformedBasic()
	}
	return credentials{gatehouse.AuthClientSecretBasic, id, clientSecret}, true, nil
}

func malformedBasic() error {
	return oauth.Refuse("client-basic-malformed", oauth.InvalidClient, "The Basic credentials are not base64 of the form-encoded client id, a colon and the form-encoded secret.")
}

func postCredentials(_ *endpoint.Request, form oauth.Form) (credentials, bool, error) {
	return credentials{gatehouse.AuthClientSecretPost, form.Get("client_id"), form.Get("client_secret")}, form.Has("client_secret"), nil
}

// presented returns the one set of credentials of a request; a request
// without any identifies a public client by client_id.
func presented(r *endpoint.Request, form oauth.Form) (credentials, error) {
	shown := credentials{method: gatehouse.AuthNone, clientID: form.Get("client_id")}
	used := 0
	for _, method := range authMethods {
		found, uses, err := method.find(r, form)
		if err != nil {
			return credentials{}, err
		}
		if uses {
			shown = found
			used++
		}
	}
	switch {
	case used > 1: // RFC 6749 §2.3: "MUST NOT use more than one authentication method in each request"
		return credentials{}, oauth.Refuse("client-several-methods", oauth.InvalidRequest, "The request authenticates the client in more than one way. Use one.")
	case form.Sent("client_assertion") || form.Sent("client_assertion_type"):
		return credentials{}, oauth.Refuse("client-assertion-unsupported", oauth.InvalidClient, "Client assertions are not supported. Authenticate by client_secret_basic or client_secret_post.")
	case form.Has("client_id") && form.Get("client_id") != shown.clientID:
		return credentials{}, oauth.Refuse("client-id-contradiction", oauth.InvalidClient, "The client_id parameter names another client than the Authorization header.")
	case shown.clientID == "":
		return credentials{}, oauth.Refuse("client-missing", oauth.InvalidClient, "The request does not say which client it comes from. Authenticate, or send client_id if the client is public.")
	}
	return shown, nil
}

// authenticate finds out which client sends the form, by the method that the
// client registered and no other. An unknown client, a disabled one, a wrong
// method and a wrong secret are refused alike.
func (s *Server) authenticate(r *endpoint.Request, form oauth.Form) (*call, error) {
	shown, err := presented(r, form)
	if err != nil {
		return nil, err
	}
	r.Note("client_id", shown.clientID)
	client, found, err := s.Store.Client(r.Context(), r.Tenant.ID, shown.clientID)
	if err != nil {
		return nil, err
	}
	short := slices.ContainsFunc(client.Secrets, isShort)
	if short {
		if err := s.mayTryShortSecret(r, client.ID); err != nil {
			return nil, err
		}
	}
	// The secret is compared in any case, so that time tells nothing.
	right, err := s.rightSecret(r.Context(), client, shown.secret)
	if err != nil {
		return nil, err
	}
	if shown.method == gatehouse.AuthNone {
		right = true
	}
	if !found || client.Disabled() || client.TokenEndpointAuthMethod != shown.method || !right {
		if short {
			s.shortSecretFailed(r, client.ID)
		}
		if err := s.loginFailed(r); err != nil {
			return nil, err
		}
		return nil, oauth.Refuse("client-authentication-failed", oauth.InvalidClient, "The client is unknown, or did not authenticate by its registered method with its current secret.")
	}
	r.ClientID = client.ID
	return &call{Request: r, Client: client, Form: form}, nil
}

func isShort(kept gatehouse.ClientSecret) bool { return kept.Kind == gatehouse.SecretArgon2id }

// noSecret stands for the secret of a client that has none.
var noSecret = gatehouse.ClientSecret{Kind: gatehouse.SecretSHA256, Hash: make([]byte, sha256.Size)}

// rightSecret compares the text with every secret of the client that is still
// valid; more than one is while a rotation's overlap lasts.
func (s *Server) rightSecret(ctx context.Context, client gatehouse.Client, text string) (bool, error) {
	now := s.Store.Now()
	digest := secret.Hash(text)
	right := false
	secrets := client.Secrets
	if len(secrets) == 0 {
		secrets = []gatehouse.ClientSecret{noSecret}
	}
	for _, kept := range secrets {
		if !kept.ExpiresAt.IsZero() && !now.Before(kept.ExpiresAt) {
			continue
		}
		if kept.Kind == gatehouse.SecretSHA256 {
			if secret.Equal(kept.Hash, digest) {
				right = true
			}
			continue
		}
		same, err := s.shortened.verify(ctx, s.Hasher, kept, text, digest)
		if err != nil {
			return false, err
		}
		right = right || same
	}
	return right, nil
}

// maxShortSecrets bounds the cache of successes of short secrets.
const maxShortSecrets = 1024

// shortSecrets remembers which short secrets were right, so that argon2id is
// paid once per secret and not once per request.
type shortSecrets struct {
	mu    sync.Mutex
	right map[string][]byte // PHC string → SHA-256 of the secret
}

func (c *shortSecrets) verify(ctx context.Context, hasher *secret.Hasher, kept gatehouse.ClientSecret, text string, digest []byte) (bool, error) {
	phc := string(kept.Hash)
	c.mu.Lock()
	known := c.right[phc]
	c.mu.Unlock()
	if known != nil && subtle.ConstantTimeCompare(known, digest) == 1 {
		return true, nil
	}
	right, _, err := hasher.Verify(ctx, phc, text)
	if err != nil {
		return false, oauth.Refuse("client-secret-busy", oauth.TemporarilyUnavailable, "The server is busy checking client secrets. Try again shortly.").After(time.Second).Because(err)
	}
	if right {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.right == nil || len(c.right) >= maxShortSecrets {
			c.right = map[string][]byte{}
		}
		c.right[phc] = digest
	}
	return right, nil
}
