package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
	"gatehouse/internal/server"
	"gatehouse/oauth"
)

// own is what the developer brings along.
type own struct {
	file admin.File
	// name of the file, for errors; "" when there is none.
	name         string
	redirectURIs []string
}

// readOwn reads and checks what needs no server.
func readOwn(o Options) (own, error) {
	for _, text := range o.RedirectURIs {
		if err := checkOwnRedirect(text); err != nil {
			return own{}, fmt.Errorf("--redirect-uri: %w", err)
		}
	}
	brought := own{name: o.Apply, redirectURIs: distinct(o.RedirectURIs)}
	if o.Apply == "" {
		return brought, nil
	}
	text, err := os.ReadFile(o.Apply)
	if errors.Is(err, fs.ErrNotExist) {
		return own{}, fmt.Errorf("--apply %s: there is no such file", o.Apply)
	}
	if err != nil {
		return own{}, fmt.Errorf("--apply: %w", err)
	}
	brought.file, err = admin.Decode(text, o.Apply)
	return brought, err
}

// checkOwnRedirect tells the usual mistake apart: localhost instead of the
// loopback address.
func checkOwnRedirect(text string) error {
	err := oauth.CheckRedirectURI(text, oauth.RedirectRules{})
	if err == nil || oauth.CheckRedirectURI(text, oauth.RedirectRules{AllowLocalhost: true}) != nil {
		return err
	}
	better := strings.Replace(text, "://localhost", "://"+loopback, 1)
	return fmt.Errorf("%q names a host that other machines may resolve otherwise (RFC 8252 section 8.3); open your application at %s and type:\n  gatehouse dev --redirect-uri %s", text, loopback, better)
}

const actor = "dev"

// furnish puts the demonstration and the developer's own file into the issuer's
// database, and writes into ready who and what is there. kept is what the
// data directory remembers; it is written again.
func furnish(ctx context.Context, issuer *server.Server, data string, kept note, brought own, at urls, ready *Ready) error {
	kept.fill()
	if err := kept.write(data); err != nil {
		return fmt.Errorf("keep the addresses and client secrets: %w", err)
	}
	db := issuer.Store()
	demo := demoFile(at, kept.Secrets, brought.redirectURIs)
	if kept.Furnished {
		if err := leaveRemoved(ctx, db, &demo); err != nil {
			return err
		}
	}
	file := join(brought.file, demo)
	addRedirects(file.Clients[:len(brought.file.Clients)], brought.redirectURIs)
	hasher := secret.NewHasher(secret.Params{MemoryKiB: hashMemoryMiB << 10, Passes: hashPasses})
	report, err := admin.Apply(ctx, db, hasher, gatehouse.DefaultTenant, at.issuer, file, admin.Options{Actor: actor, Fetch: issuer.Outbound()})
	if err != nil && brought.name != "" {
		return fmt.Errorf("%s:\n%w", brought.name, err)
	}
	if err != nil {
		return err
	}
	for _, made := range report.Generated {
		kept.Secrets[made.ClientID] = made.ClientSecret
	}
	kept.Furnished = true
	if err := kept.write(data); err != nil {
		return fmt.Errorf("keep the addresses and client secrets: %w", err)
	}
	return describe(ctx, db, file, report, kept, brought, ready)
}

// leaveRemoved takes those demonstration users out of the file whom the
// developer removed after the first start: a sub is never used again.
func leaveRemoved(ctx context.Context, db admin.Store, demo *admin.File) error {
	users := demo.Users
	demo.Users = nil
	for _, user := range users {
		_, found, err := db.User(ctx, gatehouse.DefaultTenant, user.Sub)
		if err != nil {
			return err
		}
		if found {
			demo.Users = append(demo.Users, user)
		}
	}
	return nil
}

// addRedirects adds redirect URIs to web and spa where the developer's file
// describes them.
func addRedirects(clients []admin.ClientEntry, redirectURIs []string) {
	for i := range clients {
		if id := clients[i].ClientID; id == clientWeb || id == clientSPA {
			clients[i].RedirectURIs = distinct(clients[i].RedirectURIs, redirectURIs)
		}
	}
}

// describe lists users and clients as they are stored now, the demonstration
// first.
func describe(ctx context.Context, db admin.Store, file admin.File, report admin.Report, kept note, brought own, ready *Ready) error {
	ready.Users = []User{}
	for i, entry := range file.Users {
		ready.Users = append(ready.Users, User{Username: entry.Username, Password: entry.Password.Reveal(), Sub: report.Subjects[i]})
	}
	ready.Users = rotated(ready.Users, len(brought.file.Users))
	for i, entry := range file.Clients {
		client, _, err := db.Client(ctx, gatehouse.DefaultTenant, report.Clients[i])
		if err != nil {
			return err
		}
		ready.Clients = append(ready.Clients, Client{
			ClientID: client.ID, ClientSecret: currentSecret(client, entry, kept),
			RedirectURIs: listed(client.RedirectURIs), GrantTypes: listed(client.GrantTypes), Scope: client.Scope,
			TokenEndpointAuthMethod: client.TokenEndpointAuthMethod, Name: client.DisplayName(),
		})
	}
	ready.Clients = rotated(ready.Clients, len(brought.file.Clients))
	return nil
}

// rotated puts what stands at and behind first before the rest.
func rotated[E any](list []E, first int) []E {
	return slices.Concat(list[first:], list[:first])
}

// listed is the list, in JSON never null.
func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// currentSecret is a secret that works: the one in the file, or one that was
// made before and is still stored. "" when only its hash is known.
func currentSecret(client gatehouse.Client, entry admin.ClientEntry, kept note) string {
	if client.Public() {
		return ""
	}
	if given := entry.Secrets(); len(given) > 0 {
		return given[0].Reveal()
	}
	made := kept.Secrets[client.ID].Reveal()
	for _, stored := range client.Secrets {
		if stored.Kind == gatehouse.SecretSHA256 && secret.Equal(stored.Hash, secret.Hash(made)) {
			return made
		}
	}
	return ""
}

// wellKnown are the users whose password is no secret anyway, so that the
// playground may show it.
func wellKnown(users []User) []User {
	known := []User{}
	for _, user := range users {
		demo := func(u admin.UserEntry) bool {
			return u.Username == user.Username && u.Password.Reveal() == user.Password
		}
		if slices.ContainsFunc(demoUsers(), demo) {
			known = append(known, user)
		}
	}
	return known
}
