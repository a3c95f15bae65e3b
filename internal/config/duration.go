package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Duration is a length of time above zero, written as Go writes them and with d for days of 24
// hours: "30d", "1d12h", "10m", "1.5s".
type Duration time.Duration

// DurationOrZero is a Duration that may also be "0", for settings where nothing has a meaning.
type DurationOrZero time.Duration

func (d *Duration) UnmarshalText(text []byte) error {
	value, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	if value == 0 {
		return errors.New("a duration must be above zero")
	}
	*d = Duration(value)
	return nil
}

func (d *DurationOrZero) UnmarshalText(text []byte) error {
	value, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = DurationOrZero(value)
	return nil
}

// Std returns the length as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Std returns the length as the standard library's type.
func (d DurationOrZero) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string                     { return formatDuration(time.Duration(d)) }
func (d Duration) MarshalText() ([]byte, error)       { return []byte(d.String()), nil }
func (d DurationOrZero) String() string               { return formatDuration(time.Duration(d)) }
func (d DurationOrZero) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func parseDuration(text string) (time.Duration, error) {
	malformed := errors.New(`a duration must be written like 30d, 12h, 10m, 1m30s or 500ms`)
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "", text
	}
	var total time.Duration
	if hasDays {
		count, err := strconv.ParseUint(days, 10, 32)
		if err != nil {
			return 0, malformed
		}
		if count > uint64(math.MaxInt64/day) {
			return 0, errors.New("a duration must be below 292 years")
		}
		total = time.Duration(count) * day
	}
	if rest == "" && hasDays {
		return total, nil
	}
	if strings.HasPrefix(rest, "-") {
		return 0, errors.New("a duration must not be negative")
	}
	if strings.HasPrefix(rest, "+") {
		return 0, malformed
	}
	value, err := time.ParseDuration(rest)
	if err != nil {
		return 0, malformed
	}
	if value > math.MaxInt64-total {
		return 0, errors.New("a duration must be below 292 years")
	}
	return total + value, nil
}

// formatDuration writes what parseDuration reads: whole days as days, and no units that are zero.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	text := ""
	if days := d / day; days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
		d -= days * day
	}
	if d == 0 {
		return text
	}
	rest := d.String()
	if strings.HasSuffix(rest, "m0s") {
		rest = strings.TrimSuffix(rest, "0s")
	}
	if strings.HasSuffix(rest, "h0m") {
		rest = strings.TrimSuffix(rest, "0m")
	}
	return text + rest
}
