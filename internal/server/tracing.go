package server

import (
	"context"
	"fmt"
	"log/slog"

	"gatehouse/internal/endpoint"
	"gatehouse/internal/tracing"
)

// openTracer opens the tracer that the configuration asks for, if it does.
func (s *Server) openTracer(ctx context.Context) error {
	t := s.config.Tracing
	if t.Endpoint == "" {
		return nil
	}
	roots, err := s.config.roots()
	if err != nil {
		return err
	}
	s.tracer, err = tracing.Open(ctx, tracing.Config{
		Endpoint: t.Endpoint, Sample: t.share(), TrustIncoming: t.TrustIncoming, RootCAs: roots, Version: BuildVersion(), Log: s.log,
	})
	if err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	s.log = slog.New(tracing.LogHandler(s.log.Handler()))
	return nil
}

func (s *Server) closeTracer() {
	if s.tracer != nil {
		s.tracer.Close()
	}
}

// told joins those who want to know how requests were answered; nil when
// nobody does.
func (s *Server) told(count func(endpoint.Answer)) func(context.Context, endpoint.Answer) {
	switch {
	case s.tracer == nil && count == nil:
		return nil
	case s.tracer == nil:
		return func(_ context.Context, a endpoint.Answer) { count(a) }
	}
	return func(ctx context.Context, a endpoint.Answer) {
		if count != nil {
			count(a)
		}
		tracing.Answered(ctx, tracing.Answer{
			Endpoint: a.Endpoint, Method: a.Method, Tenant: string(a.Tenant), RequestID: a.ID, ClientID: a.Note("client_id"), Status: a.Status,
		})
	}
}
