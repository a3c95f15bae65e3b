package main

import (
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/config"
)

func completionCommand(term terminal) *cobra.Command {
	shells := []string{"bash", "fish", "powershell", "zsh"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands and flags in a shell",
		Long: `Print the script by which a shell completes gatehouse's commands and flags with
the tab key. SHELL is bash, fish, powershell or zsh.`,
		Example: `  # bash, for this session; put the line into ~/.bashrc to keep it
  source <(gatehouse completion bash)

  # zsh
  gatehouse completion zsh > "${fpath[1]}/_gatehouse"

  # fish
  gatehouse completion fish > ~/.config/fish/completions/gatehouse.fish

  # PowerShell
  gatehouse completion powershell | Out-String | Invoke-Expression`,
		Args:      takes("SHELL"),
		ValidArgs: shells,
		RunE: func(command *cobra.Command, args []string) error {
			root := command.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(term.out, true)
			case "fish":
				return root.GenFishCompletion(term.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(term.out)
			case "zsh":
				return root.GenZshCompletion(term.out)
			}
			try := "gatehouse completion bash"
			if hint := config.DidYouMean(args[0], shells); hint != "" {
				try = "gatehouse completion " + meant(hint)
			}
			return misused(try, "there is no completion for %q; there is for %s", args[0], strings.Join(shells, ", "))
		},
	}
}
