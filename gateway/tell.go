package gateway

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/client"
)

// tell writes the one line of a decision and counts it.
func (g *Gateway) tell(ctx context.Context, c *call) {
	d := &c.decision
	g.counts.decided(d.Route, d.Reason)
	handler := g.config.Logger.Handler()
	if !handler.Enabled(ctx, slog.LevelInfo) {
		return
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "decision", 0) // where in this file is no news
	decision := "allowed"
	if !d.Allowed {
		decision = "refused"
	}
	line.AddAttrs(slog.String("decision", decision), slog.String("reason", d.Reason), slog.String("route", d.Route),
		slog.String("method", logged(c.Method)), slog.String("host", logged(c.Host)))
	if c.http != nil {
		line.AddAttrs(slog.String("path", logged(c.http.URL.Path)))
	}
	if d.Address.IsValid() {
		line.AddAttrs(slog.String("address", d.Address.String()))
	}
	if d.Access != nil {
		line.AddAttrs(slog.String("jti", d.Access.JTI), slog.String("client_id", d.Access.ClientID),
			slog.String("sub", d.Access.Claims.Subject), slog.String("iss", d.Access.Issuer))
	}
	if d.Refusal != nil {
		line.AddAttrs(slog.String("error_id", d.Refusal.ID), slog.Int("status", d.Refusal.Status))
		if d.Refusal.Cause != nil {
			line.AddAttrs(slog.String("cause", d.Refusal.Cause.Error()))
		}
	}
	_ = handler.Handle(ctx, line)
}

// Stats are counts since the gateway was made, for whatever measures the program. There
// are as many as there are routes and rules.
type Stats struct {
	// Decisions are those by route ("" for none) and Reason.
	Decisions map[string]map[string]uint64
	// Failures are requests that were let in and came to nothing, by route and rule.
	Failures map[string]map[string]uint64
	// Answers are those of upstreams by route and class of status: 1xx (a WebSocket) to
	// 5xx. Waited is how long requests of a route waited for them to begin, all together.
	Answers map[string]map[string]uint64
	Waited  map[string]time.Duration
	// Streams are open now, and Exchanged are tokens that are remembered.
	Streams, Exchanged int
	// Exchangers are the counts of the clients that exchange, by issuer.
	Exchangers map[string]client.Stats
}

// counts are the counters of decisions. Reasons are rules' names, of which there are as
// many as the programs have.
type counts struct {
	decisions, failures map[string]*sync.Map
	answers             map[string]*answers
}

// answers are those of one route.
type answers struct {
	classes [len(classes)]atomic.Uint64
	waited  atomic.Int64 // nanoseconds
}

// classes are the hundreds of an HTTP status.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

func newCounts(routes []Route) counts {
	c := counts{map[string]*sync.Map{"": {}}, map[string]*sync.Map{"": {}}, map[string]*answers{}}
	for _, one := range routes {
		c.answers[one.Name] = &answers{}
		c.decisions[one.Name], c.failures[one.Name] = &sync.Map{}, &sync.Map{}
	}
	return c
}

func (c *counts) decided(route, reason string) { count(c.decisions[route], reason) }
func (c *counts) failed(route, reason string)  { count(c.failures[route], reason) }

// answered counts an answer that began.
func (c *counts) answered(route string, status int, waited time.Duration) {
	of := c.answers[route]
	of.classes[min(max(status/100-1, 0), len(classes)-1)].Add(1)
	of.waited.Add(int64(waited))
}

func count(of *sync.Map, reason string) {
	counter, known := of.Load(reason)
	if !known {
		counter, _ = of.LoadOrStore(reason, new(atomic.Uint64))
	}
	counter.(*atomic.Uint64).Add(1)
}

func read(from map[string]*sync.Map) map[string]map[string]uint64 {
	all := map[string]map[string]uint64{}
	for route, counters := range maps.All(from) {
		for reason, counter := range counters.Range {
			if all[route] == nil {
				all[route] = map[string]uint64{}
			}
			all[route][reason.(string)] = counter.(*atomic.Uint64).Load()
		}
	}
	return all
}

// Stats returns the counts so far.
func (g *Gateway) Stats() Stats {
	s := Stats{
		Decisions: read(g.counts.decisions), Failures: read(g.counts.failures), Streams: g.streams.Count(), Exchanged: g.exchanges.count(),
		Answers: map[string]map[string]uint64{}, Waited: map[string]time.Duration{}, Exchangers: map[string]client.Stats{},
	}
	for route, of := range g.counts.answers {
		s.Answers[route], s.Waited[route] = map[string]uint64{}, time.Duration(of.waited.Load())
		for i, class := range classes {
			s.Answers[route][class] = of.classes[i].Load()
		}
	}
	for issuer, one := range g.exchanges.clients {
		s.Exchangers[issuer] = one.Stats()
	}
	return s
}
