package endpoint

import (
	"log/slog"
	"net/http"
	"time"

	"gatehouse"
)

// Answer is how a request was answered, for whoever counts.
type Answer struct {
	// Endpoint is "" when the request reached none.
	Endpoint string
	Tenant   gatehouse.TenantID
	ID       string
	Method   string
	// ClientID is the client that has authenticated, "" for others.
	ClientID string
	// Rule is that of the refusal, "" when there was none.
	Rule   string
	Status int
	Took   time.Duration
	notes  []slog.Attr
}

// Note returns what the endpoint noted under the name, or "".
func (a Answer) Note(name string) string {
	for _, note := range a.notes {
		if note.Key == name {
			return note.Value.String()
		}
	}
	return ""
}

func (m *Mux) answered(kept *statusKeeper, r *Request, began time.Time) {
	status := kept.status
	if status == 0 { // net/http's own, when nothing was said
		status = http.StatusOK
	}
	m.config.Answered(r.Context(), Answer{
		Endpoint: r.endpoint, Tenant: r.Tenant.ID, ID: r.ID, Method: r.Method, ClientID: r.ClientID, Rule: r.rule,
		Status: status, Took: time.Since(began), notes: r.notes,
	})
}

// statusKeeper remembers the status of an answer.
type statusKeeper struct {
	http.ResponseWriter
	status int
}

func (k *statusKeeper) WriteHeader(status int) {
	if k.status == 0 && status >= http.StatusOK { // not an interim answer
		k.status = status
	}
	k.ResponseWriter.WriteHeader(status)
}

func (k *statusKeeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// unkept returns the writer that the server gave: it alone knows how to close
// a connection whose request is too large.
func unkept(w http.ResponseWriter) http.ResponseWriter {
	if kept, ok := w.(*statusKeeper); ok {
		return kept.ResponseWriter
	}
	return w
}
