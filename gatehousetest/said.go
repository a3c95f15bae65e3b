package gatehousetest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Traces returns what the server has sent to its collector, as it came; ""
// without Options.Traces.
func (i *Issuer) Traces() string {
	if i.traces == nil {
		return ""
	}
	return i.traces.String()
}

// traceBuffer is a collector that keeps what it is sent.
type traceBuffer struct {
	logBuffer
	address string
	stop    func()
}

func collectTraces() *traceBuffer {
	traces := &traceBuffer{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(traces, r.Body)
	}))
	traces.address, traces.stop = collector.URL, collector.Close
	return traces
}

// logBuffer keeps what is written to it.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
