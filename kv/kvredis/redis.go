package kvredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"gatehouse/kv"
)

const (
	// topologyEvery is how often the sentinels or the nodes are asked who the master is, beside
	// being listened to.
	topologyEvery = 5 * time.Second

	// aliveEvery is how often an idle connection is tried.
	aliveEvery = time.Second

	// bufferBytes is for each direction of a connection.
	bufferBytes = 64 << 10
)

// swapScript sets the key to a new value if it has the old one.
var swapScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

// incrScript returns the sum as the text that is stored: Lua's numbers are not exact to 64 bits.
var incrScript = rueidis.NewLuaScript(`
redis.call('SET', KEYS[1], '0', 'NX', 'PX', ARGV[2])
redis.call('INCRBY', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])`)

// Store is a kv.Store on Redis. It is safe for many goroutines and is to be closed.
type Store struct {
	client  rueidis.Client
	prefix  string // of all keys, with a tag that puts them into one slot
	timeout time.Duration
}

var _ kv.Store = (*Store)(nil)

// Open connects and looks whether the server can hold what must not be forgotten: its version, that
// it is no replica, and that it refuses when it is full instead of evicting. Its error says what to
// change.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.Check(); err != nil {
		return nil, fmt.Errorf("kvredis: %w", err)
	}
	config = config.withDefaults()
	client, err := rueidis.NewClient(config.options())
	if err != nil {
		return nil, fmt.Errorf("kvredis: connecting to %s: %w", strings.Join(config.Addresses, ", "), err)
	}
	s := &Store{client: client, prefix: "{" + config.Prefix + "}", timeout: config.Timeout}
	if err := s.examine(ctx, config); err != nil {
		client.Close()
		return nil, fmt.Errorf("kvredis: %w", err)
	}
	return s, nil
}

func (c Config) options() rueidis.ClientOption {
	dialer := net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: aliveEvery}
	options := rueidis.ClientOption{
		InitAddress: append([]string{}, c.Addresses...), ForceSingleClient: !c.Cluster && c.SentinelMaster == "",
		SelectDB: c.Database, Username: c.Username, Password: c.Password.Reveal(),
		TLSConfig: c.TLS, Dialer: dialer, ConnWriteTimeout: c.Timeout,
		ReadBufferEachConn: bufferBytes, WriteBufferEachConn: bufferBytes,
		// A connection that ends is noticed at once only where somebody always reads.
		AlwaysPipelining: true,
		// What failed is not repeated: whether it took effect is not known.
		DisableRetry: true, DisableCache: true,
		ClientSetInfo: rueidis.DisableClientSetInfo,
		ClusterOption: rueidis.ClusterOption{ShardsRefreshInterval: topologyEvery, MaxMovedRedirections: 3},
		DialCtxFn: func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
			conn, err := dial(ctx, address, dialer, config)
			if err != nil {
				return nil, err
			}
			return newGuard(conn, c.SentinelMaster != ""), nil
		},
	}
	if c.SentinelMaster != "" {
		options.Sentinel = rueidis.SentinelOption{
			MasterSet: c.SentinelMaster, Username: c.SentinelUsername, Password: c.SentinelPassword.Reveal(),
			TLSConfig: c.TLS, Dialer: dialer, TopologyRefreshInterval: topologyEvery,
		}
	}
	return options
}

func dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialer.Timeout)
	defer cancel()
	network := "tcp"
	if isSocket(address) {
		network = "unix"
	}
	if config == nil {
		return dialer.DialContext(ctx, network, address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, address)
}

// Close ends the connections. Operations under way fail.
func (s *Store) Close() { s.client.Close() }

func (s *Store) key(key string) string { return s.prefix + ":" + key }

func (s *Store) do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.client.Do(ctx, command)
}

func (s *Store) run(ctx context.Context, script *rueidis.Lua, key string, args ...string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return script.Exec(ctx, s.client, []string{key}, args)
}

// life is a ttl in milliseconds; a part of one counts as a whole one.
func life(ttl time.Duration) int64 {
	whole := int64(ttl / time.Millisecond)
	if ttl%time.Millisecond > 0 {
		whole++
	}
	return whole
}

func (s *Store) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := kv.CheckEntry(key, value, ttl); err != nil {
		return false, err
	}
	reply, err := text(s.do(ctx, s.client.B().Set().Key(s.key(key)).Value(string(value)).Nx().PxMilliseconds(life(ttl)).Build()))
	switch {
	case rueidis.IsRedisNil(err):
		return false, nil
	case err == nil && reply != "OK":
		err = errOther
	}
	return err == nil, fault("adding a key", err)
}

func (s *Store) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if err := kv.CheckKey(key); err != nil {
		return nil, false, err
	}
	return value("reading a key", s.do(ctx, s.client.B().Get().Key(s.key(key)).Build()))
}

func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := kv.CheckEntry(key, value, ttl); err != nil {
		return err
	}
	reply, err := text(s.do(ctx, s.client.B().Set().Key(s.key(key)).Value(string(value)).PxMilliseconds(life(ttl)).Build()))
	if err == nil && reply != "OK" {
		err = errOther
	}
	return fault("setting a key", err)
}

func (s *Store) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	if err := kv.CheckEntry(key, new, ttl); err != nil {
		return false, err
	}
	swapped, err := s.run(ctx, swapScript, s.key(key), string(old), string(new), strconv.FormatInt(life(ttl), 10)).ToInt64()
	if err == nil && swapped != 0 && swapped != 1 {
		err = errOther
	}
	return err == nil && swapped == 1, fault("swapping a key", err)
}

func (s *Store) Take(ctx context.Context, key string) ([]byte, bool, error) {
	if err := kv.CheckKey(key); err != nil {
		return nil, false, err
	}
	return value("taking a key", s.do(ctx, s.client.B().Getdel().Key(s.key(key)).Build()))
}

func (s *Store) Incr(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	if err := kv.CheckEntry(key, nil, ttl); err != nil {
		return 0, err
	}
	digits, err := text(s.run(ctx, incrScript, s.key(key), strconv.FormatInt(delta, 10), strconv.FormatInt(life(ttl), 10)))
	if err != nil {
		return 0, fault("counting a key", err)
	}
	sum, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, fault("counting a key", errOther)
	}
	return sum, nil
}

func (s *Store) Delete(ctx context.Context, key string) error {
	if err := kv.CheckKey(key); err != nil {
		return err
	}
	_, err := s.do(ctx, s.client.B().Del().Key(s.key(key)).Build()).ToInt64()
	return fault("deleting a key", err)
}

// errOther is a well-formed reply to another question than was asked.
var errOther = errors.New("the server's reply is not one to the command")

// text is the text that a reply must be.
func text(reply rueidis.RedisResult) (string, error) {
	message, err := reply.ToMessage()
	if err == nil && !message.IsString() {
		err = errOther
	}
	if err != nil {
		return "", err
	}
	return message.ToString()
}

// value is what a reply to GET or GETDEL holds.
func value(doing string, reply rueidis.RedisResult) ([]byte, bool, error) {
	held, err := text(reply)
	switch {
	case rueidis.IsRedisNil(err):
		return nil, false, nil
	case err == nil && len(held) > kv.MaxValueBytes:
		err = errOther
	}
	if err != nil {
		return nil, false, fault(doing, err)
	}
	return []byte(held), true, nil
}

// fault is the error of an operation: kv.ErrFull in it when the server has no room.
func fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := rueidis.IsRedisErr(err); ok && strings.Contains(refused.Error(), "OOM command not allowed") {
		return fmt.Errorf("kvredis: %s: %w: %w", doing, kv.ErrFull, err)
	}
	return fmt.Errorf("kvredis: %s: %w", doing, err)
}
