package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/secret"
)

func clientCommand(term terminal) *cobra.Command {
	where, all := &place{}, clients()
	command := group(&cobra.Command{
		Use:   "client",
		Short: "Add, list, show and change clients",
		Long: `Clients are the applications that ask for tokens. These commands add one,
show what is registered, and change its secret or its state. Its metadata is
changed with "gatehouse apply".`,
		Example: `  gatehouse client list --data ./data
  gatehouse client show web --data ./data`,
	},
		clientAddCommand(term, where),
		all.listCommand(term, where, "List the clients in the order of their identifiers.",
			"  gatehouse client list --data ./data\n  gatehouse client list --json --data ./data | jq -r '.[].client_id'"),
		all.showCommand(term, where, "Show everything that is registered for a client. Secrets are stored as hashes\nand are never shown; only when they were made and when they expire.",
			"  gatehouse client show web --data ./data\n  gatehouse client show web --json --data ./data"),
		clientRotateCommand(term, where),
		all.disableCommand(term, where, true, "Stop a client: it gets no more tokens, its grants end, and what it was issued\nbefore is refused. Its registration stays.", "web"),
		all.disableCommand(term, where, false, "Let a disabled client work again. What ended when it was disabled stays ended:\npeople sign in anew.", "web"),
		all.removeCommand(term, where, "Remove a client, its grants and what people allowed it",
			"Remove a client for good: its registration, its grants and the consents that\npeople gave it. To stop it for a while, use \"gatehouse client disable\".",
			"Remove client %s and end its grants?", "web"))
	where.addTenantFlags(command)
	return command
}

func clientAddCommand(term terminal, where *place) *cobra.Command {
	var entry admin.ClientEntry
	asJSON, public, secretStdin, profile := false, false, false, ""
	command := &cobra.Command{
		Use:   "add",
		Short: "Register a client and print its credentials once",
		Long: `Register a client. The flags have the names of RFC 7591 and its defaults: the
grant type authorization_code and the method client_secret_basic. A scope that
is not given is "openid profile email", with offline_access for clients of the
grant type refresh_token, and nothing for clients without authorization_code.

The client_id and the secret are made unless they are given. The secret is
printed once and stored as a hash.`,
		Example: `  # a web application with a secret
  gatehouse client add --client-id web --redirect-uri https://app.example/callback --data ./data

  # a single-page or native application, without a secret
  gatehouse client add --client-id spa --public --redirect-uri https://spa.example/callback \
      --grant-type authorization_code --grant-type refresh_token --data ./data

  # a machine
  gatehouse client add --client-id nightly --grant-type client_credentials --scope photos:read --data ./data`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			entry.Profile = gatehouse.Profile(profile)
			if public {
				if entry.TokenEndpointAuthMethod != "" && entry.TokenEndpointAuthMethod != gatehouse.AuthNone {
					return misused(command.CommandPath()+" --help", "--public means --token-endpoint-auth-method none, and another method was given")
				}
				entry.TokenEndpointAuthMethod = gatehouse.AuthNone
			}
			if secretStdin {
				var err error
				if entry.ClientSecret, err = term.readSecret(); err != nil {
					return misused("a secret on standard input, in one line", "%s", err)
				}
			}
			return where.within(command, furnishes, func(ctx context.Context, db database, at located) error {
				return addClient(ctx, term, db, at, entry, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&entry.ClientID, "client-id", "", "the client's `ID`; made when absent")
	flags.StringVar(&entry.ClientName, "client-name", "", "the `NAME` that people see when they sign in")
	flags.StringArrayVar(&entry.RedirectURIs, "redirect-uri", nil, "a callback `URL`, compared octet for octet; may be repeated")
	flags.StringArrayVar(&entry.PostLogoutRedirectURIs, "post-logout-redirect-uri", nil, "a `URL` to return to after signing out; may be repeated")
	flags.StringArrayVar(&entry.GrantTypes, "grant-type", nil, "a `TYPE`: authorization_code, refresh_token or client_credentials; may be repeated")
	flags.StringVar(&entry.TokenEndpointAuthMethod, "token-endpoint-auth-method", "", "the `METHOD` client_secret_basic, client_secret_post or none")
	flags.BoolVar(&public, "public", false, "a client without a secret: the method none")
	flags.StringVar(&entry.Scope, "scope", "", "all `SCOPES` that it may ask for, divided by spaces")
	flags.StringVar(&profile, "profile", "", "the `PROFILE` oauth2.1, which is the default, or oidc")
	flags.StringVar(&entry.DefaultResource, "default-resource", "", "the `RESOURCE` its tokens are for when a request names none")
	flags.BoolVar(&entry.RevocationFeed, "revocation-feed", false, "a resource server that follows what is revoked")
	flags.StringArrayVar(&entry.Introspects, "introspects", nil, "a `RESOURCE` whose tokens it introspects; may be repeated")
	flags.BoolVar(&entry.SkipConsent, "skip-consent", false, "an application of the house: people are not asked")
	flags.BoolVar(&secretStdin, "secret-stdin", false, "read the client's secret from standard input")
	flags.BoolVar(&entry.InsecureShortSecret, "insecure-short-secret", false, "admit a secret of under 32 characters")
	jsonFlag(command, &asJSON, "print the client as one JSON document")
	return command
}

func addClient(ctx context.Context, term terminal, db database, at located, entry admin.ClientEntry, asJSON bool) error {
	file := admin.File{Clients: []admin.ClientEntry{entry}}
	report, err := admin.Apply(ctx, db, secret.NewHasher(at.hashing), db.tenant, at.process.PublicURL, file, admin.Options{Actor: "cli", MustBeNew: true})
	if err != nil {
		text := strings.ReplaceAll(err.Error(), admin.EntryPath("clients", 0, entry.Label())+".", "")
		return failed("gatehouse client add --help", "the client cannot be registered:\n  %s", strings.ReplaceAll(text, "\n", "\n  "))
	}
	client, _, err := db.Client(ctx, db.tenant, report.Clients[0])
	if err != nil {
		return err
	}
	made := ""
	if len(report.Generated) > 0 {
		made = report.Generated[0].ClientSecret.Reveal()
	}
	if asJSON {
		document := describeClient(client)
		document.ClientSecret = made
		return printJSON(term.out, document)
	}
	pairs := [][2]string{
		{"client_id", client.ID}, {"client_secret", made}, {"token_endpoint_auth_method", client.TokenEndpointAuthMethod},
		{"grant_types", strings.Join(client.GrantTypes, " ")}, {"redirect_uris", strings.Join(client.RedirectURIs, " ")}, {"scope", client.Scope},
	}
	if err := facts(term.out, pairs); err != nil {
		return err
	}
	for _, line := range report.Weak {
		fmt.Fprintln(term.out, "weakened: "+line)
	}
	if made != "" {
		fmt.Fprintln(term.out, "\nKeep the secret now: it is stored as a hash and cannot be shown again.")
	}
	return nil
}

func clientRotateCommand(term terminal, where *place) *cobra.Command {
	overlap := config.DurationOrZero(0)
	secretStdin, asJSON := false, false
	command := &cobra.Command{
		Use:   "rotate-secret ID",
		Short: "Give a client a new secret and print it once",
		Long: `Give a client a new secret and print it once. The old one stops at once, or
after --overlap, so that the application can be changed without an interruption.
A tenant file that names the client's secret puts its own back when it is
applied: there, rotate in the file (client_secrets holds several).`,
		Example: `  gatehouse client rotate-secret web --overlap 1h --data ./data
  gatehouse client rotate-secret web --secret-stdin --data ./data < new-secret.txt`,
		Args: takes("ID"),
		RunE: func(command *cobra.Command, args []string) error {
			given := secret.Random()
			if secretStdin {
				var err error
				if given, err = term.readSecret(); err != nil {
					return misused("a secret on standard input, in one line", "%s", err)
				}
			}
			return where.with(command, func(ctx context.Context, db database, at located) error {
				client, err := clients().known(ctx, db, args[0])
				if err != nil {
					return err
				}
				retire, err := admin.RotateSecret(ctx, db, secret.NewHasher(at.hashing), db.tenant, client, given, overlap.Std())
				if err != nil {
					return failed("gatehouse client rotate-secret --help", "%s", err)
				}
				return printRotated(term, client.ID, given, secretStdin, retire, asJSON)
			})
		},
	}
	command.Flags().Var(&durationFlag{&overlap}, "overlap", "how long the old secret stays valid, as in 30m, 1h or 7d")
	command.Flags().BoolVar(&secretStdin, "secret-stdin", false, "read the new secret from standard input instead of making one")
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
}

func printRotated(term terminal, id string, given secret.String, wasGiven bool, retire time.Time, asJSON bool) error {
	shown := given.Reveal()
	if wasGiven {
		shown = ""
	}
	if asJSON {
		return printJSON(term.out, struct {
			ClientID      string    `json:"client_id"`
			ClientSecret  string    `json:"client_secret,omitempty"`
			OldValidUntil time.Time `json:"old_secrets_valid_until"`
		}{id, shown, retire})
	}
	return facts(term.out, [][2]string{{"client_id", id}, {"client_secret", shown}, {"old secret valid until", moment(retire)}})
}
