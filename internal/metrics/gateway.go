package metrics

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// GatewayLoad is what a gateway has done since it began, and how it is now. Its maps are
// bounded by whoever fills them: routes, rules, upstreams and issuers of a configuration.
type GatewayLoad struct {
	// Decisions are counts by route and reason, Failures those of requests that were let
	// in and came to nothing.
	Decisions, Failures map[string]map[string]uint64
	// Answers are counts of upstreams' answers by route and class of status (2xx), Waited
	// how long requests of a route waited for them to begin, all together.
	Answers            map[string]map[string]uint64
	Waited             map[string]time.Duration
	Streams, Exchanged int
	// Upstreams say whether each is asked now, and not spared for a while.
	Upstreams map[string]bool
	// FeedAges are the ages in seconds of what is known of revocations, by authentication
	// and issuer; below zero before the first snapshot.
	FeedAges map[string]map[string]float64
}

// Page serves the metrics of a process that is no authorization server. gateway, if it
// is not nil, is asked at each reading.
func Page(version string, gateway func() GatewayLoad) http.Handler {
	registry := prometheus.NewRegistry()
	build := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gatehouse_build_info", Help: "Always 1; the label says which build answers."}, []string{"version"})
	build.WithLabelValues(version).Inc()
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if gateway != nil {
		registry.MustRegister(gatewayCollector{gateway})
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

type gatewayCollector struct{ load func() GatewayLoad }

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// gatewayMetrics are what a gateway tells.
var gatewayMetrics = struct{ decisions, failures, answers, waited, streams, exchanged, upstreams, feeds *prometheus.Desc }{
	described("gatehouse_gateway_decisions_total", "Decisions about requests, by what they were: allowed, or the rule that refused.", "route", "reason"),
	described("gatehouse_gateway_failures_total", "Requests that were let in and came to nothing, by the rule that says why.", "route", "rule"),
	described("gatehouse_gateway_answers_total", "Answers of upstreams, by class of status.", "route", "status"),
	described("gatehouse_gateway_wait_seconds_total", "Seconds that requests waited for upstreams' answers to begin.", "route"),
	described("gatehouse_gateway_streams", "Streams that are open."),
	described("gatehouse_gateway_exchanged_tokens", "Exchanged tokens that are remembered."),
	described("gatehouse_gateway_upstream_asked", "1 while an upstream is asked, 0 while it is spared since it did not answer.", "upstream"),
	described("gatehouse_gateway_feed_age_seconds", "How old what is known of revocations is; below zero before the first snapshot.", "authentication", "issuer"),
}

func (gatewayCollector) Describe(to chan<- *prometheus.Desc) {
	m := gatewayMetrics
	for _, one := range []*prometheus.Desc{m.decisions, m.failures, m.answers, m.waited, m.streams, m.exchanged, m.upstreams, m.feeds} {
		to <- one
	}
}

func (c gatewayCollector) Collect(to chan<- prometheus.Metric) {
	load, m := c.load(), gatewayMetrics
	twice := func(what *prometheus.Desc, counts map[string]map[string]uint64) {
		for _, route := range slices.Sorted(maps.Keys(counts)) {
			for reason, n := range counts[route] {
				to <- prometheus.MustNewConstMetric(what, prometheus.CounterValue, float64(n), route, reason)
			}
		}
	}
	twice(m.decisions, load.Decisions)
	twice(m.failures, load.Failures)
	twice(m.answers, load.Answers)
	for route, waited := range load.Waited {
		to <- prometheus.MustNewConstMetric(m.waited, prometheus.CounterValue, waited.Seconds(), route)
	}
	to <- prometheus.MustNewConstMetric(m.streams, prometheus.GaugeValue, float64(load.Streams))
	to <- prometheus.MustNewConstMetric(m.exchanged, prometheus.GaugeValue, float64(load.Exchanged))
	for upstream, asked := range load.Upstreams {
		value := 0.0
		if asked {
			value = 1
		}
		to <- prometheus.MustNewConstMetric(m.upstreams, prometheus.GaugeValue, value, upstream)
	}
	for authentication, issuers := range load.FeedAges {
		for issuer, age := range issuers {
			to <- prometheus.MustNewConstMetric(m.feeds, prometheus.GaugeValue, age, authentication, issuer)
		}
	}
}
