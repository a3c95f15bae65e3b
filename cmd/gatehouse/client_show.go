package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/internal/store"
)

// listPage is how many rows are read at once.
const listPage = 500

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

// knownClient reads a client, or fails with the identifier that was meant.
func knownClient(ctx context.Context, db *store.Store, id string) (gatehouse.Client, error) {
	client, found, err := db.Client(ctx, tenant, id)
	if err != nil || found {
		return client, err
	}
	all, err := allClients(ctx, db)
	if err != nil {
		return gatehouse.Client{}, err
	}
	ids := make([]string, len(all))
	for i, client := range all {
		ids[i] = client.ID
	}
	try := "gatehouse client list"
	if hint := config.DidYouMean(id, ids); hint != "" {
		try = meant(hint) + ", or gatehouse client list"
	}
	return gatehouse.Client{}, failed(try, "there is no client %q", id)
}

func allClients(ctx context.Context, db *store.Store) ([]gatehouse.Client, error) {
	var all []gatehouse.Client
	after := ""
	for {
		page, err := db.Clients(ctx, tenant, after, listPage)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

func clientListCommand(term terminal, where *place) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:   "list",
		Short: "List the clients",
		Long:  "List the clients in the order of their identifiers.",
		Example: `  gatehouse client list --data ./data
  gatehouse client list --json --data ./data | jq -r '.[].client_id'`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				all, err := allClients(ctx, db)
				if err != nil {
					return err
				}
				if asJSON {
					documents := make([]clientDocument, len(all))
					for i, client := range all {
						documents[i] = describeClient(client)
					}
					return printJSON(term.out, documents)
				}
				rows := [][]string{{"CLIENT ID", "STATE", "METHOD", "GRANT TYPES", "NAME"}}
				for _, client := range all {
					rows = append(rows, []string{client.ID, stateOf(client.DisabledAt), client.TokenEndpointAuthMethod, strings.Join(client.GrantTypes, ","), client.ClientName})
				}
				return table(term.out, rows)
			})
		},
	}
	jsonFlag(command, &asJSON, "print a JSON list")
	return command
}

func clientShowCommand(term terminal, where *place) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a client",
		Long:    "Show everything that is registered for a client. Secrets are stored as hashes\nand are never shown; only when they were made and when they expire.",
		Example: "  gatehouse client show web --data ./data\n  gatehouse client show web --json --data ./data",
		Args:    takes("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				client, err := knownClient(ctx, db, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(term.out, describeClient(client))
				}
				return facts(term.out, clientFacts(client))
			})
		},
	}
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
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
