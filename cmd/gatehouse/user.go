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
	"gatehouse/internal/store"
)

func userCommand(term terminal) *cobra.Command {
	where := &place{}
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
		userAddCommand(term, where), userListCommand(term, where), userShowCommand(term, where), userPasswordCommand(term, where),
		userDisableCommand(term, where, true), userDisableCommand(term, where, false), userRemoveCommand(term, where))
	where.addFlags(command)
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
			return where.within(command, furnishes, func(ctx context.Context, db *store.Store, at located) error {
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

func addUser(ctx context.Context, term terminal, db *store.Store, at located, entry admin.UserEntry, asJSON bool) error {
	file := admin.File{Users: []admin.UserEntry{entry}}
	report, err := admin.Apply(ctx, db, secret.NewHasher(at.hashing), tenant, at.issuer, file, admin.Options{Actor: "cli", MustBeNew: true})
	if err != nil {
		text := strings.ReplaceAll(err.Error(), admin.EntryPath("users", 0, entry.Username)+".", "")
		return failed("gatehouse user add --help", "the user cannot be added:\n  %s", strings.ReplaceAll(text, "\n", "\n  "))
	}
	for _, line := range report.WeakPasswords {
		fmt.Fprintln(term.err, "weak: "+oneLine(line))
	}
	user, _, err := db.User(ctx, tenant, report.Subjects[0])
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
			return where.with(command, func(ctx context.Context, db *store.Store, at located) error {
				user, err := knownUser(ctx, db, args[0])
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
				found, err := db.SetPassword(ctx, tenant, user.Subject, phc, event)
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

func userDisableCommand(term terminal, where *place, disable bool) *cobra.Command {
	word, long := "enable", "Let a disabled user sign in again. Sessions and grants that ended when the user\nwas disabled stay ended."
	if disable {
		word, long = "disable", "Stop a user: sessions and grants end, tokens issued before are refused, and\nsigning in fails until the user is enabled again."
	}
	return &cobra.Command{
		Use:     word + " USER",
		Short:   strings.ToUpper(word[:1]) + word[1:] + " a user",
		Long:    long,
		Example: "  gatehouse user " + word + " alice --data ./data",
		Args:    takes("USER"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				user, err := knownUser(ctx, db, args[0])
				if err != nil {
					return err
				}
				if user.Disabled() == disable {
					fmt.Fprintf(term.out, "user %s is %sd already\n", oneLine(user.Username), word)
					return nil
				}
				event := byCommand(gatehouse.EventUserChanged, word+"d")
				event.Subject = user.Subject
				if _, err := db.DisableUser(ctx, tenant, user.Subject, disable, event); err != nil {
					return err
				}
				fmt.Fprintf(term.out, "user %s is %sd\n", oneLine(user.Username), word)
				return nil
			})
		},
	}
}

func userRemoveCommand(term terminal, where *place) *cobra.Command {
	yes := false
	command := &cobra.Command{
		Use:   "rm USER",
		Short: "Remove a user, and end the user's sessions and grants",
		Long: `Remove a user for good, with sessions, grants and consents. The sub is never
used again. To stop a user for a while, use "gatehouse user disable".`,
		Example: `  gatehouse user rm alice --data ./data
  gatehouse user rm alice --yes --data ./data`,
		Args: takes("USER"),
		RunE: func(command *cobra.Command, args []string) error {
			return where.with(command, func(ctx context.Context, db *store.Store, _ located) error {
				user, err := knownUser(ctx, db, args[0])
				if err != nil {
					return err
				}
				if !yes {
					if err := term.confirm("Remove user "+oneLine(user.Username)+" for good?", command.CommandPath()+" "+args[0]+" --yes"); err != nil {
						return err
					}
				}
				event := byCommand(gatehouse.EventUserChanged, "removed")
				event.Subject = user.Subject
				if _, err := db.DeleteUser(ctx, tenant, user.Subject, event); err != nil {
					return err
				}
				fmt.Fprintf(term.out, "user %s is removed\n", oneLine(user.Username))
				return nil
			})
		},
	}
	command.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return command
}
