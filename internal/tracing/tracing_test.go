package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// traced serves one request through a tracer and returns its spans, the last to end last, and its log.
func traced(t *testing.T, config Config, r *http.Request, serve func(*Tracer, context.Context)) (tracetest.SpanStubs, string) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	tracer := open(config, sdk.NewSimpleSpanProcessor(spans))
	var lines bytes.Buffer
	log := slog.New(LogHandler(slog.NewTextHandler(&lines, nil))).With("server", "one")
	tracer.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		serve(tracer, r.Context())
		log.InfoContext(r.Context(), "served")
	})).ServeHTTP(httptest.NewRecorder(), r)
	stubs := spans.GetSpans()
	tracer.Close()
	return stubs, lines.String()
}

func attributes(stub tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range stub.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestARequestAndItsActs(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/token?code=secret", strings.NewReader("client_secret=secret"))
	stubs, log := traced(t, Config{Sample: 1, Version: "v1"}, r, func(tracer *Tracer, ctx context.Context) {
		_, end := tracer.Act(ctx, "reading a client")
		end(nil)
		_, end = tracer.Act(ctx, "issuing a code")
		end(errors.New("no space at /var/lib/secret"))
		Refused(ctx, "client-unknown", "client-unknown.abcdefgh")
		Answered(ctx, Answer{Endpoint: "token", Method: "POST", Tenant: "blue", RequestID: "R1", ClientID: "web", Status: 503})
	})
	if len(stubs) != 3 {
		t.Fatalf("%d spans", len(stubs))
	}
	read, issue, request := stubs[0], stubs[1], stubs[2]
	if read.Name != "database: reading a client" || read.Status.Code != codes.Unset || read.Parent.SpanID() != request.SpanContext.SpanID() {
		t.Errorf("%+v", read)
	}
	if issue.Name != "database: issuing a code" || issue.Status.Code != codes.Error || issue.Status.Description != "" || len(issue.Events) > 0 {
		t.Errorf("%+v", issue)
	}
	if request.Name != "token" || request.Status.Code != codes.Error || request.Parent.IsValid() {
		t.Errorf("%+v", request)
	}
	got := attributes(request)
	for name, want := range map[string]string{
		"http.request.method": "POST", "http.response.status_code": "503", "gatehouse.endpoint": "token", "gatehouse.tenant": "blue",
		"gatehouse.request": "R1", "gatehouse.client_id": "web", "gatehouse.rule": "client-unknown", "gatehouse.refusal": "client-unknown.abcdefgh",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("the span says more: %v", got)
	}
	if !strings.Contains(log, "trace_id="+request.SpanContext.TraceID().String()) || !strings.Contains(log, "server=one") {
		t.Error(log)
	}
}

func TestCallersChooseTracesOnlyWhereTheyAreTrusted(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		r := httptest.NewRequest("BREW", "/", nil)
		r.Header.Set("traceparent", parent)
		stubs, _ := traced(t, Config{Sample: 1, TrustIncoming: trusted}, r, func(_ *Tracer, ctx context.Context) {
			Answered(ctx, Answer{Method: "BREW", Status: 404})
		})
		if followed := strings.Contains(parent, stubs[0].SpanContext.TraceID().String()); followed != trusted {
			t.Errorf("trusted %v, followed %v", trusted, followed)
		}
		if method := attributes(stubs[0])["http.request.method"]; method != "_OTHER" || stubs[0].Name != "request" {
			t.Errorf("a stranger's method is %q, in %q", method, stubs[0].Name)
		}
	}
}

func TestWhatIsNotSampledLeavesNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("traceparent", parent) // asks for it
	stubs, log := traced(t, Config{Sample: 1e-12}, r, func(tracer *Tracer, ctx context.Context) {
		_, end := tracer.Act(ctx, "reading")
		end(nil)
		Answered(ctx, Answer{Status: 200})
	})
	if len(stubs) > 0 || strings.Contains(log, "trace_id") {
		t.Errorf("%v %s", stubs, log)
	}
	if _, end := (&Tracer{}).Act(t.Context(), "sweeping"); end == nil {
		t.Error("an act of no request")
	}
}

func TestEndpoints(t *testing.T) {
	for text, good := range map[string]bool{
		"http://127.0.0.1:4318": true, "https://collector.example/otlp/v1/traces": true,
		"": false, "collector:4317": false, "grpc://collector:4317": false, "https://u:p@collector": false, "https://collector?key=1": false, "https:///x": false,
	} {
		if err := CheckEndpoint(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// failing is a collector that takes nothing.
type failing struct{ sdk.SpanExporter }

func (failing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	return errors.New("connection refused")
}

func TestACollectorThatIsAwayIsToldOfNowAndThen(t *testing.T) {
	var lines bytes.Buffer
	e := &patientExporter{SpanExporter: failing{}, log: slog.New(slog.NewTextHandler(&lines, nil))}
	for range 100 {
		if err := e.ExportSpans(t.Context(), make([]sdk.ReadOnlySpan, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(lines.String(), "traces were lost") != 1 || e.lost.Load() != 99*3 {
		t.Errorf("%d untold, %s", e.lost.Load(), lines.String())
	}
}
