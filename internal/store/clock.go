package store

import (
	"sync"
	"time"
)

// catchUp is the share of its pace, one part in so many, that the store's clock gives up while it
// is ahead of the system's: an hour ahead is absorbed in ten.
const catchUp = 10

// clock is a clock that never goes back. When the system's clock is set back it goes on, a tenth
// slower, until that has caught up: a code or a grace neither revives nor lasts for ever.
type clock struct {
	read func() time.Time

	mu   sync.Mutex
	last time.Time // the last reading
	mark time.Time // the last time told
}

// startClock returns a clock that tells no time before mark.
func startClock(read func() time.Time, mark time.Time) *clock {
	return &clock{read: read, last: read(), mark: mark}
}

// now is in whole milliseconds, as times are stored.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	reading := c.read()
	elapsed := max(reading.Sub(c.last), 0)
	c.last = reading
	c.mark = c.mark.Add(elapsed - elapsed/catchUp)
	if wall := reading.Round(0); wall.After(c.mark) {
		c.mark = wall
	}
	return time.UnixMilli(c.mark.UnixMilli()).UTC()
}
