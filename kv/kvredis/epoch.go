package kvredis

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// epochScript returns the epoch, making a new one when there is none or when another run of a server
// holds the keys than the one that the epoch is of. A server that was started again may have lost
// its last writes, and so may a replica that became the master, while the epoch itself survived.
var epochScript = rueidis.NewLuaScript(`
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run then return redis.error_reply('ERR the server does not tell its run_id') end
local kept = redis.call('GET', KEYS[1])
if kept and string.sub(kept, 1, #run + 1) == run .. ' ' then return string.sub(kept, #run + 2) end
local now = redis.call('TIME')
local epoch = ARGV[1] .. ' ' .. now[1] .. ' ' .. now[2]
redis.call('SET', KEYS[1], run .. ' ' .. epoch)
return epoch`)

// Epoch is a time in which nothing was lost.
type Epoch struct {
	ID    string    // random
	Since time.Time // by the server's clock, in UTC; not before the last loss
}

// Epoch returns the one that the store is in. A new one begins whenever something may have been lost:
// the server was flushed, started again, or replaced by a replica. What relies on a mark being kept
// asks for the epoch after it made the mark, and trusts nothing older than it.
func (s *Store) Epoch(ctx context.Context) (Epoch, error) {
	told, err := text(s.run(ctx, epochScript, s.prefix+"epoch", rand.Text()))
	if err != nil {
		return Epoch{}, fault("reading the epoch", err)
	}
	fields := strings.Fields(told)
	if len(fields) != 3 {
		return Epoch{}, fault("reading the epoch", errOther)
	}
	seconds, err := strconv.ParseInt(fields[1], 10, 64)
	micros, err2 := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || err2 != nil || micros < 0 || micros > 999_999 {
		return Epoch{}, fault("reading the epoch", errOther)
	}
	return Epoch{ID: fields[0], Since: time.Unix(seconds, micros*1000).UTC()}, nil
}
