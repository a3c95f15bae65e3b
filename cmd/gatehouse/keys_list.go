package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/internal/seal"
)

// shownKey is a key as the commands print it.
type shownKey struct {
	KID         string               `json:"kid"`
	Purpose     gatehouse.KeyPurpose `json:"purpose"`
	Algorithm   string               `json:"alg,omitempty"`
	State       keyring.State        `json:"state"`
	PublishedAt time.Time            `json:"published_at"`
	SignFrom    time.Time            `json:"sign_from"`
	SignUntil   time.Time            `json:"sign_until,omitzero"`
	RemoveAt    time.Time            `json:"remove_at,omitzero"`
	RevokedAt   time.Time            `json:"revoked_at,omitzero"`
}

func keysListCommand(term terminal) *cobra.Command {
	var where place
	asJSON := false
	command := &cobra.Command{
		Use:   "list",
		Short: "Show every key and what happens to it when",
		Long: `Show every key of the tenant with the times of its life. Its state is

  next      published, so that everyone knows it before it is used
  in use    signs tokens (sign), vouches for codes and refresh tokens (mac), or
            seals sign-ins under way and opaque tokens (seal)
  kept      verifies or opens what it made, until that has expired
  revoked   neither, for good

Of a key in use, the end is when its successor takes over or is planned to.`,
		Example: "  gatehouse keys list --data ./data\n  gatehouse keys list --json --data ./data",
		Args:    takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.with(command, func(ctx context.Context, db database, _ located) error {
				shown, err := shownKeys(ctx, db)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(term.out, shown)
				}
				rows := [][]string{{"KID", "PURPOSE", "STATE", "PUBLISHED", "USED FROM", "USED UNTIL", "LEAVES"}}
				for _, key := range shown {
					rows = append(rows, []string{key.KID, string(key.Purpose), string(key.State), moment(key.PublishedAt), moment(key.SignFrom), moment(key.SignUntil), moment(key.RemoveAt)})
				}
				return table(term.out, rows)
			})
		},
	}
	where.addTenantFlags(command)
	jsonFlag(command, &asJSON, "print the keys as one JSON document")
	return command
}

func shownKeys(ctx context.Context, db database) ([]shownKey, error) {
	policy, err := policyOf(ctx, db)
	if err != nil {
		return nil, err
	}
	keys, err := db.Keys(ctx, db.tenant)
	if err != nil {
		return nil, err
	}
	shown, now := []shownKey{}, db.Now()
	for _, key := range keys {
		state, until := keyring.StateOf(key, keys, now, policy)
		if until.IsZero() {
			until = key.SignUntil
		}
		shown = append(shown, shownKey{
			KID: key.ID, Purpose: key.Purpose, Algorithm: key.Algorithm, State: state,
			PublishedAt: key.PublishAt, SignFrom: key.SignFrom, SignUntil: until, RemoveAt: key.RemoveAt, RevokedAt: key.RevokedAt,
		})
	}
	return shown, nil
}

func policyOf(ctx context.Context, db database) (keyring.Policy, error) {
	settings, _, err := db.Tenant(ctx, db.tenant)
	if err != nil {
		return keyring.Policy{}, err
	}
	resources, err := db.Resources(ctx, db.tenant)
	return keyring.PolicyOf(settings, resources), err
}

// withKeys opens the database and its keyring for one act.
func (p *place) withKeys(command *cobra.Command, act func(ctx context.Context, db database, keys *keyring.Keyring) error) error {
	return p.withinKeys(command, looksOn, act)
}

// withinKeys is withKeys, saying what happens where there is no database yet.
func (p *place) withinKeys(command *cobra.Command, absent absence, act func(ctx context.Context, db database, keys *keyring.Keyring) error) error {
	return p.within(command, absent, func(ctx context.Context, db database, at located) error {
		kek, err := seal.ReadKeyFile(at.keyFile)
		if err != nil {
			return failed("--config with the server's configuration, which names the key file", "%s", err)
		}
		if _, found, err := db.KeyEncryptionKey(ctx); err != nil {
			return err
		} else if !found {
			return failed("start the server once, or gatehouse keys init", "the database has no keys yet")
		}
		keys, err := keyring.Open(ctx, db, kek)
		if err != nil {
			return failed("", "%s", err)
		}
		if db.tenant == gatehouse.DefaultTenant {
			err = keys.Load(ctx, db.tenant)
		} else {
			_, err = keys.Has(ctx, db.tenant) // it was made with its keys
		}
		if err != nil {
			return failed("", "%s", err)
		}
		return act(ctx, db, keys)
	})
}
