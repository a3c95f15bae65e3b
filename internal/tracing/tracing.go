package tracing

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// exportTimeout bounds one delivery to the collector, closeTimeout what is
	// delivered at the end.
	exportTimeout = 10 * time.Second
	closeTimeout  = 5 * time.Second
	// queued is how many spans wait for the collector. The ones that come when
	// it is full are dropped.
	queued = 4096
	// tracesPath is where a collector takes traces (OTLP 1.0, OTLP/HTTP).
	tracesPath = "/v1/traces"
)

// Config says where spans go and which.
type Config struct {
	// Endpoint is the URL of a collector that takes OTLP over HTTP.
	Endpoint string
	// Sample is the share of requests that are traced, above 0 and up to 1.
	Sample float64
	// TrustIncoming continues the traces that callers name in the traceparent
	// header. Otherwise callers choose neither ids nor what is traced.
	TrustIncoming bool
	// RootCAs are trusted for the endpoint; the system's when nil.
	RootCAs *x509.CertPool
	Version string
	Log     *slog.Logger
}

// CheckEndpoint says what keeps a text from being a collector's URL; the
// sentence of the error begins with "must".
func CheckEndpoint(text string) error {
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return errors.New("must be the http or https URL of a collector, such as http://127.0.0.1:4318")
	}
	if endpoint.User != nil || endpoint.RawQuery != "" || endpoint.Fragment != "" {
		return errors.New("must have no user, query or fragment")
	}
	return nil
}

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	incoming propagation.TextMapPropagator // nil when nobody is believed
	log      *slog.Logger
}

// Open starts to deliver spans to the collector, which need not answer yet.
// The tracer is to be closed.
func Open(ctx context.Context, config Config) (*Tracer, error) {
	if err := CheckEndpoint(config.Endpoint); err != nil {
		return nil, fmt.Errorf("the endpoint %w", err)
	}
	endpoint, err := url.Parse(config.Endpoint)
	if err != nil {
		return nil, err
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = tracesPath
	}
	exporter, err := otlptrace.New(ctx, newCollector(endpoint.String(), config.RootCAs))
	if err != nil {
		return nil, fmt.Errorf("open the collector: %w", err)
	}
	patient := &patientExporter{SpanExporter: exporter, log: config.Log}
	return open(config, sdk.NewBatchSpanProcessor(patient, sdk.WithMaxQueueSize(queued), sdk.WithExportTimeout(exportTimeout))), nil
}

func open(config Config, processor sdk.SpanProcessor) *Tracer {
	sampler := sdk.TraceIDRatioBased(config.Sample)
	t := &Tracer{log: config.Log}
	if config.TrustIncoming {
		sampler = sdk.ParentBased(sampler)
		t.incoming = propagation.TraceContext{}
	}
	t.provider = sdk.NewTracerProvider(sdk.WithSpanProcessor(processor), sdk.WithSampler(sampler), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", "gatehouse"), attribute.String("service.version", config.Version))))
	t.tracer = t.provider.Tracer("gatehouse")
	return t
}

// Close delivers what waits, for a few seconds at most. What cannot be
// delivered is lost, which the log says.
func (t *Tracer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were lost: the collector does not take them", "error", err)
	}
}

// Handler gives every request of next a span, which Answered and Refused fill.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if t.incoming != nil {
			ctx = t.incoming.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Answer is what a request's span says.
type Answer struct {
	Endpoint, Method, Tenant, RequestID, ClientID string
	Status                                        int
}

// Answered fills the span of the request to which ctx belongs.
func Answered(ctx context.Context, a Answer) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if a.Endpoint != "" {
		span.SetName(a.Endpoint)
	}
	span.SetAttributes(
		attribute.String("http.request.method", knownMethod(a.Method)), attribute.Int("http.response.status_code", a.Status),
		attribute.String("gatehouse.endpoint", a.Endpoint), attribute.String("gatehouse.tenant", a.Tenant), attribute.String("gatehouse.request", a.RequestID),
	)
	if a.ClientID != "" {
		span.SetAttributes(attribute.String("gatehouse.client_id", a.ClientID))
	}
	if a.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

// Refused notes the rule by which the request was refused, and the refusal's
// id, which `gatehouse explain` knows.
func Refused(ctx context.Context, rule, id string) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("gatehouse.rule", rule), attribute.String("gatehouse.refusal", id))
}

// knownMethod keeps methods that a stranger invented out of the names that a
// collector indexes.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "_OTHER"
}

// Act begins the span of an act of the database below that of the request, if
// there is one. end is to be called with the act's error.
func (t *Tracer) Act(ctx context.Context, what string) (_ context.Context, end func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() { // of no request, or of one that is not traced
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, "database: "+what, trace.WithSpanKind(trace.SpanKindInternal))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
