package gatehouse

import (
	"strings"
	"time"
)

// User is a person who can sign in.
type User struct {
	// Subject is the sub claim: stable, never reused, never a client id.
	Subject  string
	Username string
	// PasswordHash is a PHC string; empty when the user has no password.
	PasswordHash      string
	PasswordChangedAt time.Time
	Claims            StandardClaims
	Attributes        Attributes
	DisabledAt        time.Time
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Disabled says whether the user may do nothing at all.
func (u User) Disabled() bool { return !u.DisabledAt.IsZero() }

// DisplayName is the name shown to the user: the full name, else the username.
func (u User) DisplayName() string {
	if u.Claims.Name != "" {
		return u.Claims.Name
	}
	return u.Username
}

// StandardClaims are the claims of OpenID Connect Core §5.1 that a person
// has, but for sub and updated_at.
type StandardClaims struct {
	Name                string   `yaml:"name" json:"name,omitempty"`
	GivenName           string   `yaml:"given_name" json:"given_name,omitempty"`
	FamilyName          string   `yaml:"family_name" json:"family_name,omitempty"`
	MiddleName          string   `yaml:"middle_name" json:"middle_name,omitempty"`
	Nickname            string   `yaml:"nickname" json:"nickname,omitempty"`
	PreferredUsername   string   `yaml:"preferred_username" json:"preferred_username,omitempty"`
	Profile             string   `yaml:"profile" json:"profile,omitempty"`
	Picture             string   `yaml:"picture" json:"picture,omitempty"`
	Website             string   `yaml:"website" json:"website,omitempty"`
	Email               string   `yaml:"email" json:"email,omitempty"`
	EmailVerified       bool     `yaml:"email_verified" json:"email_verified,omitempty"`
	Gender              string   `yaml:"gender" json:"gender,omitempty"`
	Birthdate           string   `yaml:"birthdate" json:"birthdate,omitempty"`
	Zoneinfo            string   `yaml:"zoneinfo" json:"zoneinfo,omitempty"`
	Locale              string   `yaml:"locale" json:"locale,omitempty"`
	PhoneNumber         string   `yaml:"phone_number" json:"phone_number,omitempty"`
	PhoneNumberVerified bool     `yaml:"phone_number_verified" json:"phone_number_verified,omitempty"`
	Address             *Address `yaml:"address" json:"address,omitempty"`
}

// Address is the claim of OpenID Connect Core §5.1.1.
type Address struct {
	Formatted     string `yaml:"formatted" json:"formatted,omitempty"`
	StreetAddress string `yaml:"street_address" json:"street_address,omitempty"`
	Locality      string `yaml:"locality" json:"locality,omitempty"`
	Region        string `yaml:"region" json:"region,omitempty"`
	PostalCode    string `yaml:"postal_code" json:"postal_code,omitempty"`
	Country       string `yaml:"country" json:"country,omitempty"`
}

// LoginKey is the normal form under which a username or an e-mail address is
// looked up and throttled: trimmed and in lower case, so that spellings of
// one account share one counter.
func LoginKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// ACRPassword is the authentication context of a sign-in by password.
const ACRPassword = "urn:gatehouse:acr:password"

// AuthenticationContexts are the acr values that exist, the weakest first.
func AuthenticationContexts() []string { return []string{ACRPassword} }

// Session is a user's signed-in browser.
type Session struct {
	// ID is the public handle, the sid claim; the cookie's value is another.
	ID         string
	Subject    string
	AuthTime   time.Time
	AMR        []string
	ACR        string
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time
	Address    string
	UserAgent  string
}

// Consent is what a user allowed a client at a resource, "" standing for the
// scopes of OpenID Connect.
type Consent struct {
	Subject   string
	ClientID  string
	Resource  string
	Scope     []string
	GrantedAt time.Time
}
