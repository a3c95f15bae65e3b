package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// issued counts tokens by client, for the first MaxClients clients of the
// process.
type issued struct {
	vec *prometheus.CounterVec

	mu      sync.RWMutex
	clients map[clientKey]map[string]prometheus.Counter // by grant type
}

type clientKey struct{ tenant, id string }

func newIssued(vec *prometheus.CounterVec) *issued {
	return &issued{vec: vec, clients: map[clientKey]map[string]prometheus.Counter{}}
}

// Issued counts tokens that went to a client. The grant type must be one that
// the server knows.
func (m *Metrics) Issued(tenant, clientID, grantType string) {
	m.issued.counter(clientKey{tenant, clientID}, grantType).Inc()
}

func (i *issued) counter(client clientKey, grantType string) prometheus.Counter {
	i.mu.RLock()
	counter, known := i.clients[client][grantType]
	i.mu.RUnlock()
	if known {
		return counter
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, known := i.clients[client]; !known {
		if len(i.clients) >= MaxClients {
			client = clientKey{Other, Other}
		}
		if i.clients[client] == nil {
			i.clients[client] = map[string]prometheus.Counter{}
		}
	}
	counter, known = i.clients[client][grantType]
	if !known {
		counter = i.vec.WithLabelValues(client.tenant, client.id, grantType)
		i.clients[client][grantType] = counter
	}
	return counter
}
