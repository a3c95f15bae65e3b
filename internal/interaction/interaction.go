package interaction

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/endpoint"
	"gatehouse/internal/seal"
	"gatehouse/oauth"
)

// Stage is the step that a sealed interaction may be used for; it is part of
// what the seal authenticates, so that one step's state is no other's.
type Stage string

// The stages.
const (
	StagePosted  Stage = "posted"  // POST /authorize → GET /authorize; bound to no browser yet
	StageLogin   Stage = "login"   // → /login
	StageConsent Stage = "consent" // → /consent
	StageResume  Stage = "resume"  // /login → /authorize
	StageAccount Stage = "account" // /account → /login: a sign-in for no client
)

// MaxSealedLength bounds the parameter "i", in bytes, so that URLs and forms
// stay within what proxies carry.
const MaxSealedLength = 6 << 10

// Interaction is an authorization request between its checks and its answer.
type Interaction struct {
	ID    [16]byte
	Stage Stage
	// Start is when the request arrived: prompt=login and max_age are judged
	// by it.
	Start time.Time
	// Binding is the SHA-256 of the binding cookie of the browser that
	// brought the request.
	Binding [32]byte

	ClientID        string
	RedirectURI     string
	RedirectURISent bool
	ResponseMode    string
	State           string
	Nonce           string
	CodeChallenge   string
	Scope           oauth.Scope
	Resources       []string
	Prompt          []string
	MaxAge          *int // seconds
	LoginHint       string
	// UILocales are the languages in which the client would have its pages,
	// the best first: BCP 47 tags.
	UILocales []string
	// HintSubject is whose session the client expects, by the sub that this
	// client knows (id_token_hint, or a sub that claims asks for).
	HintSubject string
	// ACRValues are the authentication contexts that the client would have,
	// of those that exist here; ACREssential says that it takes no other.
	ACRValues    []string
	ACREssential bool
	// Claims are what the client asks for one by one.
	Claims gatehouse.ClaimsRequest

	// Session is the sid that the user chose to continue with, or that the
	// consent page was shown for; Subject is that session's user.
	Session string
	Subject string
}

// wire is an Interaction as it is sealed: short names keep URLs short.
type wire struct {
	ID              []byte   `json:"i"`
	Start           int64    `json:"t"` // Unix milliseconds
	Binding         []byte   `json:"b,omitempty"`
	ClientID        string   `json:"c"`
	RedirectURI     string   `json:"u"`
	RedirectURISent bool     `json:"us,omitempty"`
	ResponseMode    string   `json:"m,omitempty"`
	State           string   `json:"s,omitempty"`
	Nonce           string   `json:"n,omitempty"`
	CodeChallenge   string   `json:"cc,omitempty"`
	Scope           string   `json:"sc,omitempty"`
	Resources       []string `json:"r,omitempty"`
	Prompt          []string `json:"p,omitempty"`
	MaxAge          *int     `json:"ma,omitempty"`
	LoginHint       string   `json:"lh,omitempty"`
	UILocales       []string `json:"ul,omitempty"`
	HintSubject     string   `json:"hs,omitempty"`
	ACRValues       []string `json:"av,omitempty"`
	ACREssential    bool     `json:"ae,omitempty"`
	UserInfoClaims  []string `json:"cu,omitempty"`
	IDTokenClaims   []string `json:"ci,omitempty"`
	Session         string   `json:"se,omitempty"`
	Subject         string   `json:"su,omitempty"`
}

// New begins an interaction: a random id and its start.
func New(start time.Time) Interaction {
	in := Interaction{Start: start}
	_, _ = rand.Read(in.ID[:])
	return in
}

// Prompts says whether the request's prompt parameter has the value.
func (in Interaction) Prompts(value string) bool { return slices.Contains(in.Prompt, value) }

// Accepts says whether the request could be answered with the session, as far
// as its age goes. prompt=login and max_age are judged at the interaction's
// start, so that a new sign-in always satisfies them (OpenID Connect Core
// §3.1.2.1). So does an authentication context that is only wished for.
func (in Interaction) Accepts(session gatehouse.Session) bool {
	switch {
	case !session.AuthTime.Before(in.Start):
		return true
	case in.Prompts("login"):
		return false
	case len(in.ACRValues) > 0 && !slices.Contains(in.ACRValues, session.ACR) && (in.ACREssential || !in.Prompts("none")):
		return false
	}
	return in.MaxAge == nil || in.Start.Sub(session.AuthTime) <= time.Duration(*in.MaxAge)*time.Second
}

// GrantID is the id of the grant that is born of this interaction: one, however
// often its form is sent. It tells nobody the interaction's own id.
func (in Interaction) GrantID() gatehouse.GrantID {
	return gatehouse.GrantIDOf(in.Start, sha256.Sum256(append([]byte("interaction "), in.ID[:]...)))
}

// rings derives keys per tenant and purpose.
type rings interface {
	SealRing(tenant gatehouse.TenantID, purpose string) *seal.Ring
	MACRing(tenant gatehouse.TenantID, purpose string) *seal.Ring
}

// Box seals and opens interactions and knows the browser's cookies.
type Box struct {
	Keys rings
	Now  func() time.Time
	Cookies
}

// Seal returns the interaction for parameter "i", bound to the stage and the
// tenant. It refuses one that would be longer than MaxSealedLength.
func (b *Box) Seal(r *endpoint.Request, in Interaction) (string, error) {
	var plaintext bytes.Buffer
	encoder := json.NewEncoder(&plaintext)
	encoder.SetEscapeHTML(false) // a state of 2,000 ampersands is not longer than one of letters
	err := encoder.Encode(wire{
		ID: in.ID[:], Start: in.Start.UnixMilli(), Binding: in.Binding[:], ClientID: in.ClientID,
		RedirectURI: in.RedirectURI, RedirectURISent: in.RedirectURISent, ResponseMode: in.ResponseMode,
		State: in.State, Nonce: in.Nonce, CodeChallenge: in.CodeChallenge, Scope: in.Scope.String(),
		Resources: in.Resources, Prompt: in.Prompt, MaxAge: in.MaxAge, LoginHint: in.LoginHint,
		UILocales: in.UILocales, HintSubject: in.HintSubject, Session: in.Session, Subject: in.Subject,
		ACRValues: in.ACRValues, ACREssential: in.ACREssential, UserInfoClaims: in.Claims.UserInfo, IDTokenClaims: in.Claims.IDToken,
	})
	if err != nil {
		return "", err
	}
	sealed := b.ring(r.Tenant.ID).Seal(plaintext.Bytes(), additionalData(r.Tenant.ID, in.Stage))
	text := base64.RawURLEncoding.EncodeToString(sealed)
	if len(text) > MaxSealedLength {
		return "", oauth.Refuse("interaction-too-long", oauth.InvalidRequest,
			"The authorization request is too long to travel in a URL. Shorten state, nonce or scope; pushed authorization requests (PAR) will carry longer ones.")
	}
	return text, nil
}

// Open returns the interaction that was sealed for the stage, for this
// browser and not too long ago. Otherwise it refuses, in words for the error
// page; of one that is genuine it then returns the client alone.
func (b *Box) Open(r *endpoint.Request, text string, stage Stage) (Interaction, error) {
	in, opened := b.open(r.Tenant.ID, text, stage)
	if !opened {
		return Interaction{}, oauth.Refuse("interaction-invalid", oauth.InvalidRequest,
			"This page does not belong to a sign-in that is under way. Go back to the application and start again.")
	}
	age := b.Now().Sub(in.Start)
	if age > r.Tenant.Settings.InteractionLifetime.Std() {
		return Interaction{ClientID: in.ClientID}, oauth.Refuse("interaction-expired", oauth.InvalidRequest,
			"This sign-in was started too long ago. Go back to the application and start again.")
	}
	if stage != StagePosted && !in.boundTo(b.Binding(r)) {
		return Interaction{ClientID: in.ClientID}, oauth.Refuse("interaction-other-browser", oauth.InvalidRequest,
			"This sign-in was started in another browser, or its cookies are gone. Go back to the application and start again.")
	}
	return in, nil
}

func (b *Box) open(tenant gatehouse.TenantID, text string, stage Stage) (Interaction, bool) {
	if len(text) > MaxSealedLength {
		return Interaction{}, false
	}
	sealed, found := decode(text)
	if !found {
		return Interaction{}, false
	}
	plaintext, opened := b.ring(tenant).Open(sealed, additionalData(tenant, stage))
	if !opened {
		return Interaction{}, false
	}
	var w wire
	if json.Unmarshal(plaintext, &w) != nil || len(w.ID) != 16 || len(w.Binding) != 32 {
		return Interaction{}, false
	}
	scope, err := oauth.ParseScope(w.Scope)
	if err != nil {
		return Interaction{}, false
	}
	return Interaction{
		ID: [16]byte(w.ID), Stage: stage, Start: time.UnixMilli(w.Start), Binding: [32]byte(w.Binding),
		ClientID: w.ClientID, RedirectURI: w.RedirectURI, RedirectURISent: w.RedirectURISent,
		ResponseMode: w.ResponseMode, State: w.State, Nonce: w.Nonce, CodeChallenge: w.CodeChallenge,
		Scope: scope, Resources: w.Resources, Prompt: w.Prompt, MaxAge: w.MaxAge, LoginHint: w.LoginHint,
		UILocales: w.UILocales, HintSubject: w.HintSubject, Session: w.Session, Subject: w.Subject,
		ACRValues: w.ACRValues, ACREssential: w.ACREssential, Claims: gatehouse.ClaimsRequest{UserInfo: w.UserInfoClaims, IDToken: w.IDTokenClaims},
	}, true
}

// decode reads unpadded base64url in the one way in which it is written.
func decode(text string) ([]byte, bool) {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return decoded, err == nil && !strings.ContainsAny(text, "\r\n") // which encoding/base64 skips
}

func (b *Box) ring(tenant gatehouse.TenantID) *seal.Ring {
	return b.Keys.SealRing(tenant, "interaction")
}

func additionalData(tenant gatehouse.TenantID, stage Stage) []byte {
	return []byte(string(tenant) + "\x00" + string(stage))
}

// Bind ties the interaction to this browser, giving it a binding cookie if it
// has none.
func (b *Box) Bind(w http.ResponseWriter, r *endpoint.Request, in *Interaction) {
	in.Binding = sha256.Sum256([]byte(b.EnsureBinding(w, r)))
}

func (in Interaction) boundTo(binding string) bool {
	digest := sha256.Sum256([]byte(binding))
	return binding != "" && subtle.ConstantTimeCompare(digest[:], in.Binding[:]) == 1
}

// FormToken returns the CSRF token of a form of this browser: good for one
// kind of form and, with an interaction, for that one alone.
func (b *Box) FormToken(r *endpoint.Request, binding, form string, in Interaction) string {
	key := b.Keys.MACRing(r.Tenant.ID, "form token").Current()
	return base64.RawURLEncoding.EncodeToString(key.MAC([]byte(binding), []byte(form), in.ID[:]))
}

// CheckFormToken says whether the token belongs to the browser of the
// request, the form and the interaction.
func (b *Box) CheckFormToken(r *endpoint.Request, token, form string, in Interaction) bool {
	binding := b.Binding(r)
	sent, found := decode(token)
	if !found || binding == "" {
		return false
	}
	ring := b.Keys.MACRing(r.Tenant.ID, "form token")
	return ring.VerifyMAC(sent, []byte(binding), []byte(form), in.ID[:])
}
