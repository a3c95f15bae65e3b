package kv

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// MaxKeyBytes is the longest key. No key is empty.
	MaxKeyBytes = 512

	// MaxValueBytes is the largest value.
	MaxValueBytes = 64 << 10
)

// ErrFull says that the store has no room for another key. Nothing was written; a caller that needed
// a mark must refuse what it wanted to mark.
var ErrFull = errors.New("kv: the store is full")

// Store keeps values of at most MaxValueBytes under keys of 1 to MaxKeyBytes of any kind, each until its ttl,
// which must be above zero, has passed. An expired key is absent. Every method is atomic, and once
// it returned its effect is seen by every later call. Values are copied in and out. An error means
// that the store failed or that an argument is out of bounds; whether a write took effect is then
// unknown, except after ErrFull and the bounds.
type Store interface {
	// Add sets the key if it is absent and says whether it did: true for exactly one of many callers.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)

	// Get returns the key's value.
	Get(ctx context.Context, key string) (value []byte, found bool, err error)

	// Set sets the key, whether it was there or not.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Swap sets the key to new if it is there with the value old, and says whether it did.
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)

	// Take returns the key's value and removes it: found is true for exactly one of many callers.
	Take(ctx context.Context, key string) (value []byte, found bool, err error)

	// Incr adds delta to the key's number and returns the sum. An absent key counts as 0 and then
	// lives for ttl; of a key that is there the ttl stays what it was. Numbers are values in decimal
	// digits; anything else, or a sum beyond 64 bits, is an error.
	Incr(ctx context.Context, key string, delta int64, ttl time.Duration) (sum int64, err error)

	// Delete removes the key. Removing an absent key is no error.
	Delete(ctx context.Context, key string) error
}

// CheckKey is the error of a key that is out of bounds. Every store calls it.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKeyBytes {
		return fmt.Errorf("kv: a key of %d bytes is outside 1 to %d", len(key), MaxKeyBytes)
	}
	return nil
}

// CheckEntry is the error of a key, value or ttl that is out of bounds. Every store calls it before
// it writes.
func CheckEntry(key string, value []byte, ttl time.Duration) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if len(value) > MaxValueBytes {
		return fmt.Errorf("kv: a value of %d bytes is above %d", len(value), MaxValueBytes)
	}
	if ttl <= 0 {
		return fmt.Errorf("kv: a ttl of %v is not above zero", ttl)
	}
	return nil
}

// AddNumbers is what Incr makes of a stored value and a delta. Every store that cannot leave it to
// its database calls it.
func AddNumbers(stored []byte, delta int64) (int64, error) {
	number, err := parseNumber(stored)
	if err != nil {
		return 0, err
	}
	sum := number + delta
	if (sum > number) != (delta > 0) && delta != 0 {
		return 0, errors.New("kv: the sum is beyond 64 bits")
	}
	return sum, nil
}
