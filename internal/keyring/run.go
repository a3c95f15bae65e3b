package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse"
)

const (
	// followEvery is how often a running server looks whether keys changed;
	// rereadEvery how often it reads them whether or not.
	followEvery = time.Second
	rereadEvery = time.Minute
	// planEvery is how often it looks what is due.
	planEvery = time.Minute
	// maxSteps bounds the rounds of planning of one tick: what is done may
	// make something else due.
	maxSteps = 4
	// staleAfter is how old the last reading may be. A key is published for
	// longer before it is used.
	staleAfter = minWait / 2
)

// ErrStale means that keys have not been read for so long that others may
// soon use one that is not known here.
var ErrStale = errors.New("the keys could not be read for too long")

// errDamaged means that keys were read but cannot be opened.
var errDamaged = errors.New("the stored keys cannot be opened")

// planStore is what carries out a plan. Each act is done once, whoever else
// tries it too, and says whether it was done by this call.
type planStore interface {
	Tenant(ctx context.Context, tenant gatehouse.TenantID) (gatehouse.Settings, bool, error)
	Resources(ctx context.Context, tenant gatehouse.TenantID) ([]gatehouse.Resource, error)
	KeyChanges(ctx context.Context) (int64, error)
	AddSuccessor(ctx context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, event gatehouse.Event) (added bool, err error)
	ChangeKeyTimes(ctx context.Context, tenant gatehouse.TenantID, was, becomes gatehouse.StoredKey, event gatehouse.Event) (changed bool, err error)
	RemoveKey(ctx context.Context, tenant gatehouse.TenantID, key gatehouse.StoredKey, event gatehouse.Event) (removed bool, err error)
	RevokeKey(ctx context.Context, tenant gatehouse.TenantID, revocation gatehouse.KeyRevocation, event gatehouse.Event) (revoked bool, err error)
}

// following is what a keyring remembers of its readings.
type following struct {
	counter atomic.Int64 // the change counter before the last reading, plus 1
	readAt  atomic.Int64 // when everything was read last, by the store's clock
}

// Run keeps the loaded tenants' keys up to date and does what is due in their
// lives, until ctx ends. Any number of servers may run on one database.
func (k *Keyring) Run(ctx context.Context, log *slog.Logger) {
	var loops sync.WaitGroup
	loops.Go(func() {
		every(ctx, followEvery, func() {
			if err := k.Follow(ctx); err != nil && ctx.Err() == nil {
				log.Error("keys could not be read; those that are known are used on", "error", err)
			}
		})
	})
	loops.Go(func() {
		every(ctx, planEvery, func() {
			k.eachLoaded(func(tenant gatehouse.TenantID) {
				if _, err := k.Tick(ctx, tenant); err != nil && ctx.Err() == nil {
					log.Error("the planned life of keys is held up", "tenant", string(tenant), "error", err)
				}
			})
		})
	})
	loops.Wait()
}

// every calls do now and then at every interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (k *Keyring) eachLoaded(do func(gatehouse.TenantID)) {
	k.tenants.Range(func(tenant, _ any) bool {
		do(tenant.(gatehouse.TenantID))
		return true
	})
}

// Follow reads the keys of all loaded tenants if any key was changed, and
// now and then in any case.
func (k *Keyring) Follow(ctx context.Context) error {
	counter, err := k.store.KeyChanges(ctx)
	if err != nil {
		return fmt.Errorf("follow the keys: %w", err)
	}
	now := k.store.Now()
	if k.counter.Load() == counter+1 && now.Sub(k.lastRead()) < rereadEvery {
		return nil
	}
	var unread, damaged error
	k.eachLoaded(func(tenant gatehouse.TenantID) {
		switch err := k.reload(ctx, tenant); {
		case errors.Is(err, errDamaged) && tenant != gatehouse.DefaultTenant:
			damaged = errors.Join(damaged, err) // the tenant's own affair
		default:
			unread = errors.Join(unread, err)
		}
	})
	if unread == nil {
		k.counter.Store(counter + 1)
		k.readAt.Store(now.UnixMilli())
	}
	return errors.Join(unread, damaged)
}

func (k *Keyring) lastRead() time.Time { return time.UnixMilli(k.readAt.Load()) }

// Ready fails with ErrStale when keys were last read too long ago. Before the
// first Follow it does not.
func (k *Keyring) Ready() error {
	if k.readAt.Load() == 0 {
		return nil
	}
	if age := k.store.Now().Sub(k.lastRead()); age > staleAfter {
		return fmt.Errorf("%w: %s", ErrStale, age.Round(time.Second))
	}
	return nil
}

// Tick does what is due in the life of the tenant's keys and returns the
// steps that this call did. What another server did is read.
func (k *Keyring) Tick(ctx context.Context, tenant gatehouse.TenantID) ([]Step, error) {
	var done []Step
	for range maxSteps {
		keys := k.loaded(tenant)
		policy, err := k.policy(ctx, tenant)
		if err != nil {
			return done, err
		}
		steps := Plan(keys.rows, k.store.Now(), policy)
		if len(steps) == 0 {
			return done, nil
		}
		for _, step := range steps {
			did, err := k.carryOut(ctx, tenant, &step, "plan")
			if err != nil {
				return done, err
			}
			if did {
				done = append(done, step)
			}
		}
		if err := k.reload(ctx, tenant); err != nil {
			return done, err
		}
	}
	return done, nil
}

func (k *Keyring) policy(ctx context.Context, tenant gatehouse.TenantID) (Policy, error) {
	settings, _, err := k.store.Tenant(ctx, tenant)
	if err != nil {
		return Policy{}, fmt.Errorf("read the settings of tenant %s: %w", tenant, err)
	}
	resources, err := k.store.Resources(ctx, tenant)
	if err != nil {
		return Policy{}, fmt.Errorf("read the resources of tenant %s: %w", tenant, err)
	}
	return PolicyOf(settings, resources), nil
}

// carryOut does a step, if nobody else has. A key that it makes is written
// into the step.
func (k *Keyring) carryOut(ctx context.Context, tenant gatehouse.TenantID, step *Step, actor string) (bool, error) {
	event := gatehouse.Event{Actor: actor}
	switch step.Do {
	case Make:
		made, err := k.newKey(tenant, step.Key)
		if err != nil {
			return false, err
		}
		step.Key = made
		return k.store.AddSuccessor(ctx, tenant, made, event)
	case Remove:
		return k.store.RemoveKey(ctx, tenant, step.Was, event)
	default:
		return k.store.ChangeKeyTimes(ctx, tenant, step.Was, step.Key, event)
	}
}
