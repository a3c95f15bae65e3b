package token

// Reason is why a token was refused.
type Reason string

// The reasons. Those up to BadSignature say that the token was not proved to be
// anybody's; those after it are about a token that its issuer did sign.
const (
	Malformed      Reason = "malformed" // not a JWT, or not strict JSON
	WrongType      Reason = "type"
	WrongAlgorithm Reason = "algorithm"
	UnknownKey     Reason = "key"
	BadSignature   Reason = "signature"
	BadClaim       Reason = "claim" // missing, forbidden, or of the wrong form
	WrongIssuer    Reason = "issuer"
	WrongAudience  Reason = "audience" // aud, or azp
	NotYetValid    Reason = "not_yet_valid"
	Expired        Reason = "expired"
	Inactive       Reason = "inactive" // its issuer says so (RFC 7662)
)

// Error says why a token was refused. It holds nothing of the token: Detail is
// fixed text and may be shown to whoever presented it.
type Error struct {
	Reason Reason
	Detail string
	// Cause is the error beneath, or nil.
	Cause error
}

func (e *Error) Error() string { return "token refused (" + string(e.Reason) + "): " + e.Detail }

func (e *Error) Unwrap() error { return e.Cause }

func refuse(reason Reason, detail string) *Error {
	return &Error{Reason: reason, Detail: detail}
}
