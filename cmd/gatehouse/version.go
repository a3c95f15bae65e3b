package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the program knows of its own making.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() build {
	made := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return made
	}
	if info.Main.Version != "" {
		made.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			made.Commit = setting.Value
		case "vcs.time":
			made.Time = setting.Value
		case "vcs.modified":
			made.Modified = setting.Value == "true"
		}
	}
	return made
}

func versionCommand(term terminal) *cobra.Command {
	asJSON := false
	command := &cobra.Command{
		Use:     "version",
		Short:   "Print the version, the commit and the Go release it was built with",
		Long:    "Print the version, the commit it was built from, if that is known, and the Go\nrelease that built it.",
		Example: "  gatehouse version\n  gatehouse version --json",
		Args:    takes(),
		RunE: func(*cobra.Command, []string) error {
			made := readBuild()
			if asJSON {
				return printJSON(term.out, made)
			}
			commit := made.Commit
			if made.Modified {
				commit += " with changes"
			}
			return facts(term.out, [][2]string{
				{"gatehouse", made.Version}, {"commit", commit}, {"committed", made.Time}, {"go", made.Go}, {"platform", made.Platform},
			})
		},
	}
	jsonFlag(command, &asJSON, "print one JSON document")
	return command
}
