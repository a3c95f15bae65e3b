package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/keyring"
	"gatehouse/jose"
)

func keysRotateCommand(term terminal) *cobra.Command {
	var where place
	asked := keyring.Rotation{Actor: "cli"}
	algorithm := ""
	command := &cobra.Command{
		Use:   "rotate",
		Short: "Have new keys take over before their planned time",
		Long: `Make a successor for every key in use, or with --algorithm for the signing key
of that algorithm. It is published now and takes over in an hour, when everyone
who keeps the key set has read it: no token is refused. The old key stays until
the last token that it made has expired. A successor that waits already stays
the only one.

With --now it takes over as soon as those know it who ask: after ten seconds, in
which running servers read it, and a signing key a minute later, after which
applications and APIs that see a key that they do not know may read the key set
again. Those that do not, and keep it for its five minutes whatever comes, may
refuse new tokens until then.

To take a key that was stolen out of use, use "gatehouse keys revoke".`,
		Example: `  gatehouse keys rotate --data ./data
  gatehouse keys rotate --algorithm ES256 --now --data ./data`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			asked.Algorithm = jose.Algorithm(algorithm)
			if algorithm != "" && !slices.Contains(keyring.Algorithms(), asked.Algorithm) {
				var names []string
				for _, known := range keyring.Algorithms() {
					names = append(names, string(known))
				}
				return misused("--algorithm "+names[0], "there are no keys of the algorithm %q; there are %s", algorithm, strings.Join(names, ", "))
			}
			return where.withKeys(command, func(ctx context.Context, db database, keys *keyring.Keyring) error {
				turns, err := keys.Rotate(ctx, db.tenant, asked)
				for _, turn := range turns {
					fmt.Fprintln(term.out, tookOver(turn))
				}
				if err == nil && asked.Now {
					fmt.Fprintf(term.out, "who keeps the key set, whatever key comes, may refuse new tokens until %s\n", moment(db.Now().Add(keyring.CacheTime)))
				}
				return err
			})
		},
	}
	where.addTenantFlags(command)
	command.Flags().StringVar(&algorithm, "algorithm", "", "only the signing key of this `ALGORITHM`")
	command.Flags().BoolVar(&asked.Now, "now", false, "take over within 70 seconds")
	return command
}

func tookOver(turn keyring.Turn) string {
	next := turn.Next
	made := "is published already and"
	if turn.Made {
		made = "is new and"
	}
	return fmt.Sprintf("%s: %s %s takes over at %s", nameOf(next), next.ID, made, moment(next.SignFrom))
}

// nameOf says what a key is for.
func nameOf(key gatehouse.StoredKey) string {
	if key.Purpose == gatehouse.KeySign {
		return key.Algorithm
	}
	return string(key.Purpose)
}

func keysRevokeCommand(term terminal) *cobra.Command {
	var where place
	yes := false
	command := &cobra.Command{
		Use:   "revoke KID",
		Short: "Take a stolen key out of use at once",
		Long: `Take a key out of use at once, for good. Its replacement is made, or the waiting
one taken, and is used at once.

Of a signing key: it leaves the key set, and every token that it signed is
refused, by this server's own endpoints at once, and by others when they next
read the key set: within five minutes. For a day from now on they are told to
keep it for 60 seconds only. Applications get new tokens with their refresh
tokens; nobody has to sign in again.

Of a MAC root (mac-...): codes and refresh tokens that it vouched for are
refused; people sign in again. Of a sealing root (seal-...): opaque tokens and
sign-ins under way are refused.

For a change without an emergency, use "gatehouse keys rotate".`,
		Example: "  gatehouse keys revoke es256-abcdefghijklmnop --yes --data ./data",
		Args:    takes("KID"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.withKeys(command, func(ctx context.Context, db database, keys *keyring.Keyring) error {
				known, err := db.Keys(ctx, db.tenant)
				if err != nil {
					return err
				}
				if !slices.ContainsFunc(known, func(key gatehouse.StoredKey) bool { return key.ID == args[0] }) {
					return noSuchKey(args[0])
				}
				if !yes {
					if err := term.confirm("Revoke key "+oneLine(args[0])+" for good?", command.CommandPath()+" "+args[0]+" --yes"); err != nil {
						return err
					}
				}
				revoked, found, err := keys.Revoke(ctx, db.tenant, args[0], "cli")
				switch {
				case err != nil:
					return err
				case !found:
					return noSuchKey(args[0])
				}
				tellRevoked(term, revoked, db.Now())
				return nil
			})
		},
	}
	where.addTenantFlags(command)
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}

func noSuchKey(id string) error { return failed("gatehouse keys list", "there is no key %q", id) }

func tellRevoked(term terminal, revoked keyring.Revoked, now time.Time) {
	key := revoked.Key
	if revoked.Again {
		fmt.Fprintf(term.out, "key %s was revoked already, at %s\n", key.ID, moment(key.RevokedAt))
		return
	}
	fmt.Fprintf(term.out, "key %s is revoked\n", key.ID)
	if revoked.Successor.ID != "" {
		fmt.Fprintf(term.out, "%s: %s is used from now on\n", nameOf(key), revoked.Successor.ID)
	}
	switch key.Purpose {
	case gatehouse.KeySign:
		fmt.Fprintf(term.out, "tokens that it signed are refused here now, and by all who keep the key set by %s\n", moment(now.Add(keyring.CacheTime)))
		fmt.Fprintln(term.out, "for a day the key set may be kept for 60 seconds only")
	case gatehouse.KeyMAC:
		fmt.Fprintln(term.out, "codes and refresh tokens that it vouched for are refused; people sign in again")
	default:
		fmt.Fprintln(term.out, "opaque tokens and sign-ins under way that it sealed are refused")
	}
}

func keysAfterRestoreCommand(term terminal) *cobra.Command {
	var where place
	yes := false
	command := &cobra.Command{
		Use:   "after-restore",
		Short: "Make a restored backup safe to serve from",
		Long: `A backup knows nothing of what happened after it was made: a refresh token that
was used or revoked since would be good again. Run this on the restored database
before a server is started on it. In every tenant it

  - ends all grants and sessions, and refuses every token issued so far; people
    sign in again, applications keep their registration,
  - moves the numbers of events and endings on, so that readers who have seen
    later ones than the backup has miss nothing, and writes the clock down,
  - rotates the MAC root, so that codes and refresh tokens of the time after the
    backup are not continued.

It may be run again; it then ends what came since.`,
		Example: "  gatehouse keys after-restore --yes --data ./data",
		Args:    takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.withKeys(command, func(ctx context.Context, db database, keys *keyring.Keyring) error {
				if !yes {
					if err := term.confirm("End all grants and sessions of all tenants?", command.CommandPath()+" --yes"); err != nil {
						return err
					}
				}
				return afterRestore(ctx, term, db, keys)
			})
		},
	}
	where.addFlags(command)
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}

func afterRestore(ctx context.Context, term terminal, db database, keys *keyring.Keyring) error {
	tenants, err := db.EachTenant(ctx)
	if err != nil {
		return err
	}
	if err := db.AdvanceAfterRestore(ctx); err != nil {
		return err
	}
	fmt.Fprintln(term.out, "the numbers of events and endings and the clock are moved on")
	for _, tenant := range tenants {
		if _, err := keys.Has(ctx, tenant); err != nil {
			return err
		}
		done, err := db.EndEverything(ctx, tenant, byCommand(gatehouse.EventRestored, "everything issued before has ended"))
		if err != nil {
			return err
		}
		fmt.Fprintf(term.out, "tenant %s: %d grants and %d sessions have ended, and every token issued before %s\n", tenant, done.Grants, done.Sessions, moment(db.Now()))
		turns, err := keys.Rotate(ctx, tenant, keyring.Rotation{OnlyMAC: true, Now: true, Actor: "cli"})
		if err != nil {
			return err
		}
		for _, turn := range turns {
			fmt.Fprintf(term.out, "tenant %s: %s\n", tenant, tookOver(turn))
		}
	}
	return nil
}
