package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/internal/gate"
)

const everyGatewaySetting = "docs/gateway.example.yaml names every setting"

func gatewayCommand(term terminal) *cobra.Command {
	file, check := "", false
	command := &cobra.Command{
		Use:   "gateway",
		Short: "Run a gateway: an enforcing reverse proxy in front of APIs",
		Long: `Run a gateway until it is interrupted (SIGINT, SIGTERM): it lets a request
through if a route says so and its access token is right, and tells the API
behind it who asks. Requests under way may finish; streams end.

With decisions.listen it also decides for other proxies: nginx (auth_request),
Traefik (ForwardAuth) and Caddy (forward_auth) ask at /decide. Without listen it
does only that.

FILE is YAML: docs/gateway.example.yaml names every setting, and
docs/gateway-command.md explains them. Each setting that is one value has an
environment variable, which wins: decisions.listen is
GATEHOUSE_GATEWAY_DECISIONS_LISTEN.

With --check nothing is served: what the configuration names is looked at, the
files, the issuers and the upstreams, and what is wrong is said. "gatehouse
gateway check" also explains the decision about a single request.

Logs go to standard error, with one line for each decision. They never hold
tokens or secrets.`,
		Example: `  gatehouse gateway --config gateway.yaml --check
  gatehouse gateway --config gateway.yaml`,
		Args: noSuchCommand,
		RunE: func(command *cobra.Command, _ []string) error {
			config, err := loadGateway(file)
			if err != nil {
				return err
			}
			if check {
				return checkGateway(command.Context(), term, file, config)
			}
			return serveGateway(command.Context(), config, config.Log.Logger(term.err))
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	command.Flags().BoolVar(&check, "check", false, "look at what the configuration names, and stop")
	command.AddCommand(gatewayCheckCommand(term), gatewayRoutesCommand(term))
	return command
}

// loadGateway reads a configuration that Check accepts.
func loadGateway(file string) (gate.Config, error) {
	if file == "" {
		return gate.Config{}, misused("gatehouse gateway --config gateway.yaml", "which configuration? --config was not given")
	}
	config, err := gate.Load(file, os.Environ())
	if errors.Is(err, fs.ErrNotExist) {
		return config, failed("docs/gateway.example.yaml shows what goes into one", "there is no file %s", file)
	}
	if err == nil {
		err = config.Check()
	}
	if err != nil {
		return config, refusedList("the configuration cannot be used", everyGatewaySetting, err)
	}
	return config, nil
}

func checkGateway(ctx context.Context, term terminal, file string, config gate.Config) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return report(term, file+" is understood", gate.Examine(ctx, config))
}

func serveGateway(ctx context.Context, config gate.Config, log *slog.Logger) error {
	var listeners [2]net.Listener
	stop := func(err error) error { // before anything is served
		for _, one := range listeners {
			if one != nil {
				_ = one.Close()
			}
		}
		if ctx.Err() != nil { // wanting to stop is no failure
			return nil
		}
		return err
	}
	public, decisions := config.Addresses()
	for i, at := range []struct{ address, setting, another string }{
		{public, "listen", "GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:8062"},
		{decisions, "decisions.listen", "GATEHOUSE_GATEWAY_DECISIONS_LISTEN=127.0.0.1:8063"},
	} {
		if at.address == "" {
			continue
		}
		listener, err := listen(ctx, at.address, at.setting, at.another)
		if err != nil {
			return stop(err)
		}
		listeners[i] = listener
	}
	running, err := gate.Open(ctx, config, log)
	if err != nil {
		return stop(refusedList("the gateway cannot start", "gatehouse gateway --check", err))
	}
	for i, what := range []string{"serving", "deciding"} {
		if listeners[i] != nil {
			log.Info(what, "address", listeners[i].Addr().String(), "routes", len(running.Routes()))
		}
	}
	if at := config.Decisions.ExtAuthzListen; at != "" {
		log.Info("Envoy is answered by the program gatehouse-extauthz", "address", at)
	}
	err = running.Serve(ctx, listeners[0], listeners[1])
	if closeErr := running.Close(); err == nil {
		err = closeErr
	}
	log.Info("stopped")
	return err
}

func gatewayRoutesCommand(term terminal) *cobra.Command {
	file, asJSON := "", false
	command := &cobra.Command{
		Use:   "routes",
		Short: "List a gateway's routes, those of OpenAPI descriptions included",
		Long: `List the routes of a configuration: what may be asked for, by whom, and where it
goes. The operations of OpenAPI descriptions are among them. Nobody is asked.`,
		Example: `  gatehouse gateway routes --config gateway.yaml
  gatehouse gateway routes --config gateway.yaml --json`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			config, err := loadGateway(file)
			if err != nil {
				return err
			}
			routes, err := config.AllRoutes()
			if err != nil {
				return err
			}
			type line struct {
				Name           string   `json:"name"`
				Methods        []string `json:"methods"`
				Hosts          []string `json:"hosts"`
				Path           string   `json:"path"`
				Public         bool     `json:"public"`
				Authentication string   `json:"authentication,omitempty"`
				Scopes         []string `json:"scopes"`
				Upstream       string   `json:"upstream,omitempty"`
			}
			lines := make([]line, 0, len(routes))
			rows := [][]string{{"ROUTE", "METHODS", "HOSTS", "PATH", "WHO", "UPSTREAM"}}
			for _, r := range routes {
				lines = append(lines, line{r.Name, list(r.Match.Methods), list(r.Match.Hosts), r.Match.Path, r.Public, r.Authentication, list(r.Needs.Scopes), r.Upstream})
				who := "everybody"
				if !r.Public {
					who = strings.TrimSpace(fmt.Sprintf("%s %s", r.Authentication, strings.Join(r.Needs.Scopes, " ")))
				}
				rows = append(rows, []string{r.Name, orAny(r.Match.Methods), orAny(r.Match.Hosts), r.Match.Path, who, r.Upstream})
			}
			if asJSON {
				return printJSON(term.out, lines)
			}
			return table(term.out, rows)
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	jsonFlag(command, &asJSON, "print the routes as one JSON document")
	return command
}

// list is a list also in JSON when there is nothing in it.
func list(texts []string) []string { return append([]string{}, texts...) }

func orAny(texts []string) string {
	if len(texts) == 0 {
		return "any"
	}
	return strings.Join(texts, " ")
}
