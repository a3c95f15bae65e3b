package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// durations are the upper bounds of the histogram's buckets, in seconds: most
// answers take milliseconds, those with a password a tenth of a second.
var durations = [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// methods have series of their own.
var methods = [...]string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions}

// classes are the hundreds of an HTTP status.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// requests are the counters of one endpoint, by method and class of status.
type requests struct {
	counts [len(methods) + 1][len(classes)]prometheus.Counter
	took   prometheus.Observer
}

func (m *Metrics) countRequests() {
	counts := m.vec("gatehouse_requests_total", "Requests answered. What reached no endpoint is counted under other.", "endpoint", "method", "status")
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "gatehouse_request_duration_seconds", Help: "Time until a request was answered.", Buckets: durations[:],
	}, []string{"endpoint"})
	m.registry.MustRegister(took)
	m.resolve = func(endpoint string) *requests {
		r := &requests{took: took.WithLabelValues(endpoint)}
		for i := range r.counts {
			method := Other
			if i < len(methods) {
				method = methods[i]
			}
			for j, class := range classes {
				r.counts[i][j] = counts.WithLabelValues(endpoint, method, class)
			}
		}
		return r
	}
	m.requests, m.unknown = map[string]*requests{}, m.resolve(Other)
}

// Endpoint makes room for the requests of an endpoint. All endpoints are named
// before the first request is counted.
func (m *Metrics) Endpoint(name string) {
	if m.requests[name] == nil {
		m.requests[name] = m.resolve(name)
	}
}

// Answered counts a request. An endpoint of no name is one that there is not.
func (m *Metrics) Answered(endpoint, method string, status int, took time.Duration) {
	m.count(endpoint, method, status).took.Observe(took.Seconds())
}

// Streamed counts a request whose answer lasted as long as its reader stayed.
func (m *Metrics) Streamed(endpoint, method string, status int) { m.count(endpoint, method, status) }

func (m *Metrics) count(endpoint, method string, status int) *requests {
	r, known := m.requests[endpoint]
	if !known {
		r = m.unknown
	}
	r.counts[methodIndex(method)][min(max(status/100-1, 0), len(classes)-1)].Inc()
	return r
}

func methodIndex(method string) int {
	for i, one := range methods {
		if one == method {
			return i
		}
	}
	return len(methods)
}
