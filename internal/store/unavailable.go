package store

import (
	"errors"
	"time"
)

// retryAfter is when it is worth trying again what the database could not do.
const retryAfter = 2 * time.Second

var (
	// ErrUnavailable means that the database does not answer at present, or not in time. What was
	// asked was not done, or, if the connection broke during the commit, may have been done.
	ErrUnavailable = errors.New("the database is not available")

	// ErrBusy means that more acts are waiting than the store queues. It is an ErrUnavailable.
	ErrBusy error = &unavailable{errors.New("too many acts are waiting for the database; try again")}

	// errHeld means that the act's turn did not come: somebody else writes to the file.
	errHeld error = &unavailable{errors.New("another process holds the database for too long")}

	// ErrClosed means that the store was closed. It is an ErrUnavailable.
	ErrClosed error = &unavailable{errors.New("the store is closed")}
)

// unavailable is an ErrUnavailable with its cause.
type unavailable struct{ cause error }

func (u *unavailable) Error() string             { return u.cause.Error() }
func (u *unavailable) Unwrap() error             { return u.cause }
func (u *unavailable) Is(target error) bool      { return target == ErrUnavailable }
func (u *unavailable) RetryAfter() time.Duration { return retryAfter }
