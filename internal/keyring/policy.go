package keyring

import (
	"time"

	"gatehouse"
	"gatehouse/jose"
)

const (
	// CacheTime is how long clients may keep the key set.
	CacheTime = 5 * time.Minute
	// RevokedCacheTime is how long they may while the tenant has a key that
	// was revoked less than revokedFor ago: the next one may follow.
	RevokedCacheTime = time.Minute
	revokedFor       = 24 * time.Hour

	// minWait is how long a key is published at least before it is used.
	minWait = time.Hour
	// spread is the time in which every running server has read a new key.
	spread = 10 * time.Second
	// askAgain is how long verifiers may wait before they read the key set again
	// at a key that they do not know: by then one that has just read it does.
	askAgain = time.Minute

	// longestToken is the longest life that settings can give to a token or
	// an interaction. No key is removed sooner, so that one which was made
	// before the settings were shortened keeps its key.
	longestToken = 24 * time.Hour
	// skew is by how much the clocks of those who check tokens may differ
	// from ours.
	skew = 5 * time.Minute
)

// Policy says how long the keys of a tenant live.
type Policy struct {
	// Rotation is how long a key signs before its successor does.
	Rotation time.Duration
	// Wait is how long a key is published before it signs.
	Wait time.Duration
	// Tokens, Grants and Sealed are how long a key of each purpose is kept
	// after its last use: what was signed, vouched for by a MAC, or sealed
	// with it has expired by then, on clocks that are late, too.
	Tokens, Grants, Sealed time.Duration
	// Algorithms are those by which the tenant signs.
	Algorithms []jose.Algorithm
}

// PolicyOf returns the policy of a tenant with these settings and resources. A
// refresh token that is not used within the idle lifetime, which is no longer
// than the absolute one, has died: so the settings of today are enough to say
// how long a MAC root is kept.
func PolicyOf(settings gatehouse.Settings, resources []gatehouse.Resource) Policy {
	s := settings.WithDefaults()
	access := max(longestToken, s.AccessTokenLifetime.Std())
	for _, resource := range resources {
		access = max(access, resource.TokenLifetime.Std())
	}
	return Policy{
		Rotation:   s.KeyRotation.Std(),
		Wait:       max(minWait, CacheTime),
		Tokens:     max(access, s.IDTokenLifetime.Std()) + skew,
		Grants:     max(s.RefreshAbsoluteLifetime.Std(), s.CodeLifetime.Std()) + skew,
		Sealed:     max(access, s.InteractionLifetime.Std()) + skew,
		Algorithms: Algorithms(),
	}
}

// keep is how long a key of the purpose stays after its last use.
func (p Policy) keep(purpose gatehouse.KeyPurpose) time.Duration {
	switch purpose {
	case gatehouse.KeyMAC:
		return p.Grants
	case gatehouse.KeySeal:
		return p.Sealed
	}
	return p.Tokens
}

// lines are the successions of keys that a tenant has.
func (p Policy) lines() []line {
	var lines []line
	for _, algorithm := range p.Algorithms {
		lines = append(lines, line{gatehouse.KeySign, string(algorithm)})
	}
	return append(lines, line{gatehouse.KeyMAC, ""}, line{gatehouse.KeySeal, ""})
}
