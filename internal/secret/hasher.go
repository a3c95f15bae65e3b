package secret

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

const (
	// MaxPasswordBytes is the longest password that is hashed.
	MaxPasswordBytes = 1024

	// waitingPerSlot bounds the queue: at about a tenth of a second each, the last in it waits less
	// than two seconds.
	waitingPerSlot = 16

	// quietFor is how long after the last password the memory of hashing is given back to the system.
	quietFor = time.Second

	// worthFreeing is how much memory, in KiB, a hash takes that is given back at the price of a collection.
	worthFreeing = 16 * 1024

	saltBytes = 16 // RFC 9106 §3.1 recommends 16 for passwords
	hashBytes = 32

	// bcryptPasswordBytes is where bcrypt stops reading.
	bcryptPasswordBytes = 72
)

var (
	// ErrBusy says that too many passwords are being hashed already. Nothing was decided about this
	// one; the caller should answer 503 or 429 and let the user try again.
	ErrBusy = errors.New("too many passwords are being checked at once")

	// ErrPasswordLength refuses an empty password or one of more than MaxPasswordBytes.
	ErrPasswordLength = fmt.Errorf("a password must have 1 to %d bytes", MaxPasswordBytes)
)

// Params are the costs of new hashes. A zero field takes its default, which is above the least that
// OWASP's password storage guide asks of argon2id (46 MiB in one pass). RFC 9106 §4 would spread three
// passes over four threads; one thread keeps a login storm on as many processors as there are slots.
type Params struct {
	MemoryKiB uint32 // default 65536 (64 MiB)
	Passes    uint32 // default 2
	Threads   uint8  // default 1
	Slots     int    // how many passwords may be hashed at the same time; default 2
}

func (p Params) withDefaults() Params {
	if p.MemoryKiB == 0 {
		p.MemoryKiB = 64 * 1024
	}
	if p.Passes == 0 {
		p.Passes = 2
	}
	if p.Threads == 0 {
		p.Threads = 1
	}
	if p.Slots <= 0 {
		p.Slots = 2
	}
	return p
}

// Hasher hashes and checks passwords with argon2id, in a bounded number of slots: the memory in use
// is at most Slots × the memory of one hash (64 MiB by default, never above 256 MiB for an imported
// one) while passwords are checked and goes back to the system a second after the last one, and at most 16 callers for each slot wait for their turn. It is safe for concurrent use.
type Hasher struct {
	params Params
	dummy  argonHash
	slots  chan struct{}
	queue  chan struct{}
	quiet  *time.Timer
	free   func() // gives memory back to the system
}

// NewHasher makes a Hasher for new hashes of these costs.
func NewHasher(params Params) *Hasher {
	params = params.withDefaults()
	h := &Hasher{
		params: params,
		slots:  make(chan struct{}, params.Slots),
		queue:  make(chan struct{}, params.Slots*waitingPerSlot),
		free:   debug.FreeOSMemory,
	}
	h.quiet = time.AfterFunc(quietFor, h.rest)
	h.quiet.Stop()
	h.dummy = h.fresh()
	return h
}

// fresh is a hash of the configured costs with a new salt and no result yet.
func (h *Hasher) fresh() argonHash {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: it ends the process instead
	return argonHash{
		memoryKiB: h.params.MemoryKiB,
		passes:    h.params.Passes,
		threads:   h.params.Threads,
		salt:      salt,
		hash:      make([]byte, hashBytes),
	}
}

// Hash returns the password's argon2id hash in PHC form. It fails with ErrPasswordLength or ErrBusy.
func (h *Hasher) Hash(ctx context.Context, password string) (phc string, err error) {
	if !hashable(password) {
		return "", ErrPasswordLength
	}
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	fresh := h.fresh()
	fresh.hash = fresh.derive(password)
	return fresh.String(), nil
}

// Verify says whether the password is the one that phc was made of, and whether it should be hashed
// anew because phc has other costs than new hashes or is bcrypt. A password of impossible length is
// simply wrong. It fails with ErrBusy, or with ParsePHC's error when the stored hash is unusable.
func (h *Hasher) Verify(ctx context.Context, phc, password string) (ok, rehash bool, err error) {
	if isBcrypt(phc) {
		return h.verifyBcrypt(ctx, phc, password)
	}
	stored, err := parseArgon(phc)
	if err != nil {
		return false, false, err
	}
	if !hashable(password) {
		return false, false, nil
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer h.leave()
	if !Equal(stored.derive(password), stored.hash) {
		if stored.cost() < h.dummy.cost() {
			h.spendDummy(password)
		}
		return false, false, nil
	}
	return true, h.outdated(stored), nil
}

func (h *Hasher) verifyBcrypt(ctx context.Context, phc, password string) (ok, rehash bool, err error) {
	if err := checkBcrypt(phc); err != nil {
		return false, false, err
	}
	if !hashable(password) {
		return false, false, nil
	}
	if err := h.enter(ctx); err != nil {
		return false, false, err
	}
	defer h.leave()
	err = bcrypt.CompareHashAndPassword([]byte(phc), []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		h.spendDummy(password)
		return false, false, nil
	}
	if err != nil {
		return false, false, errors.New("password hash: bcrypt cannot read it")
	}
	// bcrypt did not see the end of a longer password, so a slip of the hand there must not become
	// the user's new password.
	return true, len(password) <= bcryptPasswordBytes, nil
}

// VerifyDummy takes as long as Verify with a hash of the configured costs, for names that nobody
// has. It fails when Verify would, so that a full queue does not tell the two apart.
func (h *Hasher) VerifyDummy(ctx context.Context, password string) error {
	if !hashable(password) {
		return nil
	}
	if err := h.enter(ctx); err != nil {
		return err
	}
	defer h.leave()
	h.spendDummy(password)
	return nil
}

// spendDummy spends what a new hash costs. A wrong password for an imported hash that costs less
// spends it, too, or the quick answer would tell that the name exists. The caller holds a slot.
func (h *Hasher) spendDummy(password string) {
	Equal(h.dummy.derive(password), h.dummy.hash)
}

// cost compares hashes: the memory that all passes walk through.
func (a argonHash) cost() uint64 { return uint64(a.memoryKiB) * uint64(a.passes) }

func hashable(password string) bool {
	return password != "" && len(password) <= MaxPasswordBytes
}

func (h *Hasher) outdated(stored argonHash) bool {
	return stored.memoryKiB != h.params.MemoryKiB || stored.passes != h.params.Passes ||
		stored.threads != h.params.Threads || len(stored.salt) < saltBytes || len(stored.hash) < hashBytes
}

func (a argonHash) derive(password string) []byte {
	return argon2.IDKey([]byte(password), a.salt, a.passes, a.memoryKiB, a.threads, uint32(len(a.hash)))
}

// enter waits for a slot: at most until ctx is done, and not at all when the queue is full.
func (h *Hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case h.queue <- struct{}{}:
	default:
		return ErrBusy
	}
	defer func() { <-h.queue }()
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}

func (h *Hasher) leave() {
	<-h.slots
	if h.params.MemoryKiB >= worthFreeing {
		h.quiet.Reset(quietFor)
	}
}

// rest gives back what the last hashes took. The collector by itself would let it lie until as much
// again has been allocated, which a server that only answers tokens never does.
func (h *Hasher) rest() {
	if len(h.slots) == 0 {
		h.free()
	}
}

// Waiting is how many callers wait for a slot now.
func (h *Hasher) Waiting() int { return len(h.queue) }
