package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"gatehouse/internal/server"
)

// defaultListen is where serve listens when nothing says otherwise.
const defaultListen = "127.0.0.1:8080"

// ballastBytes is memory that is held and never touched, so that the system has
// no page for it. The garbage collector runs when as much was allocated as is
// held: beside it, some megabytes of clients and keys would have it run dozens
// of times a second. A percentage (GOGC) would multiply what passwords take, too.
const ballastBytes = 16 << 20

func serveCommand(term terminal) *cobra.Command {
	file := ""
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the authorization server",
		Long: `Run the authorization server until it is interrupted (SIGINT, SIGTERM); requests
under way may finish.

FILE is YAML with the settings of the process: where to listen, the public URL,
where the data is. docs/gatehouse.example.yaml names all of them. Each has an
environment variable too, which wins: tls.certificate is
GATEHOUSE_TLS_CERTIFICATE. Without --config the variables alone are read; the
least are GATEHOUSE_PUBLIC_URL and GATEHOUSE_DATA.

The first start makes the data directory, the database and the key file. Back
up the key file apart from the database: without it the signing keys are lost.

Logs go to standard error.`,
		Example: `  gatehouse serve --config gatehouse.yaml
  GATEHOUSE_PUBLIC_URL=http://localhost:8080 GATEHOUSE_DATA=./data gatehouse serve`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			if file == "" && os.Getenv("GATEHOUSE_PUBLIC_URL") == "" {
				return misused("gatehouse serve --config gatehouse.yaml, or gatehouse dev to look around", "which configuration? --config was not given")
			}
			process, err := loadProcess(file)
			if err != nil {
				return err
			}
			if err := process.Check(); err != nil {
				return refusedList("the configuration cannot be used", "docs/gatehouse.example.yaml names every setting", err)
			}
			return serve(command.Context(), process, process.Log.Logger(term.err))
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	return command
}

func serve(ctx context.Context, process server.Config, log *slog.Logger) error {
	if process.Listen == "" {
		process.Listen = defaultListen
	}
	// The directory and the address are looked at first, so that a second
	// server stops before it touches anything.
	if process.Data != "" {
		if err := server.CheckIdle(ctx, process.Data); err != nil {
			return busyHouse(err, "stop that one, or give this one a data directory of its own")
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", process.Listen)
	switch {
	case err != nil && ctx.Err() != nil: // wanting to stop is no failure
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return failed("another address in listen, or GATEHOUSE_LISTEN=127.0.0.1:8081", "another program listens on %s", process.Listen)
	case errors.Is(err, syscall.EACCES):
		return failed("a port from 1024 up in listen, or give the program the right to the port", "this user may not listen on %s", process.Listen)
	case err != nil:
		return failed("an address such as 127.0.0.1:8080 in listen", "%s", err)
	}
	running, err := server.Open(ctx, process, log)
	if err != nil {
		_ = listener.Close()
		if ctx.Err() != nil { // perhaps while it made its first keys
			log.Info("stopped")
			return nil
		}
		return refusedList("the server cannot start", "", err)
	}
	if process.InsecureAllowHTTP {
		log.Warn("weakened", "setting", "insecure_allow_http", "means", "people's passwords and tokens may travel in clear")
	}
	log.Info("serving", "address", listener.Addr().String(), "issuer", process.PublicURL, "data", process.Data)
	ballast := make([]byte, ballastBytes)
	err = running.Serve(ctx, listener)
	runtime.KeepAlive(ballast)
	if closeErr := running.Close(); err == nil {
		err = closeErr
	}
	log.Info("stopped")
	return busyHouse(err, "stop that one, or give this one a data directory of its own")
}

// busyHouse adds what to do to the error that another server serves from the
// data directory.
func busyHouse(err error, try string) error {
	if busy, known := errors.AsType[*server.BusyError](err); known {
		return failed(try, "%s", busy)
	}
	return err
}
