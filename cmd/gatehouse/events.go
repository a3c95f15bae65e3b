package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/config"
)

const (
	defaultEvents = 100
	maxEvents     = 1000
	// followEvery is how often --follow looks for new events.
	followEvery = 500 * time.Millisecond
)

// durationFlag lets a flag take what the configuration takes: 90s, 1h, 7d.
type durationFlag struct{ value *config.DurationOrZero }

func (f *durationFlag) String() string {
	if f.value == nil {
		return ""
	}
	return f.value.String()
}
func (f *durationFlag) Set(text string) error { return f.value.UnmarshalText([]byte(text)) }
func (f *durationFlag) Type() string          { return "DURATION" }

// eventQuery is what the flags of `events` select.
type eventQuery struct {
	kinds          []string
	user, client   string
	since, until   string
	limit          int
	asJSON, follow bool
}

func eventsCommand(term terminal) *cobra.Command {
	var where place
	var query eventQuery
	command := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: sign-ins, consents, grants, changes",
		Long: `Show the newest events, oldest first. Events are rows in the database: sign-ins,
consents, codes, ends of grants, replays and every change by an administrator.
They hold no secrets. How long they are kept is the setting event_retention.

--since and --until take a time (2026-11-20, 2026-11-20T08:00:00Z) or how long
ago (90s, 1h, 7d). --follow goes on with what happens next, until interrupted.
--json prints one JSON document on each line.

Kinds: ` + wrapped(kindNames(), 72),
		Example: `  gatehouse events --since 1h --data ./data
  gatehouse events --kind refresh.replayed --kind code.replayed --json --data ./data
  gatehouse events --user alice --client web --limit 20 --data ./data
  gatehouse events --follow --data ./data`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			return where.with(command, func(ctx context.Context, db database, at located) error {
				if query.follow && at.absent {
					return at.missing()
				}
				filter, err := query.filter(ctx, db)
				if err != nil {
					return err
				}
				return showEvents(ctx, term.out, db, filter, query)
			})
		},
	}
	where.addTenantFlags(command)
	flags := command.Flags()
	flags.StringArrayVar(&query.kinds, "kind", nil, "only events of this `KIND`; may be repeated")
	flags.StringVar(&query.user, "user", "", "only events of this `USER` (username, e-mail address or sub)")
	flags.StringVar(&query.client, "client", "", "only events of this client `ID`")
	flags.StringVar(&query.since, "since", "", "only events since this `TIME`, or this long ago")
	flags.StringVar(&query.until, "until", "", "only events before this `TIME`, or this long ago")
	flags.IntVar(&query.limit, "limit", defaultEvents, "at most this many, the newest")
	flags.BoolVar(&query.follow, "follow", false, "go on with what happens next")
	jsonFlag(command, &query.asJSON, "print one JSON document on each line")
	return command
}

func (q eventQuery) filter(ctx context.Context, db database) (gatehouse.EventFilter, error) {
	filter := gatehouse.EventFilter{ClientID: q.client, Limit: q.limit, Latest: true}
	if q.limit < 1 || q.limit > maxEvents {
		return filter, misused(fmt.Sprintf("--limit %d", maxEvents), "--limit must be 1 to %d", maxEvents)
	}
	for _, kind := range q.kinds {
		if !slices.Contains(kindNames(), kind) {
			hint := config.DidYouMean(kind, kindNames())
			try := "gatehouse events --help, which lists the kinds"
			if hint != "" {
				try = "--kind " + meant(hint)
			}
			return filter, misused(try, "there is no kind of event %q", kind)
		}
		filter.Kinds = append(filter.Kinds, gatehouse.EventKind(kind))
	}
	var err error
	if filter.Since, err = when("--since", q.since, db.Now()); err != nil {
		return filter, err
	}
	if filter.Until, err = when("--until", q.until, db.Now()); err != nil {
		return filter, err
	}
	if q.user != "" {
		user, found, err := db.UserByLogin(ctx, db.tenant, gatehouse.LoginKey(q.user))
		if err != nil {
			return filter, err
		}
		filter.Subject = q.user // a sub, perhaps that of a user who is gone
		if found {
			filter.Subject = user.Subject
		}
	}
	return filter, nil
}

// when reads a time or how long ago; the zero time for no text.
func when(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var ago config.DurationOrZero
	if ago.UnmarshalText([]byte(text)) == nil {
		return now.Add(-ago.Std()), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, misused(flag+" 1h, or "+flag+" 2026-11-20T08:00:00Z", "%s %q is neither a time nor a duration", flag, text)
}

func showEvents(ctx context.Context, w io.Writer, db database, filter gatehouse.EventFilter, query eventQuery) error {
	last := int64(0)
	for {
		events, err := db.Events(ctx, db.tenant, filter)
		if err != nil {
			if query.follow && ctx.Err() != nil {
				return nil
			}
			return err
		}
		for _, event := range events {
			if err := printEvent(w, event, query.asJSON); err != nil {
				return err
			}
			last = max(last, event.Seq)
		}
		if !query.follow {
			return nil
		}
		filter.After, filter.Latest, filter.Limit = last, false, maxEvents
		if len(events) == maxEvents {
			continue
		}
		select {
		case <-ctx.Done(): // interrupted: that is how it ends
			return nil
		case <-time.After(followEvery):
		}
	}
}

// eventDocument is an event as --json prints it.
type eventDocument struct {
	Seq       int64               `json:"seq"`
	At        time.Time           `json:"at"`
	Kind      gatehouse.EventKind `json:"kind"`
	Subject   string              `json:"sub,omitempty"`
	ClientID  string              `json:"client_id,omitempty"`
	Grant     string              `json:"gid,omitempty"`
	SessionID string              `json:"sid,omitempty"`
	Address   string              `json:"address,omitempty"`
	UserAgent string              `json:"user_agent,omitempty"`
	RequestID string              `json:"request_id,omitempty"`
	Actor     string              `json:"actor,omitempty"`
	Count     int                 `json:"count,omitempty"`
	LastAt    time.Time           `json:"last_at,omitzero"`
	Detail    map[string]string   `json:"detail,omitempty"`
}

func printEvent(w io.Writer, e gatehouse.Event, asJSON bool) error {
	if asJSON {
		document := eventDocument{
			Seq: e.Seq, At: e.At, Kind: e.Kind, Subject: e.Subject, ClientID: e.ClientID, Grant: e.Grant, SessionID: e.SessionID,
			Address: e.By.Address, UserAgent: e.By.UserAgent, RequestID: e.By.RequestID, Actor: e.Actor, Detail: e.Detail,
		}
		if e.Count > 1 {
			document.Count, document.LastAt = e.Count, e.LastAt
		}
		line, err := json.Marshal(document)
		if err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	}
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+oneLine(value))
		}
	}
	add("client", e.ClientID)
	add("sub", e.Subject)
	add("by", e.Actor)
	add("from", e.By.Address)
	if e.Count > 1 {
		add("count", fmt.Sprint(e.Count))
		add("last", moment(e.LastAt))
	}
	names := make([]string, 0, len(e.Detail))
	for name := range e.Detail {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		add(name, e.Detail[name])
	}
	_, err := fmt.Fprintf(w, "%s  %-22s %s\n", e.At.UTC().Format(time.DateTime), e.Kind, strings.Join(words, " "))
	return err
}

// kindNames are the kinds of events, in the order of their declaration.
func kindNames() []string {
	return []string{
		"login.succeeded", "login.failed", "login.new_device", "logout", "session.ended",
		"logout.delivered", "logout.failed", "logout.given_up", "consent.given",
		"consent.denied", "consent.withdrawn", "code.issued", "code.redeemed", "grant.ended", "code.replayed",
		"refresh.replayed", "refresh.redelivered", "refresh.lost_state", "token.revoked",
		"token.exchanged", "code.wrong_verifier", "key.created", "key.planned", "key.revoked", "key.removed",
		"backup.restored", "tenant.applied", "tenant.changed", "client.changed", "user.changed",
		"resource.changed", "settings.changed",
	}
}

// wrapped joins words with commas in lines of at most the width.
func wrapped(words []string, width int) string {
	text, column := "", len("Kinds: ")
	for i, word := range words {
		if i > 0 {
			text, column = text+",", column+1
			if column+1+len(word) > width {
				text, column = text+"\n", 0
			} else {
				text, column = text+" ", column+1
			}
		}
		text, column = text+word, column+len(word)
	}
	return text
}
