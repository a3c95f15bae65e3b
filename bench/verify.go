package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"gatehouse/resource"
)

// Rows of what an API does with a token: they are measured in this process, since
// there is no server that they would ask.

// cachedBudget is what an API may spend on a token that it has seen before.
const cachedBudget = 5 * time.Microsecond

// checks are what a row in this process compares: what ours does with the next
// token, and the least that must be done, or a budget where there is no such
// thing.
type checks struct {
	ours, bare func() error
	budget     time.Duration
}

// verifications checks tokens by the middleware of package resource, with its line
// of log, and by their signature alone.
func verifications(maxCached int, budget time.Duration) func(*stage) (checks, error) {
	return func(s *stage) (checks, error) {
		var tokens []string
		for range presentedTokens {
			answered, err := s.token(machineID, machineSecret, "grant_type=client_credentials&scope=es:read")
			if err != nil {
				return checks{}, err
			}
			tokens = append(tokens, answered.AccessToken)
		}
		rs, err := resource.New(context.Background(), resource.Config{
			Issuer: "http://" + s.address, Audience: resourceES256, MaxCached: maxCached, Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
		})
		if err != nil {
			return checks{}, err
		}
		key, err := newES256Check(s.rawKeys)
		if err != nil {
			return checks{}, err
		}
		w := &admission{}
		guarded := rs.Require("es:read")(w)
		var requests []*http.Request
		for _, token := range tokens {
			r, err := http.NewRequest(http.MethodGet, resourceES256+"/photos", http.NoBody)
			if err != nil {
				return checks{}, err
			}
			r.Header.Set("Authorization", "Bearer "+token)
			requests = append(requests, r)
		}
		next := 0
		turn := func() int {
			next = (next + 1) % len(tokens)
			return next
		}
		return checks{
			ours: func() error {
				w.admitted = false
				if guarded.ServeHTTP(w, requests[turn()]); !w.admitted {
					return fmt.Errorf("a good token is answered %d %v", w.status, w.Header())
				}
				return nil
			},
			bare: func() error {
				if !key.right(tokens[turn()]) {
					return errors.New("a signature is wrong")
				}
				return nil
			},
			budget: budget,
		}, nil
	}
}

// admission is the handler behind the middleware, and the response to either.
type admission struct {
	header   http.Header
	status   int
	admitted bool
}

func (a *admission) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	access, found := resource.AccessFrom(r.Context())
	a.admitted = found && access.ClientID == machineID && access.JTI != ""
}

func (a *admission) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *admission) Write(p []byte) (int, error) { return len(p), nil }

func (a *admission) WriteHeader(status int) { a.status = status }

// compareChecks measures both in rounds that take turns.
func (s *stage) compareChecks(r row, o options) (compared, error) {
	c, err := r.checks(s)
	if err != nil {
		return compared{}, err
	}
	var ours, bare []round
	for range o.rounds {
		one, err := repeat(c.bare, o)
		if err != nil {
			return compared{}, err
		}
		if c.budget > 0 {
			one = round{rps: float64(time.Second) / float64(c.budget), cpu: c.budget}
		}
		bare = append(bare, one)
		if one, err = repeat(c.ours, o); err != nil {
			return compared{}, err
		}
		ours = append(ours, one)
	}
	return compared{r, median(ours), median(bare)}, nil
}

// between is how many repetitions pass between two looks at the clock.
const between = 16

// repeat does something again and again for the time of a round.
func repeat(do func() error, o options) (round, error) {
	for end := time.Now().Add(o.warmUp); time.Now().Before(end); {
		if err := do(); err != nil {
			return round{}, err
		}
	}
	count, began, used := 0, time.Now(), ownCPU()
	for time.Since(began) < o.length {
		for range between {
			if err := do(); err != nil {
				return round{}, err
			}
		}
		count += between
	}
	took, spent := time.Since(began), ownCPU()-used
	rss, err := rssOf(os.Getpid())
	each := took / time.Duration(count)
	return round{rps: float64(count) / took.Seconds(), cpu: spent / time.Duration(count), p50: each, p99: each, busy: float64(spent) / float64(took), rss: rss}, err
}
