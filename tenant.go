package gatehouse

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/internal/config"
)

// TenantID names a tenant. It is the first column of every primary key.
type TenantID string

// DefaultTenant lives at the root of the public URL.
const DefaultTenant TenantID = "default"

// Tenant is one issuer with its own clients, users, resources and keys.
type Tenant struct {
	ID TenantID
	// Issuer is the issuer identifier, without a trailing slash; it comes
	// from configuration, never from a request.
	Issuer   string
	Settings Settings
}

// TenantRecord is how a tenant is reached, and whether it is.
type TenantRecord struct {
	ID TenantID
	// Name is that of its settings, which pages show.
	Name string
	// Issuer is the tenant's own issuer identifier, at a host of its own; "" for a tenant that
	// lives under the public URL.
	Issuer     string
	CreatedAt  time.Time
	DisabledAt time.Time
}

// Disabled says whether nothing of the tenant is served.
func (r TenantRecord) Disabled() bool { return !r.DisabledAt.IsZero() }

// Host is where requests for a tenant with its own issuer arrive, in lower case and with the port
// if the issuer has one; "" for other tenants.
func (r TenantRecord) Host() string {
	_, host, _ := strings.Cut(r.Issuer, "://")
	return strings.ToLower(host)
}

// TenantPath is the part of the path before the name of a tenant under the public URL.
const TenantPath = "/t/"

// IssuerUnder returns the tenant's issuer identifier, of which publicURL is that of the default
// tenant; "" if that is not known and the tenant has none of its own.
func (r TenantRecord) IssuerUnder(publicURL string) string {
	switch {
	case r.Issuer != "":
		return r.Issuer
	case r.ID == DefaultTenant || publicURL == "":
		return publicURL
	}
	return publicURL + TenantPath + string(r.ID)
}

// CreateTenantOutcome is what became of making a tenant.
type CreateTenantOutcome string

// The outcomes of making a tenant.
const (
	TenantCreated   CreateTenantOutcome = "created"
	TenantExists    CreateTenantOutcome = "exists"
	TenantHostTaken CreateTenantOutcome = "host taken" // by another tenant's issuer
)

// maxTenantID bounds a tenant's id, in bytes: it stands in URLs and in the names of cookies.
const maxTenantID = 40

// CheckTenantID says what is wrong with the id of a tenant: it is made of lower-case letters,
// digits and hyphens between them.
func CheckTenantID(id TenantID) error {
	if len(id) == 0 || len(id) > maxTenantID {
		return fmt.Errorf("a tenant's name has 1 to %d characters", maxTenantID)
	}
	for i, c := range []byte(id) {
		inner := c == '-' && i > 0 && i < len(id)-1
		if !inner && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return errors.New("a tenant's name is made of lower-case letters, digits, and hyphens between them")
		}
	}
	return nil
}

// Settings are a tenant's policies. They are data: `gatehouse apply` writes
// them, and a running server follows.
type Settings struct {
	// Name is shown on every page.
	Name string `yaml:"name" json:"name,omitempty"`
	// SupportURI is linked from error pages.
	SupportURI string `yaml:"support_uri" json:"support_uri,omitempty"`
	// LogoURI is a picture shown beside the name.
	LogoURI string `yaml:"logo_uri" json:"logo_uri,omitempty"`
	// Color accentuates the pages: # and six hexadecimal digits. Pages make
	// it darker or lighter until it can be read.
	Color string `yaml:"color" json:"color,omitempty"`

	// AccessTokenLifetime is for resources that do not set their own.
	AccessTokenLifetime config.Duration `yaml:"access_token_lifetime" json:"access_token_lifetime,omitzero"`
	IDTokenLifetime     config.Duration `yaml:"id_token_lifetime" json:"id_token_lifetime,omitzero"`
	// CodeLifetime is at most MaxCodeLifetime.
	CodeLifetime            config.Duration `yaml:"code_lifetime" json:"code_lifetime,omitzero"`
	RefreshIdleLifetime     config.Duration `yaml:"refresh_idle_lifetime" json:"refresh_idle_lifetime,omitzero"`
	RefreshAbsoluteLifetime config.Duration `yaml:"refresh_absolute_lifetime" json:"refresh_absolute_lifetime,omitzero"`
	// RefreshGrace is how long the holder of the immediate predecessor
	// receives the same successor. Zero means none at all.
	RefreshGrace *config.DurationOrZero `yaml:"refresh_grace" json:"refresh_grace,omitempty"`

	SessionIdleLifetime     config.Duration `yaml:"session_idle_lifetime" json:"session_idle_lifetime,omitzero"`
	SessionAbsoluteLifetime config.Duration `yaml:"session_absolute_lifetime" json:"session_absolute_lifetime,omitzero"`
	// MaxSessionsPerUser is how many sessions a user may have at once: the
	// next sign-in ends the oldest. Zero is no limit.
	MaxSessionsPerUser int `yaml:"max_sessions_per_user" json:"max_sessions_per_user,omitzero"`
	// InteractionLifetime is how long a person may take between the
	// authorization request and its answer.
	InteractionLifetime config.Duration `yaml:"interaction_lifetime" json:"interaction_lifetime,omitzero"`

	Throttle   Throttle   `yaml:"throttle" json:"throttle,omitzero"`
	RateLimits RateLimits `yaml:"rate_limits" json:"rate_limits,omitzero"`

	// KeyRotation is how long a key signs, or seals, before its successor
	// does.
	KeyRotation config.Duration `yaml:"key_rotation" json:"key_rotation,omitzero"`

	// EventRetention is how long events are kept.
	EventRetention config.Duration `yaml:"event_retention" json:"event_retention,omitzero"`
	// DefaultResource is the audience of tokens when neither the request,
	// its scopes nor the client name one; the issuer itself when empty.
	DefaultResource string `yaml:"default_resource" json:"default_resource,omitempty"`

	// Claims are the tenant's own, made of attributes of its users.
	Claims []ClaimMapping `yaml:"claims" json:"claims,omitempty"`
}

// Throttle bounds guessing at the login form, per account and address.
type Throttle struct {
	// FreeAttempts may fail before the first delay.
	FreeAttempts int `yaml:"free_attempts" json:"free_attempts,omitzero"`
	// FirstDelay doubles with each further failure up to MaxDelay.
	FirstDelay config.Duration `yaml:"first_delay" json:"first_delay,omitzero"`
	MaxDelay   config.Duration `yaml:"max_delay" json:"max_delay,omitzero"`
	// Window is how long a failure is remembered.
	Window config.Duration `yaml:"window" json:"window,omitzero"`
}

// RateLimits are requests per second; the burst is ten seconds' worth. Zero
// takes the default, a negative number turns the limit off.
type RateLimits struct {
	// TokenPerClient limits token requests and, counted apart, revocations. A
	// public client, whose id anybody can name, has as much at each address.
	TokenPerClient         float64 `yaml:"token_per_client" json:"token_per_client,omitzero"`
	IntrospectionPerClient float64 `yaml:"introspection_per_client" json:"introspection_per_client,omitzero"`
	// FailuresPerAddress limits failed client authentication, codes, tokens
	// and logins from one address.
	FailuresPerAddress float64 `yaml:"failures_per_address" json:"failures_per_address,omitzero"`
}

// MaxCodeLifetime is the longest life a tenant may give to codes.
const MaxCodeLifetime = 10 * time.Minute

const day = 24 * time.Hour

// WithDefaults returns the settings with every unset one at its default.
func (s Settings) WithDefaults() Settings {
	fill := func(field *config.Duration, value time.Duration) {
		if *field == 0 {
			*field = config.Duration(value)
		}
	}
	if s.Name == "" {
		s.Name = "Gatehouse"
	}
	fill(&s.AccessTokenLifetime, 10*time.Minute)
	fill(&s.IDTokenLifetime, 10*time.Minute)
	fill(&s.CodeLifetime, time.Minute)
	fill(&s.RefreshIdleLifetime, 30*day)
	fill(&s.RefreshAbsoluteLifetime, 90*day)
	if s.RefreshGrace == nil {
		grace := config.DurationOrZero(30 * time.Second)
		s.RefreshGrace = &grace
	}
	fill(&s.SessionIdleLifetime, day)
	fill(&s.SessionAbsoluteLifetime, 7*day)
	fill(&s.InteractionLifetime, time.Hour)
	fill(&s.Throttle.FirstDelay, time.Second)
	fill(&s.Throttle.MaxDelay, 15*time.Minute)
	fill(&s.Throttle.Window, time.Hour)
	if s.Throttle.FreeAttempts == 0 {
		s.Throttle.FreeAttempts = 5
	}
	fill(&s.KeyRotation, 90*day)
	fill(&s.EventRetention, 180*day)
	if s.RateLimits.TokenPerClient == 0 {
		s.RateLimits.TokenPerClient = 1000
	}
	if s.RateLimits.IntrospectionPerClient == 0 {
		s.RateLimits.IntrospectionPerClient = 2000
	}
	if s.RateLimits.FailuresPerAddress == 0 {
		s.RateLimits.FailuresPerAddress = 20
	}
	return s
}
