package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/admin"
	"gatehouse/internal/config"
	"gatehouse/internal/secret"
)

func applyCommand(term terminal) *cobra.Command {
	var where place
	dryRun := false
	command := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make settings, resources, clients and users as a tenant file says",
		Long: `Make the tenant as FILE says and print what changed.

The file is YAML with the keys settings, resources, clients and users;
docs/tenant.example.yaml names everything that can be in it. "-" reads it from
standard input.

What the file does not name is left alone. A client, user or resource that it
names, and the settings once that key is there, are described whole: what the
description leaves out takes its default. Secrets and passwords are the
exception: without one in the file, the stored one stays. Clients without
client_id are found again by their client_name; their client_id, and the secret
of a confidential client that has none, are made and printed once.

The whole file is checked first, and nothing is written unless all of it is
right. Applying it again changes nothing. Every change is an event
(gatehouse events).`,
		Example: `  gatehouse apply tenant.yaml --config gatehouse.yaml --dry-run
  gatehouse apply tenant.yaml --data ./data
  generate-tenant | gatehouse apply - --data ./data`,
		Args: takes("FILE"),
		RunE: func(command *cobra.Command, args []string) error {
			file, err := readTenantFile(term, args[0])
			if err != nil {
				return err
			}
			absent := furnishes
			if dryRun {
				absent = rehearses
			}
			return where.within(command, absent, func(ctx context.Context, db database, at located) error {
				fetch, err := at.process.Outbound()
				if err != nil {
					return err
				}
				report, err := admin.Apply(ctx, db, secret.NewHasher(at.hashing), db.tenant, at.process.PublicURL, file, admin.Options{DryRun: dryRun, Fetch: fetch})
				if err != nil {
					return refusedList(args[0]+" cannot be applied", "mend the file, then the same command again", err)
				}
				printReport(term.out, report, dryRun)
				return nil
			})
		},
	}
	where.addTenantFlags(command)
	command.Flags().BoolVar(&dryRun, "dry-run", false, "print what would change and change nothing")
	return command
}

func readTenantFile(term terminal, name string) (admin.File, error) {
	var data []byte
	var err error
	if name == "-" {
		name = "standard input"
		data, err = io.ReadAll(io.LimitReader(term.in, config.MaxBytes+1))
	} else {
		data, err = os.ReadFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return admin.File{}, failed("docs/tenant.example.yaml shows what goes into one", "there is no file %s", name)
	}
	if err != nil {
		return admin.File{}, failed("", "%s", err)
	}
	file, err := admin.Decode(data, name)
	if err != nil {
		return admin.File{}, refusedList(name+" cannot be read", "mend the file, then the same command again", err)
	}
	return file, nil
}

// refusedList is a failure whose reasons stand on lines of their own.
func refusedList(what, try string, err error) error {
	return failed(try, "%s:\n  %s", what, strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

func printReport(w io.Writer, report admin.Report, dryRun bool) {
	for _, line := range report.Changes {
		fmt.Fprintln(w, oneLine(line))
	}
	switch {
	case len(report.Changes) == 0:
		fmt.Fprintln(w, "no changes")
	case dryRun:
		fmt.Fprintf(w, "%d to do; nothing was changed (--dry-run)\n", len(report.Changes))
	default:
		fmt.Fprintf(w, "%d done\n", len(report.Changes))
	}
	for _, line := range report.Notes {
		fmt.Fprintln(w, "note: "+oneLine(line))
	}
	for _, line := range report.Weak {
		fmt.Fprintln(w, "weakened: "+oneLine(line))
	}
	for _, line := range report.WeakPasswords {
		fmt.Fprintln(w, "weak: "+oneLine(line))
	}
	for _, made := range report.Generated {
		fmt.Fprintf(w, "\nclient_id:     %s\nclient_secret: %s\n", made.ClientID, made.ClientSecret.Reveal())
	}
	if len(report.Generated) > 0 {
		fmt.Fprintln(w, "\nKeep the secrets now: they are stored as hashes and cannot be shown again.")
	}
}
