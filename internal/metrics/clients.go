package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// byClient counts by client and what else the counter's labels say, for the
// first MaxClients clients of the process.
type byClient struct {
	vec *prometheus.CounterVec

	mu      sync.RWMutex
	clients map[clientKey]map[string]prometheus.Counter // by the further label
}

type clientKey struct{ tenant, id string }

func newByClient(vec *prometheus.CounterVec) *byClient {
	return &byClient{vec: vec, clients: map[clientKey]map[string]prometheus.Counter{}}
}

// Issued counts tokens that went to a client. The grant type must be one that
// the server knows.
func (m *Metrics) Issued(tenant, clientID, grantType string) {
	m.issued.counter(clientKey{tenant, clientID}, grantType).Inc()
}

// Outcomes of a request of a client that has authenticated.
const (
	ClientServed      = "served"
	ClientRedelivered = "redelivered"
	ClientRefused     = "refused"
	ClientLimited     = "limited"
	ClientReplayed    = "replayed"
	ClientFailed      = "failed" // by a fault of ours
	ClientLeft        = "left"   // went away before the answer
)

// Outcome counts what became of a request of a client that has authenticated.
// The outcome must be one of the constants.
func (m *Metrics) Outcome(tenant, clientID, outcome string) {
	m.outcomes.counter(clientKey{tenant, clientID}, outcome).Inc()
}

func (c *byClient) counter(client clientKey, label string) prometheus.Counter {
	c.mu.RLock()
	counter, known := c.clients[client][label]
	c.mu.RUnlock()
	if known {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.clients[client]; !known {
		if len(c.clients) >= MaxClients {
			client = clientKey{Other, Other}
		}
		if c.clients[client] == nil {
			c.clients[client] = map[string]prometheus.Counter{}
		}
	}
	counter, known = c.clients[client][label]
	if !known {
		counter = c.vec.WithLabelValues(client.tenant, client.id, label)
		c.clients[client][label] = counter
	}
	return counter
}
