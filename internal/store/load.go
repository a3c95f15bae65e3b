package store

import (
	"sync/atomic"
	"time"
)

// Load is what the store did since it was opened.
type Load struct {
	Waiting    int // acts, and with PostgreSQL queries, that wait for their turn now
	Acts       uint64
	Commits    uint64
	Committing time.Duration // on acts that were committed, of those in one batch together
}

// Load returns what the store did.
func (s *Store) Load() Load {
	if p := s.postgres; p != nil {
		waiting := int(p.waiting.Load()) - p.db.Stats().InUse
		return p.work.load(max(waiting, 0))
	}
	return s.writer.work.load(len(s.writer.queue))
}

// work counts what was committed: on SQLite batches, on PostgreSQL single acts.
type work struct {
	acts, commits, nanoseconds atomic.Uint64
}

func (w *work) add(acts int, took time.Duration) {
	w.acts.Add(uint64(acts))
	w.commits.Add(1)
	w.nanoseconds.Add(uint64(took))
}

func (w *work) load(waiting int) Load {
	return Load{Waiting: waiting, Acts: w.acts.Load(), Commits: w.commits.Load(), Committing: time.Duration(w.nanoseconds.Load())}
}
