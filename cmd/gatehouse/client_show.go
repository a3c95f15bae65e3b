package main

import (
	"context"
	"strings"
	"time"

	"gatehouse"
)

// clientDocument is a client as --json prints it.
type clientDocument struct {
	ClientID string `json:"client_id"`
	// ClientSecret is there only right after it was made.
	ClientSecret string `json:"client_secret,omitempty"`
	gatehouse.ClientMetadata
	Disabled  bool             `json:"disabled"`
	Secrets   []secretDocument `json:"secrets,omitempty"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at"`
}

type secretDocument struct {
	ID        string               `json:"id"`
	Kind      gatehouse.SecretKind `json:"kind"`
	CreatedAt time.Time            `json:"created_at"`
	ExpiresAt time.Time            `json:"expires_at,omitzero"`
}

func describeClient(client gatehouse.Client) clientDocument {
	document := clientDocument{
		ClientID: client.ID, ClientMetadata: client.ClientMetadata, Disabled: client.Disabled(),
		CreatedAt: client.CreatedAt, UpdatedAt: client.UpdatedAt,
	}
	for _, s := range client.Secrets {
		document.Secrets = append(document.Secrets, secretDocument{s.ID, s.Kind, s.CreatedAt, s.ExpiresAt})
	}
	return document
}

// clients is the collection of the registered applications.
func clients() collection[gatehouse.Client] {
	return collection[gatehouse.Client]{
		noun: "client", argument: "ID",
		find: func(ctx context.Context, db database, id string) (gatehouse.Client, bool, error) {
			return db.Client(ctx, db.tenant, id)
		},
		page: func(ctx context.Context, db database, after string) ([]gatehouse.Client, error) {
			return db.Clients(ctx, db.tenant, after, listPage)
		},
		key:      func(client gatehouse.Client) string { return client.ID },
		id:       func(client gatehouse.Client) string { return client.ID },
		name:     gatehouse.Client.DisplayName,
		document: func(client gatehouse.Client) any { return describeClient(client) },
		heading:  []string{"CLIENT ID", "STATE", "METHOD", "GRANT TYPES", "NAME"},
		row: func(client gatehouse.Client) []string {
			return []string{client.ID, stateOf(client.DisabledAt), client.TokenEndpointAuthMethod, strings.Join(client.GrantTypes, ","), client.ClientName}
		},
		facts:      clientFacts,
		disabledAt: func(client gatehouse.Client) time.Time { return client.DisabledAt },
		changed:    gatehouse.EventClientChanged,
		about:      func(client gatehouse.Client, event *gatehouse.Event) { event.ClientID = client.ID },
		disable: func(ctx context.Context, db database, client gatehouse.Client, disabled bool, event gatehouse.Event) (bool, error) {
			return db.DisableClient(ctx, db.tenant, client.ID, disabled, event)
		},
		remove: func(ctx context.Context, db database, client gatehouse.Client, event gatehouse.Event) (bool, error) {
			return db.DeleteClient(ctx, db.tenant, client.ID, event)
		},
	}
}

// exchangeFacts tells a policy of token exchange in one line.
func exchangeFacts(policy *gatehouse.TokenExchange) string {
	if policy == nil {
		return ""
	}
	text := "to " + strings.Join(policy.Audiences, " ")
	if len(policy.Accepts) > 0 {
		text = "from " + strings.Join(policy.Accepts, " ") + " " + text
	}
	if policy.IDTokens {
		text += ", id_tokens"
	}
	if policy.Impersonation {
		text += ", impersonation"
	}
	return text
}

func clientFacts(client gatehouse.Client) [][2]string {
	list := func(values []string) string { return strings.Join(values, " ") }
	switched := func(on bool) string {
		if on {
			return "true"
		}
		return ""
	}
	pairs := [][2]string{
		{"client_id", client.ID}, {"state", stateOf(client.DisabledAt)}, {"client_name", client.ClientName},
		{"profile", string(client.Profile)}, {"token_endpoint_auth_method", client.TokenEndpointAuthMethod},
		{"grant_types", list(client.GrantTypes)}, {"response_types", list(client.ResponseTypes)}, {"redirect_uris", list(client.RedirectURIs)},
		{"post_logout_redirect_uris", list(client.PostLogoutRedirectURIs)}, {"scope", client.Scope},
		{"default_resource", client.DefaultResource}, {"introspects", list(client.Introspects)},
		{"backchannel_logout_uri", client.BackchannelLogoutURI},
		{"token_exchange", exchangeFacts(client.TokenExchange)}, {"may_act", client.MayAct},
		{"revocation_feed", switched(client.RevocationFeed)},
		{"application_type", client.ApplicationType}, {"id_token_signed_response_alg", client.IDTokenSignedResponseAlg},
		{"client_uri", client.ClientURI}, {"logo_uri", client.LogoURI}, {"policy_uri", client.PolicyURI}, {"tos_uri", client.TosURI},
		{"contacts", list(client.Contacts)}, {"form_action_origins", list(client.FormActionOrigins)}, {"jwks", string(client.JWKS)},
		{"skip_consent", switched(client.SkipConsent)}, {"require_auth_time", switched(client.RequireAuthTime)},
		{"insecure_short_secret", switched(client.InsecureShortSecret)},
	}
	for _, s := range client.Secrets {
		text := s.ID + ", made " + moment(s.CreatedAt)
		if !s.ExpiresAt.IsZero() {
			text += ", valid until " + moment(s.ExpiresAt)
		}
		pairs = append(pairs, [2]string{"secret", text})
	}
	return append(pairs, [2]string{"created", moment(client.CreatedAt)}, [2]string{"updated", moment(client.UpdatedAt)})
}
