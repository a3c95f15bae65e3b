package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"gatehouse/internal/server"
)

func keysCommand(term terminal) *cobra.Command {
	return group(&cobra.Command{
		Use:   "keys",
		Short: "Show, rotate and revoke keys",
		Long: `Keys sign tokens, vouch for refresh tokens and seal what only this server opens.
They are made, published, used, kept and removed by a plan that a running server
carries out by itself: a key signs for the setting key_rotation, 90 days unless
it says otherwise. These commands show the plan, hasten it, and help in an
emergency. The key-encryption key, which seals all others in the database, is
made by "keys init".`,
		Example: `  gatehouse keys list --data ./data
  gatehouse keys rotate --algorithm ES256 --data ./data
  gatehouse keys init --config gatehouse.yaml`,
	}, keysListCommand(term), keysInitCommand(term), keysRotateCommand(term), keysRevokeCommand(term), keysAfterRestoreCommand(term))
}

func keysInitCommand(term terminal) *cobra.Command {
	file := ""
	command := &cobra.Command{
		Use:   "init",
		Short: "Make the key file and record its key in a new database",
		Long: `Make the key file that the configuration names, and record its key in the
database as the one that seals all others. A key file that is there is used as
it is.

A server on SQLite does this at its first start. Servers on PostgreSQL share a
key, so none of them makes one: run this once, then copy the key file to every
server, and to a place apart from the database's backups. Once it was done, it
changes nothing.`,
		Example: "  gatehouse keys init --config gatehouse.yaml",
		Args:    takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			if file == "" && os.Getenv("GATEHOUSE_DATABASE") == "" && os.Getenv("GATEHOUSE_DATA") == "" {
				return misused("gatehouse keys init --config gatehouse.yaml", "which configuration? --config was not given")
			}
			process, err := loadProcess(file)
			if err != nil {
				return err
			}
			done, err := server.InitKeys(command.Context(), process, slog.New(slog.DiscardHandler))
			if err != nil {
				return failed("", "%s", err)
			}
			switch {
			case done.MadeFile:
				fmt.Fprintf(term.out, "made %s with key %08x; copy it to every server, and to a safe place apart from the database\n", process.KeyPath(), done.ID)
			case done.Recorded:
				fmt.Fprintf(term.out, "key %08x of %s was recorded in the database\n", done.ID, process.KeyPath())
			default:
				fmt.Fprintf(term.out, "nothing to do: the database is sealed with key %08x, which %s holds\n", done.ID, process.KeyPath())
			}
			return nil
		},
	}
	command.Flags().StringVar(&file, "config", "", "the server's configuration `FILE`")
	return command
}
