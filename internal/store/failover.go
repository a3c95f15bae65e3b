package store

import (
	"context"
	"slices"
	"time"
)

// lostAtMost is more numbers than a database gives between the last look of its servers and a
// failover.
const lostAtMost = 1_000_000

// compare holds what another database server has against what was read of the one before it. If that
// is not the same, a failover has lost acts and their numbers were given again: then all endings are
// numbered anew, so that they are read and told again. It returns the counter.
func (m *endings) compare(ctx context.Context, counter int64, now time.Time) (int64, error) {
	latest, since, last := m.log.latestOf()
	same, err := m.store.hasEndings(ctx, latest, since, last, now)
	if err != nil || same {
		return counter, err
	}
	return m.numberAnew(ctx, last+lostAtMost)
}

// numberAnew has all endings numbered anew, beyond a number, unless another server has done so.
func (m *endings) numberAnew(ctx context.Context, beyond int64) (counter int64, err error) {
	if counter, err = m.store.numberAnew(ctx, beyond); err == nil {
		m.log.forget()
	}
	return counter, err
}

// hasEndings says whether those after a number and up to another are what the database has there,
// apart from what has expired by now. Of none at all nobody knows.
func (s *Store) hasEndings(ctx context.Context, known []ending, since, last int64, now time.Time) (bool, error) {
	if since >= last {
		return false, nil
	}
	var found []ending
	for from, more := since, true; more; {
		page, err := s.endingsAfter(ctx, from)
		if err != nil {
			return false, err
		}
		for _, e := range page {
			if from = e.seq; e.seq <= last {
				found = append(found, e)
			}
		}
		more = len(page) == endingsPage && from < last && len(found) <= len(known)+endingsPage
	}
	expired := func(e ending) bool { return !e.entry.Expiry.After(now) }
	known = slices.DeleteFunc(slices.Clone(known), expired)
	found = slices.DeleteFunc(found, expired)
	return slices.EqualFunc(known, found, func(a, b ending) bool {
		return a.tenant == b.tenant && a.seq == b.seq && a.entry.Claim == b.entry.Claim && a.entry.Value == b.entry.Value &&
			a.entry.IssuedUntil.Equal(b.entry.IssuedUntil) && a.entry.Expiry.Equal(b.entry.Expiry)
	}), nil
}
