// Command gatehouse-extauthz decides about requests for Envoy: it answers the filter
// ext_authz (gRPC, v3) by the configuration of `gatehouse gateway`.
//
//	gatehouse-extauthz --config gateway.yaml
//
// It is a program of its own, so that gatehouse is built without gRPC and Envoy's messages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes, as those of gatehouse.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `usage: gatehouse-extauthz --config FILE

Answer Envoy's filter ext_authz (gRPC, v3) at decisions.ext_authz_listen, by the
configuration of "gatehouse gateway", until it is interrupted (SIGINT, SIGTERM).
FILE is YAML: docs/gateway.example.yaml names every setting, and
docs/gateway-command.md shows what Envoy needs. Those in decisions.proxies may ask.
"gatehouse gateway check" explains the decisions.

Exit codes: 0 all is well, 1 the command failed, 2 it was typed wrongly.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("gatehouse-extauthz", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return exitOK
	case err != nil:
		fmt.Fprintf(errOut, "gatehouse-extauthz: %v\n%s", err, usage)
		return exitUsage
	case *file == "" || flags.NArg() > 0:
		fmt.Fprint(errOut, "gatehouse-extauthz: which configuration? --config FILE and nothing else is needed\n"+usage)
		return exitUsage
	}
	if err := serve(ctx, *file, os.Environ(), errOut); err != nil && ctx.Err() == nil {
		fmt.Fprintln(errOut, "gatehouse-extauthz:", err)
		return exitFailed
	}
	return exitOK
}
