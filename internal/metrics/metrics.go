package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MaxClients is how many clients have series of their own. The ones that come
// later are counted together, as the client Other.
const MaxClients = 200

// Other is the label of whatever has no series of its own.
const Other = "other"

// Outcomes of a presented refresh token.
const (
	RefreshRotated     = "rotated"
	RefreshRedelivered = "redelivered"
	RefreshReplayed    = "replayed"
	RefreshLostState   = "lost_state"
	RefreshExpired     = "expired"
	RefreshEnded       = "ended"
)

// Outcomes of a sign-in.
const (
	LoginSucceeded = "succeeded"
	LoginWrong     = "wrong"
	LoginThrottled = "throttled"
	LoginBusy      = "busy"
)

// Outcomes of an attempt to tell a client of a logout.
const (
	LogoutDelivered = "delivered"
	LogoutFailed    = "failed"
	LogoutGivenUp   = "given_up"
)

// Config says what can be counted.
type Config struct {
	Version string
	// Rules are the names of all refusals.
	Rules []string
	// PasswordsWaiting is how many callers wait for a slot of argon2id now.
	PasswordsWaiting func() int
	// CountersShared says whether failed sign-ins are counted in Redis now; nil
	// without a Redis.
	CountersShared func() bool
	// FeedReaders is how many follow the revocation feed now.
	FeedReaders func() int
	// Store is what the database's acts came to so far.
	Store func() StoreLoad
}

// StoreLoad is what was done in a database since it was opened.
type StoreLoad struct {
	Waiting    int // acts that wait for their turn now
	Acts       uint64
	Commits    uint64
	Committing time.Duration // from the first act of a batch to its commit
}

// Metrics counts. All methods may be called by many goroutines at once.
type Metrics struct {
	registry *prometheus.Registry
	requests map[string]*requests
	unknown  *requests
	resolve  func(endpoint string) *requests
	issued   *byClient
	outcomes *byClient
	refused  counters
	refresh  counters
	logins   counters
	logouts  counters
}

// counters are resolved once, so that counting is one atomic addition.
type counters struct {
	of    map[string]prometheus.Counter
	other prometheus.Counter
}

func (c counters) add(name string) {
	if one, known := c.of[name]; known {
		one.Inc()
		return
	}
	c.other.Inc()
}

// New makes Metrics of a registry of its own.
func New(config Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.vec("gatehouse_build_info", "Always 1; the label says which build answers.", "version").WithLabelValues(config.Version).Inc()
	m.countRequests()
	m.issued = newByClient(m.vec("gatehouse_tokens_issued_total", "Answers of the token endpoint with an access token.", "tenant", "client_id", "grant_type"))
	m.outcomes = newByClient(m.vec("gatehouse_client_requests_total", "Requests of clients that have authenticated, by what became of them.", "tenant", "client_id", "outcome"))
	m.refused = m.counters("gatehouse_refusals_total", "Requests refused, by the rule that refused them.", "rule", config.Rules)
	m.refresh = m.counters("gatehouse_refresh_total", "Genuine refresh tokens presented, by what became of them.", "outcome",
		[]string{RefreshRotated, RefreshRedelivered, RefreshReplayed, RefreshLostState, RefreshExpired, RefreshEnded})
	m.logins = m.counters("gatehouse_logins_total", "Sign-ins with a name and a password, by what became of them.", "outcome",
		[]string{LoginSucceeded, LoginWrong, LoginThrottled, LoginBusy})
	m.logouts = m.counters("gatehouse_backchannel_logouts_total", "Attempts to tell a client of a logout by back channel, by what became of them.", "outcome",
		[]string{LogoutDelivered, LogoutFailed, LogoutGivenUp})
	m.watch(config)
	return m
}

func (m *Metrics) vec(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(vec)
	return vec
}

func (m *Metrics) counters(name, help, label string, values []string) counters {
	vec := m.vec(name, help, label)
	c := counters{of: map[string]prometheus.Counter{}, other: vec.WithLabelValues(Other)}
	for _, value := range values {
		c.of[value] = vec.WithLabelValues(value)
	}
	return c
}

// watch adds what is looked at when Prometheus asks.
func (m *Metrics) watch(config Config) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	counter := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
	}
	if waiting := config.PasswordsWaiting; waiting != nil {
		gauge("gatehouse_passwords_waiting", "Sign-ins that wait for a slot to check their password.", func() float64 { return float64(waiting()) })
	}
	if shared := config.CountersShared; shared != nil {
		gauge("gatehouse_redis_answers", "1 while failed sign-ins are counted in Redis, 0 while each server counts for itself.", func() float64 {
			if shared() {
				return 1
			}
			return 0
		})
	}
	if readers := config.FeedReaders; readers != nil {
		gauge("gatehouse_feed_readers", "Connections that follow the revocation feed.", func() float64 { return float64(readers()) })
	}
	if load := config.Store; load != nil {
		gauge("gatehouse_store_acts_waiting", "Acts that wait for their turn at the database.", func() float64 { return float64(load().Waiting) })
		counter("gatehouse_store_acts_total", "Acts that were answered by a commit.", func() float64 { return float64(load().Acts) })
		counter("gatehouse_store_commits_total", "Commits of the database.", func() float64 { return float64(load().Commits) })
		counter("gatehouse_store_commit_seconds_total", "Seconds spent on acts and their commits.", func() float64 { return load().Committing.Seconds() })
	}
}

// Handler serves the metrics' page.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// maxScrapes is how many may read the page at once.
const maxScrapes = 4

// Refused counts a refusal.
func (m *Metrics) Refused(rule string) { m.refused.add(rule) }

// Refreshed counts what became of a genuine refresh token.
func (m *Metrics) Refreshed(outcome string) { m.refresh.add(outcome) }

// SignedIn counts what became of a sign-in.
func (m *Metrics) SignedIn(outcome string) { m.logins.add(outcome) }

// LogoutTold counts what became of an attempt to tell a client of a logout.
func (m *Metrics) LogoutTold(outcome string) { m.logouts.add(outcome) }
