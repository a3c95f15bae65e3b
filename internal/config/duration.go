package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in a configuration file: a Go duration such as
// 10m or 36h, or a whole number of days such as 30d.
type Duration time.Duration

const day = 24 * time.Hour

// Std returns the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns whole days as 30d and everything else as Go writes it.
func (d Duration) String() string {
	if d != 0 && time.Duration(d)%day == 0 {
		return strconv.FormatInt(int64(time.Duration(d)/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// MarshalText returns the text that UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration, which must not be negative.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := parseDuration(string(text))
	if err != nil || value < 0 {
		return fmt.Errorf("%q is not a duration; write 30s, 10m, 12h or 30d", text)
	}
	*d = Duration(value)
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	days, found := strings.CutSuffix(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	count, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(count) * day, err
}
