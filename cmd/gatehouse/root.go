package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

// failure is an error with what to type next.
type failure struct {
	what string
	try  string
	code int
}

func (f *failure) Error() string { return f.what }

// failed is the error of a command that could not do what it was asked to.
func failed(try, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), try, exitFailed}
}

// misused is the error of a command that was typed wrongly.
func misused(try, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), try, exitUsage}
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, term terminal, args []string) int {
	root := rootCommand(term)
	root.SetArgs(args)
	root.SetIn(term.in)
	root.SetOut(term.out)
	root.SetErr(term.err)
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fail := &failure{what: err.Error(), code: exitFailed}
	if known, ok := errors.AsType[*failure](err); ok {
		fail = known
	} else if !started { // cobra could not make sense of the line
		fail.code, fail.try = exitUsage, command.CommandPath()+" --help"
		fail.what, _, _ = strings.Cut(fail.what, "\n")
	}
	fmt.Fprintln(term.err, "gatehouse: "+fail.what)
	if fail.try != "" {
		fmt.Fprintln(term.err, "try: "+fail.try)
	}
	return fail.code
}

func rootCommand(term terminal) *cobra.Command {
	root := &cobra.Command{
		Use:   "gatehouse",
		Short: "OAuth 2.1 and OpenID Connect: the authorization server and its tools",
		Long: `Gatehouse is an OAuth 2.1 authorization server and OpenID Provider.

Start with "gatehouse dev": it runs a server with demo users, ready clients, a
sample API and a playground on this machine, and prints what to type next. For
a server of your own write a configuration file and run "gatehouse serve"; put
its clients and users in a tenant file and run "gatehouse apply".

Commands that read or change data work on the database, whether a server runs
on it or not. Say which one with --config FILE (the server's configuration) or
--data DIR (the directory that holds gatehouse.db), or with the environment
variable GATEHOUSE_DATA. A running server follows within a second.

Exit codes: 0 all is well, 1 the command failed, 2 it was typed wrongly.
Errors go to standard error, with a line that says what to try.`,
		Example: `  gatehouse dev
  gatehouse serve --config gatehouse.yaml
  gatehouse apply tenant.yaml --config gatehouse.yaml
  gatehouse client add --client-name "Photo web" --redirect-uri https://photos.example/callback --data ./data`,
		Args:          noSuchCommand,
		RunE:          func(command *cobra.Command, _ []string) error { return command.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return misused(flagHint(command, text), "%s", text)
	})
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetHelpCommand(helpCommand())
	root.AddCommand(
		devCommand(term), serveCommand(term), bffCommand(term), gatewayCommand(term), checkCommand(term), tenantCommand(term), applyCommand(term), clientCommand(term), userCommand(term),
		keysCommand(term), eventsCommand(term), explainCommand(term), versionCommand(term), completionCommand(term),
	)
	return root
}

// flagHint names the flag that was probably meant.
func flagHint(command *cobra.Command, text string) string {
	help := command.CommandPath() + " --help"
	name, found := strings.CutPrefix(text, "unknown flag: --")
	if !found {
		return help
	}
	var names []string
	command.Flags().VisitAll(func(flag *flagOf) { names = append(names, flag.Name) })
	hint := config.DidYouMean(name, names)
	if hint == "" {
		return help
	}
	return fmt.Sprintf("--%s, or %s", meant(hint), help)
}

// noSuchCommand refuses words after a command that has only sub-commands.
func noSuchCommand(command *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range command.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	slices.Sort(names)
	try := command.CommandPath() + " --help"
	for _, name := range names {
		if config.DidYouMean(args[0], []string{name}) != "" {
			try = command.CommandPath() + " " + name
			break
		}
	}
	return misused(try, "%s has no command %q; it has %s", command.CommandPath(), args[0], strings.Join(names, ", "))
}

// group is a command that only holds others.
func group(command *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	command.Args = noSuchCommand
	command.RunE = func(command *cobra.Command, _ []string) error {
		var names []string
		for _, sub := range command.Commands() {
			names = append(names, sub.Name())
		}
		return misused(command.CommandPath()+" --help", "say what to do: %s", strings.Join(names, ", "))
	}
	command.AddCommand(subs...)
	return command
}

// takes demands exactly the named arguments.
func takes(names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		try := command.CommandPath() + " --help"
		switch {
		case len(args) < len(names):
			return misused(try, "%s needs %s", command.CommandPath(), strings.Join(names[len(args):], " "))
		case len(args) > len(names):
			return misused(try, "%s does not take %q", command.CommandPath(), args[len(names)])
		}
		return nil
	}
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		Long:    "Explain a command, its flags and how it is used: the same as COMMAND --help.",
		Example: "  gatehouse help apply\n  gatehouse help client add",
		RunE: func(command *cobra.Command, args []string) error {
			about, rest, err := command.Root().Find(args)
			if failure, known := errors.AsType[*failure](err); known {
				return failure
			}
			if err != nil || len(rest) > 0 {
				return misused("gatehouse help", "there is no command %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
