package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
	"gatehouse/revocation"
)

// What has ended is kept in memory, for two readers: requests that ask whether a token has ended,
// and the followers of the revocation feed. Rows are read in the order of their numbers, which is
// that of their commits, so that nothing before the last one read is missing.

const (
	// endingsLimit is how many endings are kept in memory, over all tenants. While there are more,
	// the database is asked for each token.
	endingsLimit = 200_000
	endingsRetry = time.Minute // after which it is seen whether there are less

	endingsPage = 1000 // rows of one query
)

// ending is a row of endings.
type ending struct {
	tenant gatehouse.TenantID
	seq    int64
	entry  revocation.Entry
}

// claimOf is the claim by which an ending of the kind names tokens. Where that is the issuer, the
// value is the tenant's id: its issuer is not known here.
func claimOf(kind string) (claim revocation.Claim, watermark bool) {
	switch kind {
	case endingGrant:
		return revocation.GrantHandle, false
	case endingToken:
		return revocation.TokenID, false
	case endingSession:
		return revocation.SessionID, false
	case endingClient:
		return revocation.ClientID, true
	case endingSubject:
		return revocation.Subject, true
	case endingTenant:
		return revocation.Issuer, true
	case endingKey:
		return revocation.KeyID, false
	}
	return "", false
}

func entryOf(kind, value string, issuedBefore, until time.Time) revocation.Entry {
	claim, watermark := claimOf(kind)
	entry := revocation.Entry{Claim: claim, Value: value, Expiry: until}
	if watermark {
		entry.IssuedUntil = issuedBefore
	}
	return entry
}

// endings is what has ended, of all tenants.
type endings struct {
	store   *Store
	limit   int // endingsLimit
	started time.Time

	kept atomic.Pointer[kept]
	// checkedAt is when all that is kept was current, since started; 0 before the first reading.
	checkedAt atomic.Int64

	mu      sync.Mutex
	reading *reading // under way
	// counter is what the last reading found of the numbers that the database has given, fullSince
	// when it found too many endings. Only a reading uses them.
	counter   int64
	server    int64 // that told it, as Store.counter has it
	fullSince time.Time

	log endingLog
}

// kept is the endings in memory: of each tenant a set.
type kept struct {
	limit    int
	sets     sync.Map // gatehouse.TenantID → *revocation.Set
	count    atomic.Int64
	complete atomic.Bool // all that the database had were read
	full     atomic.Bool // there are too many, and none are kept
}

// serves says whether the sets tell all.
func (k *kept) serves() bool { return k.complete.Load() && !k.full.Load() }

func newEndings(s *Store) *endings {
	m := &endings{store: s, limit: endingsLimit, started: time.Now(), log: newEndingLog()}
	m.kept.Store(&kept{limit: m.limit})
	return m
}

func (k *kept) of(tenant gatehouse.TenantID) *revocation.Set {
	if set, found := k.sets.Load(tenant); found {
		return set.(*revocation.Set)
	}
	set, _ := k.sets.LoadOrStore(tenant, revocation.NewSet(k.limit))
	return set.(*revocation.Set)
}

// add adds an ending; with too many of them all are dropped.
func (k *kept) add(e ending) {
	if k.full.Load() {
		return
	}
	if k.count.Add(1) > int64(k.limit) || !k.of(e.tenant).Add(e.entry) {
		k.full.Store(true)
		k.sets.Clear()
	}
}

// tidy removes what has expired and counts what is left.
func (k *kept) tidy(now time.Time) {
	count := 0
	k.sets.Range(func(_, set any) bool {
		set.(*revocation.Set).Expire(now)
		count += set.(*revocation.Set).Len()
		return true
	})
	k.count.Store(int64(count))
}

// committed adds what this process has ended, before the act is answered: who ended something sees
// the end.
func (m *endings) committed(ended []ending) {
	if len(ended) == 0 {
		return
	}
	k := m.kept.Load()
	for _, e := range ended {
		k.add(e)
	}
	m.log.wake()
}

// ended says whether the token has ended, as of snapshotLife ago at most. known is false when they
// are not, or not all, in memory.
func (m *endings) ended(ctx context.Context, tenant gatehouse.TenantID, token gatehouse.TokenFacts) (ended, known bool, err error) {
	if err := m.current(ctx); err != nil {
		return false, false, err
	}
	k := m.kept.Load()
	set, found := k.sets.Load(tenant)
	ended = found && set.(*revocation.Set).Ended(revocation.Token{
		GrantHandle: token.Handle, ID: token.ID, ClientID: token.ClientID, Subject: token.Subject,
		Issuer: string(tenant), SessionID: token.SessionID, KeyID: token.KeyID, IssuedAt: token.IssuedAt,
	})
	return ended, k.serves(), nil // now: the sets may have been dropped meanwhile
}

// reading is a reading of what is new. It is everybody's: those who need it wait for it.
type reading struct {
	began time.Duration // since endings.started
	done  chan struct{}
	err   error
}

// current returns when everything that was committed snapshotLife ago has been read. One caller
// reads ahead of time, while the others go on with what there is.
func (m *endings) current(ctx context.Context) error {
	if m.age() < snapshotLife/2 {
		return nil
	}
	arrived := time.Since(m.started)
	return m.join(ctx, func(began time.Duration) bool { return began > arrived-snapshotLife }, func() bool { return m.age() < snapshotLife })
}

// latest returns when everything that is committed now has been read.
func (m *endings) latest(ctx context.Context) error {
	arrived := time.Since(m.started)
	return m.join(ctx, func(began time.Duration) bool { return began >= arrived }, func() bool { return false })
}

// join begins a reading, or waits for the one under way unless that is needless, and for the next
// one if it began too early.
func (m *endings) join(ctx context.Context, inTime func(began time.Duration) bool, needless func() bool) error {
	asker := patienceOf(ctx)
	defer asker.spent(time.Now())
	limit := asker.within(never)
	if limit <= 0 {
		return errSpent
	}
	var late <-chan time.Time
	if limit < never {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	for {
		r, ours := m.begin()
		switch {
		case ours && late == nil:
			m.run(ctx, r)
			return r.err
		case ours: // it goes on for the others when we have to leave
			go m.run(WithPatience(ctx, 0), r)
		case needless():
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return errSpent
		case <-r.done:
			if inTime(r.began) {
				return r.err
			}
		}
	}
}

const never = time.Duration(1<<63 - 1)

func (m *endings) age() time.Duration {
	at := m.checkedAt.Load()
	if at == 0 {
		return never
	}
	return time.Since(m.started) - time.Duration(at)
}

// begin returns the reading under way, or a new one, which the caller then has to run.
func (m *endings) begin() (r *reading, ours bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reading != nil {
		return m.reading, false
	}
	m.reading = &reading{began: max(time.Since(m.started), 1), done: make(chan struct{})}
	return m.reading, true
}

// run reads. Others may wait for it, so it goes on when the caller's request has ended.
func (m *endings) run(ctx context.Context, r *reading) {
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("reading what has ended panicked: %v\n%s", p, debug.Stack())
		}
		m.mu.Lock()
		m.reading = nil
		m.mu.Unlock()
		close(r.done)
	}()
	if r.err = m.read(context.WithoutCancel(ctx)); r.err == nil {
		m.checkedAt.Store(int64(r.began))
	}
}

// read brings the memory and the log up to date. There is one reading at a time.
func (m *endings) read(ctx context.Context) error {
	asOf := m.store.Now()
	counter, server, err := m.store.counter(ctx, "following what has ended", sqlSeq, pgSeq)
	if err != nil {
		return err
	}
	if counter < m.counter { // a failover lost acts, and numbers are given again
		if counter, err = m.numberAnew(ctx, m.counter); err != nil {
			return err
		}
	} else if m.server != 0 && server != m.server { // perhaps one did, and the numbers have caught up
		if counter, err = m.compare(ctx, counter, asOf); err != nil {
			return err
		}
	}
	k := m.kept.Load()
	if k.full.Load() && asOf.Sub(m.fullSince) >= endingsRetry {
		m.fullSince = asOf
		few, err := m.store.fewEndings(ctx, m.limit)
		if err != nil {
			return err
		}
		if few {
			k = &kept{limit: m.limit}
			m.kept.Store(k)
		}
	}
	from := m.log.end()
	if !k.complete.Load() {
		from = 0
	}
	if from < counter || !k.complete.Load() {
		if err := m.readFrom(ctx, k, from, counter); err != nil {
			return err
		}
		k.complete.Store(true)
	}
	m.counter, m.server = counter, server
	k.tidy(asOf)
	if k.full.Load() && m.fullSince.IsZero() {
		m.fullSince = asOf
	}
	m.log.reached(counter, asOf)
	return nil
}

// readFrom adds the endings after a number to those that are kept, and to the log.
func (m *endings) readFrom(ctx context.Context, k *kept, from, counter int64) error {
	for {
		page, err := m.store.endingsAfter(ctx, from)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.entry.Claim != "" { // of a kind that this version does not know
				k.add(e)
			}
			from = e.seq
		}
		m.log.add(page)
		if len(page) < endingsPage {
			return nil
		}
		if k.full.Load() { // nobody needs the rest but the followers, who read it themselves
			m.log.skip(counter)
			return nil
		}
	}
}
