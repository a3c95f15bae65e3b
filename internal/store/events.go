package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse"
)

// failedLoginSpan is the time whose failed logins of one account from one address share a row.
const failedLoginSpan = 10 * time.Minute

// tell writes an event of the act. kind is taken if the event has none; details are pairs.
func (a *act) tell(event gatehouse.Event, kind gatehouse.EventKind, details ...string) error {
	return a.tellJoined(event, kind, "", details...)
}

// tellJoined counts the event on an earlier one that was told with the same joins, if it has any.
func (a *act) tellJoined(event gatehouse.Event, kind gatehouse.EventKind, joins string, details ...string) error {
	if event.Kind == "" {
		event.Kind = kind
	}
	text, err := detailText(event.Detail, details)
	if err != nil {
		return err
	}
	statement := sqlAddEvent
	if joins != "" {
		statement = sqlJoinEvent
	}
	a.finally(statement, func(seq int64, _ time.Time) []any {
		args := append(make([]any, 0, 15), a.tenant, seq, millis(a.now), string(event.Kind), event.Subject, event.ClientID, event.Grant, event.SessionID,
			clip(event.By.Address), clip(event.By.UserAgent), clip(event.By.RequestID), event.Actor, max(event.Count, 1), text)
		if joins != "" {
			args = append(args, joins)
		}
		return args
	})
	return nil
}

// detailText is a record of an event's own details and of further ones, in pairs.
func detailText(own map[string]string, further []string) (string, error) {
	switch {
	case len(own) == 0 && len(further) == 0:
		return "{}", nil
	case len(own) == 0 && len(further) == 2:
		text := append(appendQuoted([]byte{'{'}, further[0]), ':')
		return string(append(appendQuoted(text, further[1]), '}')), nil
	}
	detail := make(map[string]string, len(own)+len(further)/2)
	for name, value := range own {
		detail[name] = value
	}
	for i := 0; i+1 < len(further); i += 2 {
		detail[further[i]] = further[i+1]
	}
	return recordText(detail)
}

// AppendEvent records what happened outside the store's own acts. Seq and the times are the
// store's.
func (s *Store) AppendEvent(ctx context.Context, tenant gatehouse.TenantID, event gatehouse.Event) error {
	_, err := write(ctx, s, "recording an event", tenant, func(a *act) (struct{}, error) {
		return struct{}{}, a.tell(event, event.Kind)
	})
	return err
}

// CountFailedLogin records a failed sign-in. Those of one account from one address within ten
// minutes are one event with a count; so are those from one network at all names that nobody has,
// since strangers can invent any number of them. accountKey must not reveal the name that was
// typed; subject is whose account it is, "" when nobody has the name.
func (s *Store) CountFailedLogin(ctx context.Context, tenant gatehouse.TenantID, subject, accountKey string, by gatehouse.Circumstance) error {
	_, err := write(ctx, s, "recording a failed login", tenant, func(a *act) (struct{}, error) {
		span := a.now.UnixMilli() / failedLoginSpan.Milliseconds()
		if subject == "" {
			joins := fmt.Sprintf("login %d nobody %q", span, gatehouse.Network(by.Address))
			return struct{}{}, a.tellJoined(gatehouse.Event{By: by}, gatehouse.EventLoginFailed, joins)
		}
		joins := fmt.Sprintf("login %d %q %q", span, accountKey, by.Address)
		return struct{}{}, a.tellJoined(gatehouse.Event{Subject: subject, By: by}, gatehouse.EventLoginFailed, joins, "account", accountKey)
	})
	return err
}

// Events returns events in the order of Seq: 100 if the filter has no limit, never more than
// 1000. Until is exclusive.
func (s *Store) Events(ctx context.Context, tenant gatehouse.TenantID, filter gatehouse.EventFilter) ([]gatehouse.Event, error) {
	text := sqlEvents
	switch {
	case filter.Latest && filter.Subject != "":
		text = sqlLatestEventsOfUser
	case filter.Latest:
		text = sqlLatestEvents
	case filter.Subject != "":
		text = sqlEventsOfUser
	}
	kinds := ""
	for _, kind := range filter.Kinds {
		kinds += " " + string(kind)
	}
	if kinds != "" {
		kinds += " "
	}
	args := []any{tenant, filter.After, millis(filter.Since), millis(filter.Until), kinds, filter.ClientID, page(filter.Limit)}
	if strings.Contains(text, "$8") {
		args = append(args, filter.Subject)
	}
	events, err := read(ctx, s, "reading events", func(c *connection) (events []gatehouse.Event, err error) {
		err = c.each(text, func(scan func(...any) error) error {
			var e gatehouse.Event
			if err := scan(&e.Seq, moment(&e.At), &e.Kind, &e.Subject, &e.ClientID, &e.Grant, &e.SessionID, &e.By.Address,
				&e.By.UserAgent, &e.By.RequestID, &e.Actor, &e.Count, moment(&e.LastAt), record(&e.Detail)); err != nil {
				return err
			}
			events = append(events, e)
			return nil
		}, args...)
		return events, err
	})
	if filter.Latest {
		slices.Reverse(events)
	}
	return events, err
}
