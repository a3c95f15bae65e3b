package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const commandsPage = "../../docs/commands.md"

var update = flag.Bool("update", false, "write docs/commands.md anew")

// TestCommandsPage holds docs/commands.md to the commands themselves.
func TestCommandsPage(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Commands\n\n" +
		"This page is made from the commands' own help by `go test ./cmd/gatehouse -update`; change the command, not the page.\n\n")
	describe(&page, rootCommand(terminal{}))
	if *update {
		if err := os.WriteFile(commandsPage, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(stored) != page.String() {
		t.Error("docs/commands.md is not what the commands say; run go test ./cmd/gatehouse -update")
	}
}

func describe(page *strings.Builder, command *cobra.Command) {
	fmt.Fprintf(page, "## %s\n\n", command.CommandPath())
	fmt.Fprintf(page, "%s\n\n", strings.TrimSpace(command.Long))
	if !command.HasSubCommands() {
		fmt.Fprintf(page, "```\n%s\n```\n\n", command.UseLine())
	}
	if command.Example != "" {
		fmt.Fprintf(page, "```sh\n%s\n```\n\n", unindented(command.Example))
	}
	var flags []string
	command.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, flagLine(f)) })
	command.InheritedFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, flagLine(f)) })
	if len(flags) > 0 {
		page.WriteString("| flag | means |\n|---|---|\n" + strings.Join(flags, "") + "\n")
	}
	for _, sub := range command.Commands() {
		describe(page, sub)
	}
}

func flagLine(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	name := "--" + f.Name
	if value != "" {
		name += " " + value
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" && f.DefValue != "0s" {
		usage += " (" + f.DefValue + " unless given)"
	}
	return fmt.Sprintf("| `%s` | %s |\n", name, usage)
}

func unindented(text string) string {
	return regexp.MustCompile(`(?m)^  `).ReplaceAllString(text, "")
}

// TestEveryCommandTeaches holds every command to a help that a person can
// learn from.
func TestEveryCommandTeaches(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(command *cobra.Command) {
		for what, text := range map[string]string{"a short help": command.Short, "a long help": command.Long, "an example": command.Example} {
			if text == "" {
				t.Errorf("%s has no %s", command.CommandPath(), what)
			}
		}
		for _, line := range strings.Split(command.Long, "\n") {
			if len(line) > 80 {
				t.Errorf("%s: a line of the help has %d characters: %s", command.CommandPath(), len(line), line)
			}
		}
		for _, sub := range command.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(terminal{}))
}

// TestEventKinds holds the help's list of kinds to the declarations.
func TestEventKinds(t *testing.T) {
	source, err := os.ReadFile("../../event.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, match := range regexp.MustCompile(`EventKind = "([a-z_.]+)"`).FindAllStringSubmatch(string(source), -1) {
		declared = append(declared, match[1])
	}
	if got, want := strings.Join(kindNames(), " "), strings.Join(declared, " "); got != want {
		t.Errorf("the kinds are\n%s\ndeclared are\n%s", got, want)
	}
}
