package store

import (
	"sync/atomic"
	"time"
)

// Load is what the writer of an SQLite database did since the store was opened.
type Load struct {
	Waiting    int // acts that wait in the queue now
	Acts       uint64
	Commits    uint64
	Committing time.Duration // on batches of acts, each with its commit
}

// Load returns what the writer did, and false with PostgreSQL, where each act commits by itself.
func (s *Store) Load() (Load, bool) {
	if s.writer == nil {
		return Load{}, false
	}
	w := &s.writer.work
	return Load{
		Waiting: len(s.writer.queue), Acts: w.acts.Load(), Commits: w.commits.Load(),
		Committing: time.Duration(w.nanoseconds.Load()),
	}, true
}

// work counts batches that were committed.
type work struct {
	acts, commits, nanoseconds atomic.Uint64
}

func (w *work) add(acts int, took time.Duration) {
	w.acts.Add(uint64(acts))
	w.commits.Add(1)
	w.nanoseconds.Add(uint64(took))
}
