package keyring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/jose"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// oneLine is a policy with the MAC roots alone to look at: a day of waiting,
// ten of signing, three of keeping.
var oneLine = Policy{Rotation: 10 * day, Wait: day, Grants: 3 * day}

// at is a time in days after noon; 0 is none.
func at(days float64) time.Time {
	if days == 0 {
		return time.Time{}
	}
	return noon.Add(time.Duration(days * float64(day)))
}

// key is a MAC root of a generation with its times in days.
func key(generation int, publish, from, until, remove, revoked float64) gatehouse.StoredKey {
	return gatehouse.StoredKey{
		ID: fmt.Sprint("k", generation), Purpose: gatehouse.KeyMAC, Generation: generation,
		PublishAt: at(publish), SignFrom: at(from), SignUntil: at(until), RemoveAt: at(remove), RevokedAt: at(revoked),
	}
}

func said(steps []Step) []string {
	var lines []string
	days := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprint(t.Sub(noon).Hours() / 24)
	}
	for _, step := range steps {
		if step.Key.Purpose != gatehouse.KeyMAC {
			continue
		}
		k := step.Key
		lines = append(lines, fmt.Sprintf("%s %d publish %s from %s until %s remove %s", step.Do, k.Generation, days(k.PublishAt), days(k.SignFrom), days(k.SignUntil), days(k.RemoveAt)))
	}
	return lines
}

func TestPlan(t *testing.T) {
	type keys = []gatehouse.StoredKey
	for _, row := range []struct {
		name string
		now  float64
		keys keys
		want []string
	}{
		{"nothing at all", 1, nil, []string{"make 0 publish 1 from 1 until - remove -"}},
		{"young", 5, keys{key(0, 1, 1, 0, 0, 0)}, nil},
		{"just before its successor", 9.99, keys{key(0, 1, 1, 0, 0, 0)}, nil},
		{"time for a successor", 10, keys{key(0, 1, 1, 0, 0, 0)}, []string{"make 1 publish 10 from 11 until - remove -"}},
		{"a little late", 10.5, keys{key(0, 1, 1, 0, 0, 0)}, []string{"make 1 publish 10.5 from 11.5 until - remove -"}},
		{"a year late", 365, keys{key(0, 1, 1, 0, 0, 0)}, []string{"make 1 publish 365 from 366 until - remove -"}},
		{"the successor waits", 10.5, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 0, 0, 0)}, nil},
		{"the successor signs", 11, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 0, 0, 0)}, []string{"stop 0 publish 1 from 1 until 11 remove 14"}},
		{"long after", 13, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 0, 0, 0)}, []string{"stop 0 publish 1 from 1 until 11 remove 14"}},
		{"it is kept", 13.99, keys{key(0, 1, 1, 11, 14, 0), key(1, 10, 11, 0, 0, 0)}, nil},
		{"it leaves", 14, keys{key(0, 1, 1, 11, 14, 0), key(1, 10, 11, 0, 0, 0)}, []string{"remove 0 publish 1 from 1 until 11 remove 14"}},
		{"lifetimes have grown", 13, keys{key(0, 1, 1, 11, 12.5, 0), key(1, 10, 11, 0, 0, 0)}, []string{"remove 0 publish 1 from 1 until 11 remove 12.5"}},
		{"lifetimes have grown in time", 12, keys{key(0, 1, 1, 11, 12.5, 0), key(1, 10, 11, 0, 0, 0)}, []string{"stop 0 publish 1 from 1 until 11 remove 14"}},
		{"lifetimes have shrunk", 12, keys{key(0, 1, 1, 11, 40, 0), key(1, 10, 11, 0, 0, 0)}, nil},
		{"three generations", 21, keys{key(0, 1, 1, 11, 40, 0), key(1, 10, 11, 0, 0, 0), key(2, 20, 21, 0, 0, 0)}, []string{"stop 1 publish 10 from 11 until 21 remove 24"}},
		{"two to stop after a long sleep", 22, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 0, 0, 0), key(2, 20, 21, 0, 0, 0)},
			[]string{"stop 1 publish 10 from 11 until 21 remove 24", "stop 0 publish 1 from 1 until 11 remove 14"}},

		{"the only one was revoked", 5, keys{key(0, 1, 1, 5, 8, 5)}, []string{"make 1 publish 5 from 5 until - remove -"}},
		{"the revoked one leaves", 8, keys{key(0, 1, 1, 5, 8, 5), key(1, 5, 5, 0, 0, 0)}, []string{"remove 0 publish 1 from 1 until 5 remove 8"}},
		{"a revoked one without an end", 6, keys{key(0, 1, 1, 0, 0, 5), key(1, 5, 5, 0, 0, 0)}, []string{"stop 0 publish 1 from 1 until 5 remove 8"}},
		{"the signing one was revoked while one waits", 10.5, keys{key(0, 1, 1, 10.5, 14, 10.5), key(1, 10, 11, 0, 0, 0)}, []string{"hasten 1 publish 10 from 10.5 until - remove -"}},
		{"the waiting one was revoked", 10.5, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 10.4, 14, 10.4)}, []string{"make 2 publish 10.5 from 11.5 until - remove -"}},
		{"the successor was revoked before its forerunner stopped", 12, keys{key(0, 1, 1, 0, 0, 0), key(1, 10, 11, 12, 15, 12)},
			[]string{"make 2 publish 12 from 13 until - remove -"}},
		{"the successor was revoked after", 12, keys{key(0, 1, 1, 11, 14, 0), key(1, 10, 11, 12, 15, 12)},
			[]string{"make 2 publish 12 from 12 until - remove -"}},
		{"a key with an end of its own", 4, keys{key(0, 1, 1, 5, 0, 0)}, []string{"make 1 publish 4 from 5 until - remove -"}},
		{"a key whose end has passed", 6, keys{key(0, 1, 1, 5, 0, 0)}, []string{"make 1 publish 6 from 6 until - remove -"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			now := at(row.now)
			if got := said(Plan(row.keys, now, oneLine)); !slices.Equal(got, row.want) {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
			backwards := slices.Clone(row.keys)
			slices.Reverse(backwards)
			if got := said(Plan(backwards, now, oneLine)); !slices.Equal(got, row.want) {
				t.Errorf("in another order: %q", got)
			}
		})
	}
}

func TestPlanKnowsEveryLine(t *testing.T) {
	policy := PolicyOf(gatehouse.Settings{}, nil)
	var keys []gatehouse.StoredKey
	for _, step := range Plan(nil, noon, policy) {
		if step.Do != Make {
			t.Errorf("%s of nothing", step.Do)
		}
		keys = append(keys, step.Key)
	}
	if len(keys) != len(Algorithms())+2 {
		t.Fatalf("%d keys", len(keys))
	}
	if more := Plan(keys, noon, policy); len(more) != 0 {
		t.Errorf("then %v", more)
	}
	// Each line is planned by itself.
	keys[0].SignFrom = noon.Add(-policy.Rotation)
	steps := Plan(keys, noon, policy)
	if len(steps) != 1 || steps[0].Key.Algorithm != keys[0].Algorithm || steps[0].Key.Purpose != gatehouse.KeySign {
		t.Errorf("one line is due: %v", steps)
	}
}

func TestPolicy(t *testing.T) {
	usual := PolicyOf(gatehouse.Settings{}, nil)
	if usual.Rotation != 90*day || usual.Wait != time.Hour || usual.Tokens != day+skew || usual.Grants != 90*day+skew || usual.Sealed != day+skew {
		t.Errorf("by default %+v", usual)
	}
	other := PolicyOf(gatehouse.Settings{
		KeyRotation: config.Duration(7 * day), RefreshIdleLifetime: config.Duration(day), RefreshAbsoluteLifetime: config.Duration(400 * day),
		InteractionLifetime: config.Duration(50 * time.Hour),
	}, []gatehouse.Resource{{TokenLifetime: config.Duration(40 * time.Hour)}, {}})
	if other.Rotation != 7*day || other.Tokens != 40*time.Hour+skew || other.Grants != 400*day+skew || other.Sealed != 50*time.Hour+skew {
		t.Errorf("by settings %+v", other)
	}
	if CacheTime > usual.Wait {
		t.Error("a key set may be kept for longer than a key waits")
	}
}

// life is one tenant's keys in a world where time leaps.
type life struct {
	t      *testing.T
	keys   []gatehouse.StoredKey
	policy Policy
	now    time.Time
	made   int
	// used is until when something made with a key is alive.
	used map[string]time.Time
	log  []string
}

// tick applies what is due, as often as something is.
func (l *life) tick() {
	for range 10 {
		steps := Plan(l.keys, l.now, l.policy)
		if len(steps) == 0 {
			return
		}
		for _, step := range steps {
			l.log = append(l.log, fmt.Sprint(l.now, " ", step.Do, " ", step.Key))
			switch step.Do {
			case Make:
				l.made++
				step.Key.ID = fmt.Sprint("k", l.made)
				l.keys = append(l.keys, step.Key)
			case Remove:
				if until, used := l.used[step.Key.ID]; used && until.After(l.now) && step.Key.RevokedAt.IsZero() {
					l.fail("%s is removed though what it made lives until %v", step.Key.ID, until)
				}
				l.keys = slices.DeleteFunc(l.keys, func(k gatehouse.StoredKey) bool { return k.ID == step.Key.ID })
			default:
				for i := range l.keys {
					if l.keys[i].ID == step.Was.ID {
						l.keys[i] = step.Key
					}
				}
			}
		}
	}
	l.fail("planning has no end")
}

func (l *life) fail(format string, args ...any) {
	l.t.Helper()
	for _, line := range l.log[max(0, len(l.log)-12):] {
		l.t.Log(line)
	}
	l.t.Fatalf("at %v: "+format, append([]any{l.now}, args...)...)
}

// look uses every line and checks what must hold at any time. emergency says
// that a key was revoked, so that one may sign that nobody could have read.
func (l *life) look(emergency bool) {
	for _, of := range l.policy.lines() {
		keys := ofLine(l.keys, of)
		signer, signs := signerOf(keys, l.now)
		if !signs {
			l.fail("nothing signs for %v", of)
		}
		first := signer.Generation == 0
		if !first && !emergency && signer.SignFrom.Sub(signer.PublishAt) < l.policy.Wait {
			l.fail("%s signs after %v", signer.ID, signer.SignFrom.Sub(signer.PublishAt))
		}
		waiting := 0
		generations := map[int]bool{}
		for _, k := range keys {
			if alive(k, l.now) && k.SignFrom.After(l.now) {
				waiting++
			}
			if generations[k.Generation] {
				l.fail("two keys of generation %d", k.Generation)
			}
			generations[k.Generation] = true
			if !k.SignUntil.IsZero() && k.RevokedAt.IsZero() && k.SignUntil.Before(k.SignFrom) || !k.RemoveAt.IsZero() && k.RemoveAt.Before(k.SignUntil) {
				l.fail("the times of %+v", k)
			}
		}
		if waiting > 1 {
			l.fail("%d keys of %v wait", waiting, of)
		}
		l.used[signer.ID] = later(l.used[signer.ID], l.now.Add(l.policy.keep(of.purpose)-skew))
		for _, k := range keys {
			if until := l.used[k.ID]; until.After(l.now) && !alive(k, l.now) && k.RevokedAt.IsZero() {
				l.fail("%s is not usable though what it made lives until %v", k.ID, until)
			}
		}
	}
}

// TestAnyTicksAtAll lets time leap: however irregular and late the planning,
// there is always one that signs, which was published for long enough, and
// none leaves too early.
func TestAnyTicksAtAll(t *testing.T) {
	for seed := range uint64(120) {
		random := rand.New(rand.NewPCG(seed, 26))
		l := &life{t: t, now: noon, used: map[string]time.Time{}, policy: Policy{
			Rotation: 10 * day, Wait: time.Hour, Tokens: day, Grants: 30 * day, Sealed: 2 * day, Algorithms: []jose.Algorithm{jose.ES256},
		}}
		l.tick()
		emergency := false
		for range 400 {
			leaps := []time.Duration{time.Second, time.Minute, 59 * time.Minute, time.Hour, 7 * time.Hour, day, 9 * day, 40 * day, 400 * day}
			l.now = l.now.Add(time.Duration(random.Int64N(int64(leaps[random.IntN(len(leaps))]))))
			l.look(emergency)
			switch random.IntN(24) {
			case 0: // an operator in a hurry
				of := l.policy.lines()[random.IntN(3)]
				step, waiting := planTurn(of, ofLine(l.keys, of), l.now, l.policy, false)
				if waiting.ID == "" {
					l.made++
					step.Key.ID = fmt.Sprint("k", l.made)
					l.keys = append(l.keys, step.Key)
				}
			case 1: // lifetimes change; they never grow beyond what a key is kept for
				l.policy.Rotation = []time.Duration{day, 10 * day, 100 * day}[random.IntN(3)]
			case 2:
				if seed%2 == 0 {
					emergency = true
					l.revoke(l.keys[random.IntN(len(l.keys))].ID)
				}
			default:
				l.tick()
			}
			l.look(emergency)
		}
	}
}

func (l *life) revoke(id string) {
	plan, found := planRevocation(l.keys, id, l.now, l.policy)
	if !found || !plan.Key.RevokedAt.IsZero() {
		return
	}
	for i := range l.keys {
		if l.keys[i].ID == id {
			l.keys[i].RevokedAt, l.keys[i].RemoveAt, l.keys[i].SignUntil = l.now, plan.Until, l.now
		}
		if plan.Hasten != nil && l.keys[i].ID == plan.Hasten.ID {
			l.keys[i].SignFrom = l.now
		}
	}
	if plan.Replacement != nil {
		l.made++
		plan.Replacement.ID = fmt.Sprint("k", l.made)
		l.keys = append(l.keys, *plan.Replacement)
	}
}
