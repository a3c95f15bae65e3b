package revocation

import "time"

// News is what a server tells a reader: entries in the order in which they were
// committed, and how far they reach.
type News struct {
	Entries []Entry
	// Snapshot says that these are the first of all entries there are, rather than
	// those after the place that was asked for.
	Snapshot bool
	// Place is behind the last of them: the reader has everything up to it.
	Place int64
	// AsOf is the time up to which nothing is missing at that place; zero while
	// more entries wait to be told.
	AsOf time.Time
}
