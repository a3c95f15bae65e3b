package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// complainEvery is how often a collector that is away is worth a line.
const complainEvery = time.Minute

// patientExporter keeps the failures of its exporter to itself and the log.
type patientExporter struct {
	sdk.SpanExporter
	log *slog.Logger

	complained atomic.Int64 // when, in nanoseconds since 1970
	lost       atomic.Int64 // spans since then
}

// ExportSpans delivers spans and never fails: they are lost if the collector
// does not take them, and a line now and then says how many.
func (e *patientExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	lost := e.lost.Add(int64(len(spans)))
	now, last := time.Now().UnixNano(), e.complained.Load()
	if now-last >= int64(complainEvery) && e.complained.CompareAndSwap(last, now) {
		e.lost.Add(-lost)
		e.log.Warn("traces were lost: the collector does not take them", "spans", lost, "error", err)
	}
	return nil
}
