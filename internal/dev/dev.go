package dev

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/internal/config"
	"gatehouse/internal/server"
)

// Options say how the stage is set.
type Options struct {
	// Port of the issuer; what else is on the stage takes the next ones where
	// they are free. 0 takes free ports for all.
	Port int
	// PortGiven says that a person chose Port. Otherwise, and for port 0, the
	// stage is where it was when it last ran on Data.
	PortGiven bool
	// Data is a directory that is kept, made if need be, and with it the
	// addresses of the stage; "" keeps nothing.
	Data string
	// Apply names a tenant file that is put on top of the demonstration.
	Apply string
	// RedirectURIs are added to those of the clients web and spa.
	RedirectURIs []string
	// JSON prints one line instead of the text.
	JSON   bool
	Stdout io.Writer
	// Stderr takes the log.
	Stderr  io.Writer
	Version string
}

const (
	// hashMemoryMiB is the memory of a password hash in dev mode: the least
	// that the server admits, so that the first start is quick.
	hashMemoryMiB = 19
	hashPasses    = 2

	shutdownTimeout   = 2 * time.Second
	readHeaderTimeout = 5 * time.Second
	answerTimeout     = 10 * time.Second
)

// Run sets the stage, prints what stands on it once everything answers, and
// keeps it until ctx ends, which is no error. Its errors tell a person what
// to type instead.
func Run(ctx context.Context, o Options) (err error) {
	own, err := readOwn(o)
	if err != nil {
		return err
	}
	data, removeData, err := dataDirectory(o.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeData()) }()
	if err := server.CheckIdle(ctx, data); err != nil {
		return err
	}
	kept, err := readNote(data)
	if err != nil {
		return err
	}
	doors, err := listen(ctx, wish{port: o.Port, given: o.PortGiven, last: kept.Ports, data: o.Data})
	if err != nil {
		return err
	}
	defer doors.close()
	at := doors.urls()
	if kept.API == "" {
		kept.API = at.api
	}
	kept.Ports = doors.ports()
	at.apiIdentifier = kept.API
	log := slog.New(slog.NewTextHandler(o.Stderr, nil))
	issuer, err := server.Open(ctx, server.Config{
		PublicURL: at.issuer, Data: data,
		PasswordHashing: server.PasswordHashing{MemoryMiB: hashMemoryMiB, Passes: hashPasses},
		ShutdownTimeout: config.Duration(shutdownTimeout),
		// The backend for frontend hears of sign-outs, though it is on this machine.
		Egress: server.Egress{Allow: []string{strings.TrimPrefix(at.bff, "http://")}},
	}, log)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer func() { err = errors.Join(err, issuer.Close()) }()
	ready := Ready{
		Issuer: at.issuer, Playground: at.playground, API: at.api, BFF: at.bff, Gateway: at.gateway, Thumbnails: at.thumbnails,
		Data: data, Temporary: o.Data == "", Version: o.Version,
	}
	if at.apiIdentifier != at.api {
		ready.APIResource = at.apiIdentifier
	}
	if err := furnish(ctx, issuer, data, kept, own, at, &ready); err != nil {
		return unlessEnded(ctx, err)
	}
	return perform(ctx, o, doors, at, issuer, ready, log)
}

// perform serves until ctx ends or one of the servers fails.
func perform(ctx context.Context, o Options, doors listeners, at urls, issuer *server.Server, ready Ready, log *slog.Logger) error {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: answerTimeout}
	group, ctx := errgroup.WithContext(ctx)
	cast, err := newCast(ctx, at, ready, client, log)
	if err != nil {
		return unlessEnded(ctx, err)
	}
	defer cast.close()
	refused := make(chan struct{})
	group.Go(func() error {
		defer close(refused)
		return issuer.Serve(ctx, doors.issuer)
	})
	group.Go(func() error { return serve(ctx, doors.playground, cast.playground, log, nil) })
	group.Go(func() error { return serve(ctx, doors.api, cast.photos, log, nil) })
	group.Go(func() error {
		return serve(ctx, tls.NewListener(doors.thumbnails, cast.mutual.Server), cast.thumbnails, log, nil)
	})
	group.Go(func() error { return serve(ctx, doors.gateway, cast.gateway, log, cast.gateway.EndStreams) })
	group.Go(func() error { return serve(ctx, doors.bff, cast.bff, log, cast.bff.EndStreams) })
	group.Go(func() error {
		for _, address := range []string{at.issuer + "/readyz", at.playground + "/", at.api + "/", at.gateway + "/", at.bff + "/"} {
			if err := answers(ctx, client, address); err != nil {
				select {
				case <-refused: // its own error says why nobody answers
					return nil
				case <-time.After(shutdownTimeout):
					return unlessEnded(ctx, err)
				}
			}
		}
		return announce(o, ready)
	})
	return group.Wait()
}

// serve answers on the listener until ctx ends, which stopping, if there is one, is
// told of.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, stopping func()) error {
	s := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		if stopping != nil {
			stopping()
		}
		patience, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if s.Shutdown(patience) != nil {
			_ = s.Close()
		}
	})
	err := s.Serve(listener)
	if stop() || !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}

// answers asks once. The door is open already, so that the question waits for
// its answer.
func answers(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}

func announce(o Options, ready Ready) error {
	text := []byte(ready.Text(wantsColour(o.Stdout)))
	if o.JSON {
		var err error
		if text, err = ready.Line(); err != nil {
			return err
		}
	}
	_, err := o.Stdout.Write(text)
	return err
}

// unlessEnded drops the error of work that was cut off because the person
// wanted to stop.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// dataDirectory returns the directory for the data and the function that
// removes what shall not stay.
func dataDirectory(kept string) (directory string, remove func() error, err error) {
	if kept != "" {
		if directory, err = filepath.Abs(kept); err == nil {
			err = os.MkdirAll(directory, 0o700)
		}
		if err != nil {
			return "", nil, fmt.Errorf("--data %s: %w", kept, err)
		}
		return directory, func() error { return nil }, nil
	}
	if directory, err = os.MkdirTemp("", "gatehouse-dev-"); err != nil { // mode 0700
		return "", nil, fmt.Errorf("cannot make a directory for temporary data: %w", err)
	}
	return directory, func() error { return os.RemoveAll(directory) }, nil
}
