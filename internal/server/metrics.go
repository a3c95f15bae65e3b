package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"

	"gatehouse"
	"gatehouse/authserver"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/metrics"
	"gatehouse/internal/store"
	"gatehouse/internal/tracing"
	"gatehouse/oauth"
)

// newMetrics makes what counts, or nil when nobody reads it.
func (s *Server) newMetrics() *metrics.Metrics {
	if s.config.Metrics.Listen == "" {
		return nil
	}
	config := metrics.Config{
		Version: BuildVersion(), Rules: oauth.RuleNames(), PasswordsWaiting: s.hasher.Waiting,
		Store:       func() metrics.StoreLoad { return metrics.StoreLoad(s.store.Load()) },
		FeedReaders: func() int { return s.protocol.FeedReaders() },
	}
	if s.shared != nil {
		config.CountersShared = s.shared.answers
	}
	return metrics.New(config)
}

// BuildVersion is the version of the program.
func BuildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// answered counts requests, and the tokens among the answers.
func (s *Server) answered(rows []endpoint.Row) func(endpoint.Answer) {
	if s.metrics == nil {
		return nil
	}
	for _, row := range rows {
		s.metrics.Endpoint(row.Name)
	}
	return func(a endpoint.Answer) {
		if a.Endpoint == authserver.FeedEndpoint && a.Status == http.StatusOK {
			s.metrics.Streamed(a.Endpoint, a.Method, a.Status)
		} else {
			s.metrics.Answered(a.Endpoint, a.Method, a.Status, a.Took)
		}
		if a.Endpoint == tokenEndpoint && a.Status == http.StatusOK { // the client is authenticated, the grant type known
			s.metrics.Issued(string(a.Tenant), a.ClientID, a.Note("grant_type"))
		}
		if a.ClientID != "" {
			s.metrics.Outcome(string(a.Tenant), a.ClientID, clientOutcome(a))
		}
	}
}

// clientRefusals are the refusals of authenticated clients that have an outcome
// of their own.
var clientRefusals = map[string]string{
	"client-limited": metrics.ClientLimited, "address-limited": metrics.ClientLimited,
	"code-replayed": metrics.ClientReplayed, "refresh-replayed": metrics.ClientReplayed,
}

func clientOutcome(a endpoint.Answer) string {
	if outcome, known := clientRefusals[a.Rule]; known {
		return outcome
	}
	switch {
	case a.Status == endpoint.StatusLeft:
		return metrics.ClientLeft
	case a.Status >= http.StatusInternalServerError:
		return metrics.ClientFailed
	case a.Rule != "":
		return metrics.ClientRefused
	case a.Note(authserver.OutcomeNote) == authserver.Redelivered:
		return metrics.ClientRedelivered
	}
	return metrics.ClientServed
}

// tokenEndpoint is the name of the token endpoint's row.
const tokenEndpoint = "token"

// loginRefusals are the refusals of a sign-in that has come to its password.
var loginRefusals = map[string]string{
	"login-wrong": metrics.LoginWrong, "login-throttled": metrics.LoginThrottled, "login-address-limited": metrics.LoginThrottled, "login-busy": metrics.LoginBusy,
}

func (s *Server) refused(ctx context.Context, refusal endpoint.Refusal) {
	s.refusals.add(refusal)
	if s.tracer != nil {
		tracing.Refused(ctx, refusal.Error.Rule, refusal.ID)
	}
	if s.metrics == nil {
		return
	}
	s.metrics.Refused(refusal.Error.Rule)
	if outcome, known := loginRefusals[refusal.Error.Rule]; known {
		s.metrics.SignedIn(outcome)
	}
}

// counting is a store whose outcomes are counted.
type counting struct {
	*store.Store
	metrics *metrics.Metrics
}

var refreshOutcomes = map[gatehouse.RotateOutcome]string{
	gatehouse.RotateAccepted: metrics.RefreshRotated, gatehouse.RotateRedelivered: metrics.RefreshRedelivered,
	gatehouse.RotateReplayed: metrics.RefreshReplayed, gatehouse.RotateLostState: metrics.RefreshLostState,
	gatehouse.RotateExpired: metrics.RefreshExpired, gatehouse.RotateEnded: metrics.RefreshEnded, gatehouse.RotateUnknown: metrics.RefreshEnded,
}

func (c counting) RotateRefresh(ctx context.Context, tenant gatehouse.TenantID, rotation gatehouse.Rotation) (gatehouse.Rotated, error) {
	rotated, err := c.Store.RotateRefresh(ctx, tenant, rotation)
	if err == nil && c.metrics != nil {
		c.metrics.Refreshed(refreshOutcomes[rotated.Outcome])
	}
	return rotated, err
}

func (c counting) CreateSession(ctx context.Context, tenant gatehouse.TenantID, hash [32]byte, session gatehouse.Session, replaces *[32]byte, by gatehouse.Circumstance) (bool, error) {
	created, err := c.Store.CreateSession(ctx, tenant, hash, session, replaces, by)
	if created && err == nil && c.metrics != nil {
		c.metrics.SignedIn(metrics.LoginSucceeded)
	}
	return created, err
}

var logoutOutcomes = map[gatehouse.LogoutOutcome]string{
	gatehouse.LogoutDelivered: metrics.LogoutDelivered, gatehouse.LogoutFailed: metrics.LogoutFailed, gatehouse.LogoutGivenUp: metrics.LogoutGivenUp,
}

// toldLogout counts what became of an attempt to tell a client of a logout.
func (s *Server) toldLogout(outcome gatehouse.LogoutOutcome) {
	if s.metrics != nil {
		s.metrics.LogoutTold(logoutOutcomes[outcome])
	}
}

// metricsListener listens where the metrics are read; nil when nowhere.
func (s *Server) metricsListener(ctx context.Context) (net.Listener, error) {
	return s.config.Metrics.Open(ctx, s.log)
}

// Open listens where the metrics are read; nil when nowhere.
func (m Metrics) Open(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	if m.Listen == "" {
		return nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", m.Listen)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	log.Info("metrics are read at", "address", listener.Addr().String())
	return listener, nil
}

// Check says what is wrong with the setting; public are the addresses that strangers
// reach.
func (m Metrics) Check(public ...string) error {
	if _, _, err := net.SplitHostPort(m.Listen); m.Listen != "" && err != nil {
		return errors.New("metrics.listen must be host:port, such as 127.0.0.1:9464")
	}
	if m.Listen != "" && slices.Contains(public, m.Listen) {
		return errors.New("metrics.listen must differ from listen: what is public must not show the metrics")
	}
	return nil
}

// MetricsHandler serves the page of metrics, at whatever path; nothing where
// nobody reads them.
func (s *Server) MetricsHandler() http.Handler {
	if s.metrics == nil {
		return http.NotFoundHandler()
	}
	return s.metrics.Handler()
}

// serveMetrics answers /metrics, and nothing else, until ctx ends.
func (s *Server) serveMetrics(ctx context.Context, listener net.Listener) {
	serveMetrics(ctx, listener, s.MetricsHandler(), s.limits, s.log)
}

// Serve answers /metrics on the listener with the page, and nothing else, until ctx ends.
// Without a listener it does nothing.
func (m Metrics) Serve(ctx context.Context, listener net.Listener, page http.Handler, log *slog.Logger) {
	serveMetrics(ctx, listener, page, defaultLimits(), log)
}

func serveMetrics(ctx context.Context, listener net.Listener, page http.Handler, limits listenerLimits, log *slog.Logger) {
	if listener == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: limits.readHeader, ReadTimeout: limits.read, WriteTimeout: limits.write, IdleTimeout: limits.idle, MaxHeaderBytes: maxHeaderBytes}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Error("the metrics cannot be read any more", "error", err)
	}
}
