package store

import (
	"context"
	"sort"
	"sync"
	"time"

	"gatehouse"
	"gatehouse/revocation"
)

const (
	// followEvery is how often the database is asked for what other processes have ended, while
	// somebody follows; followGap the least time between two readings.
	followEvery = 100 * time.Millisecond
	followGap   = 10 * time.Millisecond

	// heartbeat is how often a follower is told that there is nothing new.
	heartbeat = time.Second

	// logLimit is how many of the latest endings are kept for those who follow. Who is further
	// behind reads the database.
	logLimit = 4096
)

// endingLog is the latest endings of all tenants in the order of their numbers, and who waits for more.
type endingLog struct {
	woken chan struct{} // this process has ended something

	mu       sync.Mutex
	latest   []ending
	since    int64         // all endings after this number, up to last, are in latest
	last     int64         // everything up to this number was read
	asOf     time.Time     // nothing that was committed by then is missing; zero before the first reading
	told     chan struct{} // closed at the next reading
	watchers int
	stop     func() // ends the readings that go on while there are watchers
}

func newEndingLog() endingLog {
	return endingLog{woken: make(chan struct{}, 1), told: make(chan struct{})}
}

func (l *endingLog) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

func (l *endingLog) end() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// add adds those of the page that are new.
func (l *endingLog) add(page []ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range page {
		if e.seq > l.last {
			l.latest = append(l.latest, e)
			l.last = e.seq
		}
	}
	if excess := len(l.latest) - logLimit; excess > 0 {
		l.since = l.latest[excess-1].seq
		l.latest = append([]ending(nil), l.latest[excess:]...)
	}
}

// skip goes on behind a number without what comes before it.
func (l *endingLog) skip(to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to > l.last {
		l.latest, l.since, l.last = nil, to, to
	}
}

// forget drops what has other numbers by now. Who has not been told of it reads the database.
func (l *endingLog) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest, l.since = nil, l.last
}

// reached says that everything up to the number has been read, and tells those who wait.
func (l *endingLog) reached(counter int64, asOf time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = max(l.last, counter)
	l.asOf = asOf
	close(l.told)
	l.told = make(chan struct{})
}

// latestOf returns what the log has, and after which number and up to which one that is all.
func (l *endingLog) latestOf() (latest []ending, since, last int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest[:len(l.latest):len(l.latest)], l.since, l.last
}

// lookup is what the log has after a place.
type lookup struct {
	news revocation.News
	has  bool // what comes after the place is in the log
	upTo int64
	told chan struct{}
}

// after looks for endings of a tenant.
func (l *endingLog) after(tenant gatehouse.TenantID, place int64) lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := lookup{has: place >= l.since, upTo: l.last, told: l.told}
	if !found.has {
		return found
	}
	first := sort.Search(len(l.latest), func(i int) bool { return l.latest[i].seq > place })
	for _, e := range l.latest[first:] {
		if e.tenant == tenant && e.entry.Claim != "" {
			found.news.Entries = append(found.news.Entries, e.entry)
		}
	}
	found.news.Place, found.news.AsOf = max(place, l.last), l.asOf
	return found
}

// FollowEndings tells what of the tenant's has ended and was committed after a place, in order, and
// then what ends from now on, until ctx is over or tell fails; and each second that there was
// nothing new. Place 0 is before the first. What ended at this process is told at once, what ended
// at another one a moment later. While the database is away, news have no later AsOf. The value of
// an entry about the issuer is the tenant's id.
func (s *Store) FollowEndings(ctx context.Context, tenant gatehouse.TenantID, place int64, tell func(revocation.News) error) error {
	m := s.endings
	if err := m.latest(ctx); err != nil {
		return err
	}
	ctx = WithPatience(ctx, 0) // from here on it is about news, however long
	if place > m.log.end() {   // the database went back since it gave this place
		if _, err := s.numberAnew(ctx, place); err != nil {
			return err
		}
		if err := m.latest(ctx); err != nil {
			return err
		}
	}
	defer m.watch()()
	pulse := time.NewTicker(heartbeat)
	defer pulse.Stop()
	for {
		found := m.log.after(tenant, place)
		news := found.news
		if !found.has {
			var err error
			if news, err = s.endingsOf(ctx, tenant, place, found.upTo); err != nil {
				return err
			}
		}
		if err := tell(news); err != nil {
			return err
		}
		place = news.Place
		if news.AsOf.IsZero() {
			continue // there is more
		}
		var err error
		if place, err = m.wait(ctx, tenant, place, pulse.C); err != nil {
			return err
		}
	}
}

// wait returns when there is news of the tenant after the place, or nothing to tell for a while, and
// how far there is none.
func (m *endings) wait(ctx context.Context, tenant gatehouse.TenantID, place int64, pulse <-chan time.Time) (int64, error) {
	for {
		found := m.log.after(tenant, place)
		if !found.has || len(found.news.Entries) > 0 {
			return place, nil
		}
		place = found.news.Place
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-m.store.closed:
			return 0, ErrClosed
		case <-pulse:
			return place, nil
		case <-found.told:
		}
	}
}

// watch has the database read regularly until the function that it returns is called.
func (m *endings) watch() (leave func()) {
	l := &m.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers++; l.watchers == 1 {
		stopped, done := make(chan struct{}), make(chan struct{})
		l.stop = func() { close(stopped); <-done }
		go func() {
			defer close(done)
			m.readOn(stopped)
		}()
	}
	return func() {
		l.mu.Lock()
		l.watchers--
		stop := l.stop
		last := l.watchers == 0
		l.mu.Unlock()
		if last {
			stop()
		}
	}
}

// readOn reads until it is stopped. A reading that fails is repeated.
func (m *endings) readOn(stopped <-chan struct{}) {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-m.store.closed:
			return
		case <-ticker.C:
		case <-m.log.woken:
		}
		_ = m.latest(context.Background())
		select {
		case <-stopped:
			return
		case <-time.After(followGap):
		}
	}
}

// endingsAfter returns the endings of all tenants after a number, endingsPage at most.
func (s *Store) endingsAfter(ctx context.Context, after int64) ([]ending, error) {
	return read(ctx, s, "reading what has ended", func(c *connection) (page []ending, err error) {
		err = c.each(sqlEndingsAfter, func(scan func(...any) error) error {
			var e ending
			var kind, value string
			var issuedBefore, until time.Time
			if err := scan(&e.tenant, &kind, &value, &e.seq, moment(&issuedBefore), moment(&until)); err != nil {
				return err
			}
			e.entry = entryOf(kind, value, issuedBefore, until)
			page = append(page, e)
			return nil
		}, after, endingsPage)
		return page, err
	})
}

// endingsOf returns the next endings of a tenant after a place and up to a number, all of which has
// been committed.
func (s *Store) endingsOf(ctx context.Context, tenant gatehouse.TenantID, place, upTo int64) (revocation.News, error) {
	return read(ctx, s, "reading what has ended", func(c *connection) (news revocation.News, err error) {
		news.Place = upTo
		rows := 0
		err = c.each(sqlEndingsOfTenant, func(scan func(...any) error) error {
			var kind, value string
			var issuedBefore, until time.Time
			if err := scan(&kind, &value, &place, moment(&issuedBefore), moment(&until)); err != nil {
				return err
			}
			rows++
			if entry := entryOf(kind, value, issuedBefore, until); entry.Claim != "" {
				news.Entries = append(news.Entries, entry)
			}
			return nil
		}, tenant, place, upTo, millis(s.clock.now()), endingsPage)
		if rows == endingsPage {
			news.Place = place
		}
		return news, err
	})
}

// fewEndings says whether so many have expired that the others can be kept again.
func (s *Store) fewEndings(ctx context.Context, limit int) (bool, error) {
	return read(ctx, s, "counting what has ended", func(c *connection) (bool, error) {
		var count int64
		_, err := c.one(sqlCountEndings, []any{&count})
		return count <= int64(limit)*3/4, err
	})
}

// numberAnew gives all endings, in their order, numbers beyond one that the database gave before it
// went back, so that whoever had read up to that number is told of all of them, and returns the
// counter. It does nothing if the counter is beyond the number.
func (s *Store) numberAnew(ctx context.Context, beyond int64) (counter int64, err error) {
	return writeAt(ctx, s, thorough, "numbering what has ended anew", "", func(a *act) (int64, error) {
		if err := a.engine.moveNumbers(a, beyond); err != nil {
			return 0, err
		}
		_, err := a.one(sqlSeq, []any{&counter})
		return counter, err
	})
}

func (a *act) moveNumbers(beyond int64) error {
	if moved, err := a.exec(sqlMoveSeq, beyond); err != nil || moved == 0 {
		return err
	}
	_, err := a.exec(sqlMoveEndings, beyond)
	return err
}
