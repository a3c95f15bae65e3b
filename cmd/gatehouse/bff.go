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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/internal/front"
	"gatehouse/internal/process"
)

const everyBFFSetting = "docs/bff.example.yaml names every setting"

func bffCommand(term terminal) *cobra.Command {
	file, check := "", false
	command := &cobra.Command{
		Use:   "bff",
		Short: "Run a backend for frontend: sessions in front of APIs",
		Long: `Run a backend for frontend until it is interrupted (SIGINT, SIGTERM): it
serves a single-page application, signs people in at any OpenID Provider, keeps
their tokens, gives the browser a cookie, and passes API calls on with the
token. Requests under way may finish; streams end.

FILE is YAML: docs/bff.example.yaml names every setting, and docs/bff.md
explains them. Each setting that is one value has an environment variable,
which wins: sessions.key_file is GATEHOUSE_BFF_SESSIONS_KEY_FILE.

With --check nothing is served: what the configuration names is looked at, the
files, the store and the issuers, and what is wrong is said.

Logs go to standard error. They never hold tokens, codes, secrets or cookies.`,
		Example: `  gatehouse bff --config bff.yaml --check
  gatehouse bff --config bff.yaml`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			if file == "" {
				return misused("gatehouse bff --config bff.yaml", "which configuration? --config was not given")
			}
			config, err := loadBFF(file)
			if err != nil {
				return err
			}
			if check {
				return checkBFF(command.Context(), term, file, config)
			}
			return serveBFF(command.Context(), config, config.Log.Logger(term.err))
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	command.Flags().BoolVar(&check, "check", false, "look at what the configuration names, and stop")
	return command
}

func loadBFF(file string) (front.Config, error) {
	config, err := front.Load(file, os.Environ())
	if errors.Is(err, fs.ErrNotExist) {
		return config, failed("docs/bff.example.yaml shows what goes into one", "there is no file %s", file)
	}
	if err == nil {
		err = config.Check()
	}
	if err != nil {
		return config, refusedList("the configuration cannot be used", everyBFFSetting, err)
	}
	return config, nil
}

// checkTime bounds all of what --check asks.
const checkTime = 30 * time.Second

// checkBFF says of each thing that a configuration names whether it is there.
func checkBFF(ctx context.Context, term terminal, file string, config front.Config) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return report(term, fmt.Sprintf("%s is understood; browsers reach the application at %s", file, config.URL), front.Examine(ctx, config))
}

// report prints what a look at a configuration has found, and fails if something is
// broken.
func report(term terminal, understood string, all process.Findings) error {
	e := &examination{now: time.Now()}
	e.ok("configuration", "%s", understood)
	for _, found := range all {
		switch {
		case found.Err != nil:
			e.failAll(found.About, found.Do, found.Err)
		case found.Weak != "":
			e.warn(found.About, found.Do, "%s", found.Weak)
		default:
			e.ok(found.About, "%s", found.OK)
		}
	}
	if err := e.print(term.out, false); err != nil {
		return err
	}
	if broken := e.count(failing); broken > 0 {
		return failed("mend what is marked fail, then the same command again", "%d of %d checks failed", broken, len(e.findings))
	}
	return nil
}

// listen listens at the address of a setting; another is an example of one.
func listen(ctx context.Context, address, setting, another string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, failed("another address in "+setting+", or "+another, "another program listens on %s", address)
	case errors.Is(err, syscall.EACCES):
		return nil, failed("a port from 1024 up in "+setting+", or give the program the right to the port", "this user may not listen on %s", address)
	case err != nil:
		_, example, _ := strings.Cut(another, "=")
		return nil, failed("an address such as "+example+" in "+setting, "%s", err)
	}
	return listener, nil
}

func serveBFF(ctx context.Context, config front.Config, log *slog.Logger) error {
	if config.Listen == "" {
		config.Listen = front.DefaultListen
	}
	listener, err := listen(ctx, config.Listen, "listen", "GATEHOUSE_BFF_LISTEN=127.0.0.1:8071")
	if err != nil {
		if ctx.Err() != nil { // wanting to stop is no failure
			return nil
		}
		return err
	}
	running, err := front.Open(ctx, config, log)
	if err != nil {
		_ = listener.Close()
		if ctx.Err() != nil {
			return nil
		}
		return refusedList("the backend for frontend cannot start", "gatehouse bff --check", err)
	}
	if config.InsecureAllowHTTP {
		log.Warn("weakened", "setting", "insecure_allow_http", "means", "people's sessions may travel in clear")
	}
	log.Info("serving", "address", listener.Addr().String(), "url", config.URL)
	err = running.Serve(ctx, listener)
	if closeErr := running.Close(); err == nil {
		err = closeErr
	}
	log.Info("stopped")
	return err
}
