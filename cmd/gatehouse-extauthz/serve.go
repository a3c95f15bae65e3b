package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"gatehouse/gateway/extauthz"
	"gatehouse/internal/gate"
)

// Bounds of a listener.
const (
	defaultShutdown = 30 * time.Second
	maxQuestion     = 256 << 10 // bytes; Envoy tells headers of 60 KiB at most
	maxStreams      = 1000      // questions of one connection under way
	handshakeTime   = 5 * time.Second
	idleTime        = 10 * time.Minute
)

// serve answers Envoy until ctx ends, and then lets questions under way finish.
func serve(ctx context.Context, file string, environ []string, logTo io.Writer) error {
	config, err := gate.Load(file, environ)
	if err == nil {
		err = config.Check()
	}
	if err != nil {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	if config.Decisions.ExtAuthzListen == "" {
		return errors.New("decisions.ext_authz_listen is missing: an address such as 127.0.0.1:8062, at which Envoy asks")
	}
	log := config.Log.Logger(logTo)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.Decisions.ExtAuthzListen)
	if err != nil {
		return fmt.Errorf("decisions.ext_authz_listen: %w", err)
	}
	g, err := gate.Open(ctx, config, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return errors.Join(answer(ctx, config, g, listener, log), g.Close())
}

func answer(ctx context.Context, config gate.Config, g *gate.Gate, listener net.Listener, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxQuestion), grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTime}),
	}
	secure, err := config.Decisions.TLS.Listener(log)
	if err == nil && secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure)))
	}
	var checks *extauthz.Server
	if err == nil {
		proxies, identity := g.Asking()
		checks, err = extauthz.New(g.Gateway(), extauthz.Config{Proxies: proxies, Identity: identity, Logger: log})
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server, healthy := grpc.NewServer(options...), health.NewServer()
	healthy.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	authv3.RegisterAuthorizationServer(server, checks)
	healthv1.RegisterHealthServer(server, healthy)
	log.Info("deciding for Envoy", "address", listener.Addr().String(), "routes", len(g.Routes()))

	done := make(chan struct{})
	go func() {
		defer close(done)
		ready(ctx, g, healthy)
		<-ctx.Done()
		healthy.Shutdown()
		timeout := config.ShutdownTimeout.Std()
		if timeout == 0 {
			timeout = defaultShutdown
		}
		cut := time.AfterFunc(timeout, server.Stop)
		server.GracefulStop()
		cut.Stop()
	}()
	err = server.Serve(listener)
	stop()
	<-done
	log.Info("stopped")
	return err
}

// ready tells the health service once all that the start waits for is there.
func ready(ctx context.Context, g *gate.Gate, healthy *health.Server) {
	if g.WaitReady(ctx) == nil {
		healthy.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	}
}
