package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/oauth"
)

// keptRefusals are remembered for `gatehouse explain`.
const keptRefusals = 1024

// refusals is a ring of the latest refusals.
type refusals struct {
	mu   sync.Mutex
	ring [keptRefusals]keptRefusal
	next int
}

type keptRefusal struct {
	ID          string             `json:"id"`
	At          time.Time          `json:"at"`
	Endpoint    string             `json:"endpoint"`
	Tenant      gatehouse.TenantID `json:"tenant"`
	Code        oauth.Code         `json:"error,omitempty"`
	Status      int                `json:"status"`
	Description string             `json:"description"`
	Cause       string             `json:"cause,omitempty"`
	Request     string             `json:"request"`
	Address     string             `json:"address"`
	Notes       map[string]string  `json:"notes,omitempty"`
}

func (r *refusals) add(refusal endpoint.Refusal) {
	kept := keptRefusal{
		ID: refusal.ID, At: time.Now(), Endpoint: refusal.Endpoint, Tenant: refusal.Tenant, Code: refusal.Error.Code,
		Status: refusal.Error.Status, Description: refusal.Error.Description, Request: refusal.Request, Address: refusal.Address,
		Notes: map[string]string{},
	}
	if refusal.Error.Cause != nil {
		kept.Cause = bounded(refusal.Error.Cause.Error())
	}
	for _, note := range refusal.Notes {
		kept.Notes[note.Key] = note.Value.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next] = kept
	r.next = (r.next + 1) % keptRefusals
}

// maxCause bounds what is kept of a cause, in bytes.
const maxCause = 1024

func bounded(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxCause)], "") }

func (r *refusals) find(id string) (keptRefusal, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range r.ring {
		if kept.ID == id && id != "" {
			return kept, true
		}
	}
	return keptRefusal{}, false
}

func (r *refusals) serve(w http.ResponseWriter, request *http.Request) {
	kept, found := r.find(request.PathValue("id"))
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(kept)
}
