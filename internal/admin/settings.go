package admin

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"gatehouse"
	"gatehouse/internal/config"
	"gatehouse/oauth"
)

// Bounds of settings that are not bounded elsewhere.
const (
	MaxIDTokenLifetime     = 24 * time.Hour
	MaxRefreshLifetime     = 2 * 365 * 24 * time.Hour
	MaxRefreshGrace        = 5 * time.Minute
	MaxSessionLifetime     = 90 * 24 * time.Hour
	MinInteractionLifetime = time.Minute
	MaxInteractionLifetime = 24 * time.Hour
	MaxThrottleDelay       = 24 * time.Hour
	MaxThrottleWindow      = 7 * 24 * time.Hour
	MaxFreeAttempts        = 100
	MinKeyRotation         = 24 * time.Hour
	MaxKeyRotation         = 2 * 365 * 24 * time.Hour
	MinEventRetention      = 24 * time.Hour
	MaxEventRetention      = 10 * 365 * 24 * time.Hour
	MaxRateLimit           = 1e6
	MaxSessionsPerUser     = 1000
)

// color is all that a tenant can put into a style sheet.
var color = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

// CheckSettings says what is wrong with a tenant's settings; resources are
// all that the tenant will have. Unset fields are judged by their defaults.
func CheckSettings(settings gatehouse.Settings, resources []gatehouse.Resource) []*Problem {
	var wrong problems
	if text := checkName(settings.Name, MaxNameLength); text != "" {
		wrong.add("name", "", "%s", text)
	}
	for _, page := range []struct{ key, uri string }{{"support_uri", settings.SupportURI}, {"logo_uri", settings.LogoURI}} {
		if page.uri == "" {
			continue
		}
		if err := oauth.CheckWebURI(page.uri); err != nil {
			wrong.add(page.key, "", "%s", err)
		}
	}
	if settings.Color != "" && !color.MatchString(settings.Color) {
		wrong.add("color", `write # and six hexadecimal digits in quotes, such as "#0b6e6e"`, "%q is not a colour", settings.Color)
	}
	if sessions := settings.MaxSessionsPerUser; sessions < 0 || sessions > MaxSessionsPerUser {
		wrong.add("max_sessions_per_user", "0 is no limit", "must be 0 to %d", MaxSessionsPerUser)
	}
	if name := settings.DefaultResource; name != "" && !slices.ContainsFunc(resources, func(r gatehouse.Resource) bool { return r.Identifier == name }) {
		wrong.add("default_resource", "declare it under resources", "there is no resource %q", name)
	}
	checkClaimMappings(&wrong, settings.Claims, resources)
	s := settings.WithDefaults()
	checkLifetimes(&wrong, s)
	checkThrottle(&wrong, s.Throttle)
	for _, limit := range []struct {
		key   string
		value float64
	}{
		{"token_per_client", s.RateLimits.TokenPerClient},
		{"introspection_per_client", s.RateLimits.IntrospectionPerClient},
		{"failures_per_address", s.RateLimits.FailuresPerAddress},
	} {
		if math.IsNaN(limit.value) || math.Abs(limit.value) > MaxRateLimit {
			wrong.add("rate_limits."+limit.key, "a negative number turns the limit off", "must be at most %.0f requests a second", MaxRateLimit)
		}
	}
	return wrong.list
}

func checkLifetimes(wrong *problems, s gatehouse.Settings) {
	between := func(key string, value, least, most time.Duration) {
		if value < least || value > most {
			wrong.add(key, "", "must be %s to %s, not %s", config.DurationOrZero(least), config.Duration(most), config.DurationOrZero(value))
		}
	}
	between("access_token_lifetime", s.AccessTokenLifetime.Std(), time.Second, MaxAccessTokenLifetime)
	between("id_token_lifetime", s.IDTokenLifetime.Std(), time.Second, MaxIDTokenLifetime)
	between("code_lifetime", s.CodeLifetime.Std(), time.Second, gatehouse.MaxCodeLifetime) // RFC 6749 §4.1.2
	between("refresh_idle_lifetime", s.RefreshIdleLifetime.Std(), time.Second, MaxRefreshLifetime)
	between("refresh_absolute_lifetime", s.RefreshAbsoluteLifetime.Std(), time.Second, MaxRefreshLifetime)
	between("refresh_grace", s.RefreshGrace.Std(), 0, MaxRefreshGrace)
	between("session_idle_lifetime", s.SessionIdleLifetime.Std(), time.Second, MaxSessionLifetime)
	between("session_absolute_lifetime", s.SessionAbsoluteLifetime.Std(), time.Second, MaxSessionLifetime)
	between("interaction_lifetime", s.InteractionLifetime.Std(), MinInteractionLifetime, MaxInteractionLifetime)
	between("key_rotation", s.KeyRotation.Std(), MinKeyRotation, MaxKeyRotation)
	between("event_retention", s.EventRetention.Std(), MinEventRetention, MaxEventRetention)
	inOrder(wrong, "refresh_idle_lifetime", s.RefreshIdleLifetime, "refresh_absolute_lifetime", s.RefreshAbsoluteLifetime)
	inOrder(wrong, "session_idle_lifetime", s.SessionIdleLifetime, "session_absolute_lifetime", s.SessionAbsoluteLifetime)
}

func checkThrottle(wrong *problems, t gatehouse.Throttle) {
	if t.FreeAttempts < 1 || t.FreeAttempts > MaxFreeAttempts {
		wrong.add("throttle.free_attempts", "", "must be 1 to %d", MaxFreeAttempts)
	}
	for _, delay := range []struct {
		key         string
		value, most time.Duration
	}{
		{"first_delay", t.FirstDelay.Std(), MaxThrottleDelay},
		{"max_delay", t.MaxDelay.Std(), MaxThrottleDelay},
		{"window", t.Window.Std(), MaxThrottleWindow},
	} {
		if delay.value > delay.most {
			wrong.add("throttle."+delay.key, "", "must be at most %s", config.Duration(delay.most))
		}
	}
	inOrder(wrong, "throttle.first_delay", t.FirstDelay, "throttle.max_delay", t.MaxDelay)
}

func inOrder(wrong *problems, lowKey string, low config.Duration, highKey string, high config.Duration) {
	if low > high {
		wrong.add(lowKey, fmt.Sprintf("shorten it or lengthen %s", highKey), "%s is longer than %s, which is %s", low, highKey, high)
	}
}
