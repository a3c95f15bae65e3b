package login

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/seal"
	"gatehouse/kv"
	"gatehouse/oauth"
)

const (
	// throttleSlots is the size of each table of failed attempts, per
	// tenant, in slots of slotWays keys. Names that an attacker invents share
	// slots instead of growing the table; for one of ten thousand of them to
	// share its count with a stranger is a matter of one in a million.
	throttleSlots = 1 << 14

	// accountShare is how many times the free attempts of one address an
	// account has for all addresses together. One attacker is held back long
	// before; a thousand of them meet this.
	accountShare = 10

	// throttleRaces is how often an attempt that lost a race to write its
	// slot tries again before it is told to wait.
	throttleRaces = 16

	// crowdedRate is how many attempts a second each key has while there is no
	// room to count another one.
	crowdedRate = 1.0 / 60
)

// counters keep small values that expire, each method atomic. One that has no
// room says kv.ErrFull.
type counters interface {
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)
}

// throttle delays guessing. An attempt is counted as failed before its
// password is looked at, so that many at once are not cheaper than one after
// the other, and is forgiven when it succeeds.
type throttle struct {
	counters counters
	now      func() time.Time
	// crowded counts while counters has no room: a table that somebody has
	// filled neither lets everybody guess nor locks everybody out.
	crowded *endpoint.Limiter
}

func newThrottle(counters counters, now func() time.Time) throttle {
	return throttle{counters, now, endpoint.NewLimiter(now)}
}

// gate is one counter that an attempt has to pass: a mark in a slot.
type gate struct {
	key  string // of the slot
	mark uint32
	// free is how many may fail before the first delay.
	free int
}

// enter counts an attempt at every gate and returns 0, or how long to wait
// when one of them is shut; then no gate has counted it.
func (t throttle) enter(ctx context.Context, gates []gate, rule gatehouse.Throttle) (time.Duration, error) {
	for i, g := range gates {
		wait, err := t.count(ctx, g, rule)
		if err != nil {
			return 0, err
		}
		if wait > 0 {
			return wait, t.giveBack(ctx, gates[:i], rule)
		}
	}
	return 0, nil
}

// forgive forgets the failures of all gates: the attempt succeeded.
func (t throttle) forgive(ctx context.Context, gates []gate) error {
	return t.each(ctx, gates, func(s slot, g gate) slot { return s.without(g.mark) })
}

// giveBack takes back one failure at each gate, for an attempt that was not
// decided.
func (t throttle) giveBack(ctx context.Context, gates []gate, rule gatehouse.Throttle) error {
	return t.each(ctx, gates, func(s slot, g gate) slot {
		if own := s.find(g.mark); own != nil {
			now := t.now()
			own.failures, own.shut, own.forgotten = max(0, own.failures-1), now, now.Add(rule.Window.Std())
		}
		return s
	})
}

// each changes the slot of every gate, unless there is none.
func (t throttle) each(ctx context.Context, gates []gate, change func(slot, gate) slot) error {
	for _, g := range gates {
		for range throttleRaces {
			stored, found, err := t.counters.Get(ctx, g.key)
			if err != nil {
				return err
			}
			if !found {
				break
			}
			now := t.now()
			written, err := t.write(ctx, g.key, stored, true, change(readSlot(stored, now), g), now)
			if err != nil {
				return err
			}
			if written {
				break
			}
		}
	}
	return nil
}

// maxFailures bounds a tally; the delay has long reached its cap.
const maxFailures = 1 << 20

func (t throttle) count(ctx context.Context, g gate, rule gatehouse.Throttle) (time.Duration, error) {
	for range throttleRaces {
		stored, found, err := t.counters.Get(ctx, g.key)
		if err != nil {
			return 0, err
		}
		now := t.now()
		s := readSlot(stored, now)
		own := s.of(g.mark)
		if wait := own.shut.Sub(now); wait > 0 {
			return min(wait, rule.MaxDelay.Std()), nil
		}
		own.failures = min(own.failures+1, maxFailures)
		delay := delayAfter(own.failures, g.free, rule)
		own.shut, own.forgotten = now.Add(delay), now.Add(max(rule.Window.Std(), delay))
		written, err := t.write(ctx, g.key, stored, found, s, now)
		if errors.Is(err, kv.ErrFull) {
			return t.crowded.Take(g.String(), crowdedRate), nil
		}
		if err != nil || written {
			return 0, err
		}
	}
	return rule.FirstDelay.Std(), nil
}

func (t throttle) write(ctx context.Context, key string, stored []byte, found bool, s slot, now time.Time) (bool, error) {
	if !found {
		return t.counters.Add(ctx, key, s.bytes(), s.lasts(now))
	}
	return t.counters.Swap(ctx, key, stored, s.bytes(), s.lasts(now))
}

// attempted counts an attempt of an account before its password is looked at.
// It returns the gates that it passed and whether the device is known, or the refusal (RFC 6585 §4): there were
// too many failures of the account, or of the network at whichever accounts. A
// device that the account knows is not held up by its network.
func (e *Endpoints) attempted(r *endpoint.Request, ring *seal.Ring, who account) (gates []gate, known bool, refusal *oauth.Error, err error) {
	gates, known = e.gates(r, ring, who)
	settings := r.Tenant.Settings
	if !known {
		if wait := e.failures.Wait(networkKey(r), settings.RateLimits.FailuresPerAddress); wait > 0 {
			return nil, known, addressLimited(wait), nil
		}
	}
	wait, err := e.throttle.enter(r.Context(), gates, settings.Throttle)
	if err == nil && wait > 0 {
		refusal = oauth.Refuse("login-throttled", oauth.TemporarilyUnavailable,
			"There were too many failed attempts for this account.").WithStatus(http.StatusTooManyRequests).After(wait)
	}
	return gates, known, refusal, err
}

func addressLimited(wait time.Duration) *oauth.Error {
	return oauth.Refuse("login-address-limited", oauth.TemporarilyUnavailable,
		"Too many attempts from this address failed.").WithStatus(http.StatusTooManyRequests).After(wait)
}

// failed records an attempt whose password was wrong.
func (e *Endpoints) failed(r *endpoint.Request, who account) error {
	e.failures.Take(networkKey(r), r.Tenant.Settings.RateLimits.FailuresPerAddress)
	return e.Store.CountFailedLogin(r.Context(), r.Tenant.ID, who.subject, who.String(), r.Circumstance())
}

func networkKey(r *endpoint.Request) string {
	return string(r.Tenant.ID) + " " + endpoint.Network(r.Request)
}

// delayAfter is how long a gate stays shut after its nth failure in a row.
func delayAfter(failures, free int, rule gatehouse.Throttle) time.Duration {
	if failures < free {
		return 0
	}
	delay, longest := rule.FirstDelay.Std(), rule.MaxDelay.Std()
	for range failures - free {
		if delay >= longest {
			break
		}
		delay *= 2
	}
	return min(delay, longest)
}

// account names an account for counters and events without telling which:
// every spelling that leads to one user gives one tag, and names that nobody
// has give tags, too.
type account struct {
	tag     []byte
	subject string // "" when nobody has the name
}

func accountOf(ring *seal.Ring, user gatehouse.User, found bool, name string) account {
	if found {
		return account{ring.Current().MAC([]byte("subject"), []byte(user.Subject)), user.Subject}
	}
	return account{ring.Current().MAC([]byte("name"), []byte(gatehouse.LoginKey(name))), ""}
}

// String is the account's key in events.
func (a account) String() string { return hex.EncodeToString(a.tag) }

// gates returns what an attempt has to pass. A device on which the account
// has signed in before has a gate of its own: strangers' failures do not
// shut it.
func (e *Endpoints) gates(r *endpoint.Request, ring *seal.Ring, who account) (gates []gate, known bool) {
	free := r.Tenant.Settings.Throttle.FreeAttempts
	if device, known := e.knownDevice(r, who.subject); known {
		return []gate{gateOf(r.Tenant.ID, "device", free, ring, who.tag, device)}, true
	}
	return []gate{
		gateOf(r.Tenant.ID, "address", free, ring, who.tag, []byte(endpoint.Network(r.Request))),
		gateOf(r.Tenant.ID, "account", free*accountShare, ring, who.tag),
	}, false
}

func gateOf(tenant gatehouse.TenantID, kind string, free int, ring *seal.Ring, parts ...[]byte) gate {
	tag := ring.Current().MAC(append([][]byte{[]byte("slot"), []byte(kind)}, parts...)...)
	number := binary.BigEndian.Uint32(tag) % throttleSlots
	return gate{
		key:  "login " + string(tenant) + " " + kind + " " + strconv.FormatUint(uint64(number), 36),
		mark: binary.BigEndian.Uint32(tag[4:]), free: free,
	}
}

func (g gate) String() string { return g.key + " " + strconv.FormatUint(uint64(g.mark), 36) }
