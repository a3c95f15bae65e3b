package login

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/seal"
)

const (
	// throttleSlots is the size of each table of failed attempts, per
	// tenant. Names that an attacker invents share slots instead of growing
	// the table.
	throttleSlots = 1 << 16

	// accountShare is how many times the free attempts of one address an
	// account has for all addresses together. One attacker is held back long
	// before; a thousand of them meet this.
	accountShare = 10

	// throttleRaces is how often an attempt that lost a race to write its
	// slot tries again before it is told to wait.
	throttleRaces = 16
)

// counters keep small values that expire, each method atomic.
type counters interface {
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) (added bool, err error)
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (swapped bool, err error)
	Delete(ctx context.Context, key string) error
}

// throttle delays guessing. An attempt is counted as failed before its
// password is looked at, so that many at once are not cheaper than one after
// the other, and is forgiven when it succeeds.
type throttle struct {
	counters counters
	now      func() time.Time
}

// gate is one counter that an attempt has to pass.
type gate struct {
	key string
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
	for _, g := range gates {
		if err := t.counters.Delete(ctx, g.key); err != nil {
			return err
		}
	}
	return nil
}

// tally is the state of a gate.
type tally struct {
	failures int
	shut     time.Time // until then
}

const tallyBytes = 4 + 8

func (t tally) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(t.failures))
	return binary.BigEndian.AppendUint64(b, uint64(t.shut.UnixMilli()))
}

// readTally returns the zero tally for anything that tally.bytes did not make.
func readTally(b []byte) tally {
	if len(b) != tallyBytes {
		return tally{}
	}
	return tally{int(binary.BigEndian.Uint32(b)), time.UnixMilli(int64(binary.BigEndian.Uint64(b[4:])))}
}

// maxFailures bounds a tally; the delay has long reached its cap.
const maxFailures = 1 << 20

func (t throttle) count(ctx context.Context, g gate, rule gatehouse.Throttle) (time.Duration, error) {
	for range throttleRaces {
		stored, found, err := t.counters.Get(ctx, g.key)
		if err != nil {
			return 0, err
		}
		state, now := readTally(stored), t.now()
		if wait := state.shut.Sub(now); found && wait > 0 {
			return min(wait, rule.MaxDelay.Std()), nil
		}
		failures := min(state.failures+1, maxFailures)
		delay := delayAfter(failures, g.free, rule)
		written, err := t.write(ctx, g.key, stored, found, tally{failures, now.Add(delay)}, max(rule.Window.Std(), delay))
		if err != nil || written {
			return 0, err
		}
	}
	return rule.FirstDelay.Std(), nil
}

// giveBack takes back one failure at each gate, for an attempt that was not
// decided.
func (t throttle) giveBack(ctx context.Context, gates []gate, rule gatehouse.Throttle) error {
	for _, g := range gates {
		for range throttleRaces {
			stored, found, err := t.counters.Get(ctx, g.key)
			if err != nil {
				return err
			}
			if !found {
				break
			}
			failures := max(0, readTally(stored).failures-1)
			written, err := t.write(ctx, g.key, stored, true, tally{failures, t.now()}, rule.Window.Std())
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

func (t throttle) write(ctx context.Context, key string, stored []byte, found bool, state tally, ttl time.Duration) (bool, error) {
	if !found {
		return t.counters.Add(ctx, key, state.bytes(), ttl)
	}
	return t.counters.Swap(ctx, key, stored, state.bytes(), ttl)
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
func (e *Endpoints) gates(r *endpoint.Request, ring *seal.Ring, who account) []gate {
	free := r.Tenant.Settings.Throttle.FreeAttempts
	if device, known := e.knownDevice(r, who.subject); known {
		return []gate{{slotKey(r.Tenant.ID, "device", ring, who.tag, device), free}}
	}
	return []gate{
		{slotKey(r.Tenant.ID, "address", ring, who.tag, []byte(endpoint.Network(r.Request))), free},
		{slotKey(r.Tenant.ID, "account", ring, who.tag), free * accountShare},
	}
}

func slotKey(tenant gatehouse.TenantID, kind string, ring *seal.Ring, parts ...[]byte) string {
	tag := ring.Current().MAC(append([][]byte{[]byte("slot"), []byte(kind)}, parts...)...)
	slot := binary.BigEndian.Uint32(tag) % throttleSlots
	return "login " + string(tenant) + " " + kind + " " + hex.EncodeToString(binary.BigEndian.AppendUint32(nil, slot))
}
