package main

import (
	"github.com/spf13/cobra"

	"gatehouse/internal/dev"
)

const (
	defaultDevPort = 8080
	maxPort        = 65535
)

func devCommand(term terminal) *cobra.Command {
	options := dev.Options{Stdout: term.out, Stderr: term.err}
	command := &cobra.Command{
		Use:   "dev",
		Short: "Try it: a server with demo users, ready clients, sample APIs, an application and a playground",
		Long: `Run the whole picture on this machine: the authorization server with two demo
users and ready clients; a protected sample API, and a second one that it calls
with exchanged tokens over mutual TLS; a gateway in front of them; a single-page
application with a backend for frontend; and a playground that walks through an
authorization in the browser. It prints the addresses, the passwords, and a curl
line that yields a token.

It listens on loopback addresses only and keeps nothing: the data is temporary
unless --data names a directory. The demo passwords are known to everybody; do
not use such data for anything else.

A directory for --data keeps the addresses, too: the server comes back at the
port it had (an explicit --port other than 0 moves it), and so does the rest.
The sample API's resource identifier never changes. What was issued before goes
on to work.

--apply adds a tenant file of your own, --redirect-uri a callback of the
application that you are working on. --json prints one line on standard output
once everything answers, for scripts.`,
		Example: `  gatehouse dev
  gatehouse dev --port 9000 --data ./dev-data
  gatehouse dev --redirect-uri http://127.0.0.1:3000/callback
  gatehouse dev --port 0 --json`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			if options.Port < 0 || options.Port > maxPort {
				return misused("gatehouse dev --port 0, which picks a free one", "--port must be 0 to %d", maxPort)
			}
			options.Version = readBuild().Version
			options.PortGiven = command.Flags().Changed("port")
			return busyHouse(dev.Run(command.Context(), options), "stop that one, or gatehouse dev --port 0 with another directory for --data, or with none")
		},
	}
	flags := command.Flags()
	flags.IntVar(&options.Port, "port", defaultDevPort, "the server's `PORT`; 0 picks a free one")
	flags.StringVar(&options.Data, "data", "", "keep the data in this `DIR`")
	flags.StringVar(&options.Apply, "apply", "", "apply this tenant `FILE` as well")
	flags.StringArrayVar(&options.RedirectURIs, "redirect-uri", nil, "a callback `URL` for the demo clients; may be repeated")
	flags.BoolVar(&options.JSON, "json", false, "print one JSON line once everything answers")
	return command
}
