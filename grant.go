package gatehouse

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"gatehouse/oauth"
)

// GrantID names a grant. It is never shown; tokens carry the handle instead.
// It begins with the time at which its authorization began, as the UUIDs of RFC
// 9562 §5.7 do: what is written together lies together, however many grants there
// are.
type GrantID [16]byte

// idTimeBytes is how many bytes of a GrantID are its time: milliseconds since
// 1970. The others are of a hash.
const idTimeBytes = 6

// GrantIDOf makes the id of the grant that is born of what began at a time and
// has this hash. The same gives birth to the same grant, so that the key of the
// grants refuses a second one.
func GrantIDOf(began time.Time, hash [32]byte) GrantID {
	id := GrantID(hash[:len(GrantID{})])
	rest := binary.BigEndian.Uint64(id[:]) << (8 * idTimeBytes) >> (8 * idTimeBytes)
	binary.BigEndian.PutUint64(id[:], uint64(began.UnixMilli())<<(64-8*idTimeBytes)|rest)
	return id
}

// BornAt is the time in the id.
func (id GrantID) BornAt() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> (64 - 8*idTimeBytes)))
}

func (id GrantID) String() string { return hex.EncodeToString(id[:]) }

// Grant is what a user allowed a client, once: one row from the code to the
// end. Codes and refresh tokens name a state of it.
type Grant struct {
	ID GrantID
	// Handle is the gid claim of its tokens, derived from ID by a MAC.
	Handle    string
	ClientID  string
	Subject   string
	SessionID string
	Scope     oauth.Scope
	// Resources are the audiences the user agreed to; the first is the
	// default at the token endpoint.
	Resources []string
	// Claims are what was asked for one by one, beside the scope.
	Claims ClaimsRequest

	// RedirectURI of the authorization request; RedirectURISent tells
	// whether the request named it, so that the token request must too.
	RedirectURI     string
	RedirectURISent bool
	// CodeChallenge is the S256 challenge, "" only for profile oidc.
	CodeChallenge string
	Nonce         string
	AuthTime      time.Time
	AMR           []string
	ACR           string

	Code    CodeState
	Refresh RefreshState

	CreatedAt time.Time
	// ExpiresAt is the end of the absolute lifetime; rotation never moves it.
	ExpiresAt  time.Time
	LastUsedAt time.Time
	// AccessUntil is when the last access token issued so far expires.
	AccessUntil time.Time
	EndedAt     time.Time
	EndReason   EndReason
}

// Ended says whether the grant was ended before its time.
func (g Grant) Ended() bool { return !g.EndedAt.IsZero() }

// Offline says whether the grant outlives its session.
func (g Grant) Offline() bool { return g.Scope.Has("offline_access") }

// CodeState is the state of a grant's authorization code.
type CodeState struct {
	KeyID      uint32
	Hash       []byte // SHA-256 of the code's secret
	ExpiresAt  time.Time
	RedeemedAt time.Time
	// WrongVerifiers counts wrong code_verifiers that came with everything
	// else right.
	WrongVerifiers int
}

// MaxWrongVerifiers is the count at which an unredeemed code dies.
const MaxWrongVerifiers = 3

// RefreshState is the state of a grant's chain of refresh tokens. A grant
// without refresh tokens has no Hash.
type RefreshState struct {
	Generation uint64
	KeyID      uint32
	Hash       []byte // SHA-256 of the current secret
	Salt       []byte // went into the derivation of the current secret
	RotatedAt  time.Time
}

// EndReason says why a grant or session ended, as events show it.
type EndReason string

// The reasons.
const (
	EndedByRevocation     EndReason = "revoked"          // RFC 7009
	EndedByCodeReplay     EndReason = "code_replay"      // RFC 6749 §4.1.2
	EndedByRefreshReplay  EndReason = "refresh_replay"   // RFC 9700 §4.14.2
	EndedByLostState      EndReason = "lost_state"       // a right tag with a hash that cannot be
	EndedByWrongVerifier  EndReason = "wrong_verifiers"  // the third wrong code_verifier
	EndedByLogout         EndReason = "logout"           //
	EndedByNewLogin       EndReason = "new_login"        // another sign-in in the same browser
	EndedByPasswordChange EndReason = "password_changed" //
	EndedByUserDisabled   EndReason = "user_disabled"    //
	EndedByClientRemoved  EndReason = "client_removed"   //
	EndedByUserRemoved    EndReason = "user_removed"     //
	EndedByOwner          EndReason = "ended_by_owner"   // the user, on the account page
	EndedByRestore        EndReason = "restored"         // a backup was put back
	EndedBySessionLimit   EndReason = "session_limit"    // max_sessions_per_user
)

// Circumstance is where an act came from, for events.
type Circumstance struct {
	Address   string
	UserAgent string
	RequestID string
	// NewDevice says of a sign-in that the browser carried no mark of the
	// account. It is kept as EventNewDevice.
	NewDevice bool
}

// CodeIssue is the birth of a grant: its row, the consent given with it and
// the session it stands on, written in one act.
type CodeIssue struct {
	// Grant has the id of its interaction: one grant for each.
	Grant Grant
	// Consents are remembered by this act; they join what the same user,
	// client and resource already have.
	Consents []Consent
	// ReliesOn are remembered consents without which the person would have
	// been asked.
	ReliesOn []Consent
	By       Circumstance
}

// CodeIssued is the outcome of CodeIssue.
type CodeIssued struct {
	Outcome CodeOutcome
	// Existing is the grant of the same id that was born before, with outcome
	// CodeExists.
	Existing Grant
}

// CodeOutcome tells how a CodeIssue went.
type CodeOutcome int

// The outcomes. CodeWithdrawn: client, user or session ended meanwhile.
// CodeUnconsented: a consent that the act relies on was withdrawn meanwhile.
const (
	CodeAccepted CodeOutcome = iota + 1
	CodeExists
	CodeWithdrawn
	CodeUnconsented
)

// Redemption is the use of a code that has passed every check: same
// authenticated client, redirect URI and verifier.
type Redemption struct {
	ID       GrantID
	CodeHash []byte
	// Handle, ClientID and Subject are the grant's, for what is told.
	Handle   string
	ClientID string
	Subject  string
	// Refresh is the first state of the chain; no Hash means that no refresh
	// token is issued.
	Refresh RefreshState
	// AccessUntil is when the access token minted with it expires.
	AccessUntil time.Time
	// SessionID is the session that the grant was read with, "" when nothing
	// that was minted names it.
	SessionID string
	// TellLogout has the client told when the session ends.
	TellLogout bool
	By         Circumstance
}

// Redeemed is the outcome of a Redemption.
type Redeemed int

// The outcomes. A replay has ended the grant before it is reported.
const (
	RedeemAccepted Redeemed = iota + 1
	RedeemReplayed
	RedeemExpired
	RedeemUnknown
	RedeemMoved // the grant's session is another one by now: read it again
)

// Rotation is the use of a refresh token whose tag is right, by its
// authenticated client.
type Rotation struct {
	ID GrantID
	// Presented is the generation of the token and the SHA-256 of its secret.
	Presented     uint64
	PresentedHash []byte
	// Successor is what the current state becomes if Presented is current:
	// generation Presented+1.
	Successor RefreshState
	// Succeeds tells whether a stored state is the successor of the
	// presented token; the store asks it about the row when another caller
	// was quicker.
	Succeeds func(RefreshState) bool
	Grace    time.Duration
	// Idle is the longest time between uses.
	Idle        time.Duration
	AccessUntil time.Time
	// SessionID is the session that the grant was read with, "" when nothing
	// that was minted names it.
	SessionID string
	By        Circumstance
}

// Rotated is the outcome of a Rotation.
type Rotated struct {
	Outcome RotateOutcome
	// Current is the state of the chain after the act, for RotateAccepted
	// and RotateRedelivered.
	Current RefreshState
}

// RotateOutcome tells how a Rotation went.
type RotateOutcome int

// The outcomes. A replay and a lost state have ended the grant before they
// are reported.
const (
	RotateAccepted    RotateOutcome = iota + 1
	RotateRedelivered               // the immediate predecessor, within the grace
	RotateReplayed                  // an older one, or the predecessor after the grace
	RotateLostState                 // a right tag with a hash that cannot be
	RotateExpired                   // idle or absolute lifetime is over
	RotateEnded                     // the grant, its user or its client has ended
	RotateUnknown                   // no such grant
	RotateMoved                     // its session is another one by now: read it again
)

// TokenFacts are what an access token says of itself, for the question
// whether it was ended before its expiry.
type TokenFacts struct {
	Handle   string // gid, "" for tokens without a grant
	ID       string // jti
	ClientID string
	Subject  string // "" for tokens without a user
	IssuedAt time.Time
	KeyID    string // kid of its signature, "" for opaque ones
	// SessionID is the sid of an ID token, "" for access tokens.
	SessionID string
	// Ancestors are the tokens of which it was made by exchange.
	Ancestors []Ancestor
}
