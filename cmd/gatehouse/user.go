package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/admin"
	"gatehouse/internal/secret"
)

func userCommand(term terminal) *cobra.Command {
	where, all := &place{}, users()
	command := group(&cobra.Command{
		Use:   "user",
		Short: "Add, list, show and change users",
		Long: `Users are the people who sign in. These commands add one, show what is stored,
and change the password or the state. A user is named by username, e-mail
address or sub. Other claims are changed with "gatehouse apply".

Passwords are asked for at the terminal or read from standard input; there is
no flag for them, because command lines end in histories and process lists. One
that is among the first to be tried is set all the same, with a line "weak:".`,
		Example: `  gatehouse user list --data ./data
  gatehouse user show alice --data ./data`,
	},
		userAddCommand(term, where),
		all.listCommand(term, where, "List the users in the order of their usernames.",
			"  gatehouse user list --data ./data\n  gatehouse user list --json --data ./data | jq -r '.[] | select(.disabled) | .username'"),
		all.showCommand(term, where, "Show what is stored of a user, named by username, e-mail address or sub. The\npassword is stored as a hash and never shown.",
			"  gatehouse user show alice --data ./data\n  gatehouse user show alice@example.com --json --data ./data"),
		userPasswordCommand(term, where),
		all.disableCommand(term, where, true, "Stop a user: sessions and grants end, tokens issued before are refused, and\nsigning in fails until the user is enabled again.", "alice"),
		all.disableCommand(term, where, false, "Let a disabled user sign in again. Sessions and grants that ended when the user\nwas disabled stay ended.", "alice"),
		all.removeCommand(term, where, "Remove a user, and end the user's sessions and grants",
			"Remove a user for good, with sessions, grants and consents. The sub is never\nused again. To stop a user for a while, use \"gatehouse user disable\".",
			"Remove user %s for good?", "alice"))
	where.addTenantFlags(command)
	return command
}

// passwordSource says where a new password comes from.
type passwordSource struct {
	stdin, hashStdin, none bool
}

// read returns the password or its hash; both are absent with --no-password.
func (s passwordSource) read(term terminal, try string) (password, hash secret.String, err error) {
	count := 0
	for _, set := range []bool{s.stdin, s.hashStdin, s.none} {
		if set {
			count++
		}
	}
	switch {
	case count > 1:
		return password, hash, misused("one of them", "more than one flag says where the password comes from")
	case s.none:
	case s.stdin:
		password, err = term.readSecret()
	case s.hashStdin:
		hash, err = term.readSecret()
	default:
		password, err = term.askPassword(try)
	}
	if _, known := errors.AsType[*failure](err); err != nil && !known {
		err = misused("one line on standard input", "%s", err)
	}
	return password, hash, err
}

func userAddCommand(term terminal, where *place) *cobra.Command {
	var entry admin.UserEntry
	var source passwordSource
	asJSON := false
	command := &cobra.Command{
		Use:   "add USERNAME",
		Short: "Add a user",
		Long: `Add a user. The password is asked for, or comes from standard input. The sub,
by which tokens name the user, is made unless it is given; it never changes.`,
		Example: `  gatehouse user add alice --email alice@example.com --name "Alice Liddell" --data ./data
  gatehouse user add alice --password-stdin --data ./data < password.txt
  gatehouse user add alice --password-hash-stdin --data ./data < argon2id-or-bcrypt.txt`,
		Args: takes("USERNAME"),
		RunE: func(command *cobra.Command, args []string) error {
			entry.Username = args[0]
			if _, err := where.find(command); err != nil {
				return err
			}
			var err error
			entry.Password, entry.PasswordHash, err = source.read(term, command.CommandPath()+" "+args[0]+" --password-stdin < FILE, or --no-password")
			if err != nil {
				return err
			}
			return where.within(command, furnishes, func(ctx context.Context, db database, at located) error {
				return addUser(ctx, term, db, at, entry, asJSON)
			})
		},
	}
	flags := command.Flags()
	flags.StringVar(&entry.Sub, "sub", "", "the `SUB` by which tokens name the user; made when absent")
	flags.StringVar(&entry.Name, "name", "", "the full `NAME`")
	flags.StringVar(&entry.GivenName, "given-name", "", "the given `NAME`")
	flags.StringVar(&entry.FamilyName, "family-name", "", "the family `NAME`")
	flags.StringVar(&entry.Email, "email", "", "the e-mail `ADDRESS`, which also signs in")
	flags.BoolVar(&entry.EmailVerified, "email-verified", false, "the address is known to be the user's")
	flags.StringVar(&entry.Locale, "locale", "", "the language, as in de or en-GB")
	flags.BoolVar(&source.stdin, "password-stdin", false, "read the password from standard input")
	flags.BoolVar(&source.hashStdin, "password-hash-stdin", false, "read an argon2id or bcrypt hash from standard input")
	flags.BoolVar(&source.none, "no-password", false, "add the user without a password")
	jsonFlag(command, &asJSON, "print the user as one JSON document")
	return command
}

func addUser(ctx context.Context, term terminal, db database, at located, entry admin.UserEntry, asJSON bool) error {
	file := admin.File{Users: []admin.UserEntry{entry}}
	report, err := admin.Apply(ctx, db, secret.NewHasher(at.hashing), db.tenant, at.process.PublicURL, file, admin.Options{Actor: "cli", MustBeNew: true})
	if err != nil {
		text := strings.ReplaceAll(err.Error(), admin.EntryPath("users", 0, entry.Username)+".", "")
		return failed("gatehouse user add --help", "the user cannot be added:\n  %s", strings.ReplaceAll(text, "\n", "\n  "))
	}
	for _, line := range report.WeakPasswords {
		fmt.Fprintln(term.err, "weak: "+oneLine(line))
	}
	user, _, err := db.User(ctx, db.tenant, report.Subjects[0])
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(term.out, describeUser(user))
	}
	if err := facts(term.out, [][2]string{{"username", user.Username}, {"sub", user.Subject}, {"email", user.Claims.Email}}); err != nil {
		return err
	}
	for _, note := range report.Notes {
		fmt.Fprintln(term.out, "note: "+oneLine(note))
	}
	return nil
}

func userPasswordCommand(term terminal, where *place) *cobra.Command {
	var source passwordSource
	command := &cobra.Command{
		Use:   "set-password USER",
		Short: "Set a user's password and end the user's sessions",
		Long: `Set a user's password. It is asked for twice, or comes from standard input.
The user's sessions and grants end: every browser and application signs in anew.`,
		Example: `  gatehouse user set-password alice --data ./data
  gatehouse user set-password alice --password-stdin --data ./data < password.txt`,
		Args: takes("USER"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.with(command, func(ctx context.Context, db database, at located) error {
				user, err := users().known(ctx, db, args[0])
				if err != nil {
					return err
				}
				password, hash, err := source.read(term, command.CommandPath()+" "+args[0]+" --password-stdin < FILE")
				if err != nil {
					return err
				}
				phc, err := hashed(ctx, secret.NewHasher(at.hashing), password, hash)
				if err != nil {
					return failed("another password", "%s", err)
				}
				event := byCommand(gatehouse.EventUserChanged, "password")
				event.Subject = user.Subject
				found, err := db.SetPassword(ctx, db.tenant, user.Subject, phc, event)
				if err != nil {
					return err
				}
				if !found {
					return failed("gatehouse user list", "user %s was removed meanwhile", user.Username)
				}
				if weak := admin.WeakPassword(user.Username, password); weak != "" {
					fmt.Fprintln(term.err, "weak: "+oneLine(weak))
				}
				fmt.Fprintf(term.out, "user %s has a new password; sessions and grants have ended\n", oneLine(user.Username))
				return nil
			})
		},
	}
	command.Flags().BoolVar(&source.stdin, "password-stdin", false, "read the password from standard input")
	command.Flags().BoolVar(&source.hashStdin, "password-hash-stdin", false, "read an argon2id or bcrypt hash from standard input")
	return command
}

func hashed(ctx context.Context, hasher *secret.Hasher, password, hash secret.String) (string, error) {
	if !hash.IsZero() {
		return hash.Reveal(), secret.ParsePHC(hash.Reveal())
	}
	if text := admin.CheckPassword(password); text != "" {
		return "", errors.New(text)
	}
	return hasher.Hash(ctx, password.Reveal())
}
