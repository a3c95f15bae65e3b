package admin

import (
	"fmt"
	"strings"
	"time"

	"gatehouse"
	"gatehouse/internal/secret"
	"gatehouse/oauth"
)

// MinPasswordLength is what a password that an administrator sets must have.
// What else it consists of is not refused (NIST SP 800-63B §3.1.1.2), but
// WeakPassword tells it.
const MinPasswordLength = 8

// checkUser says what is wrong with a user's entry by itself.
func checkUser(entry UserEntry) []*Problem {
	var wrong problems
	if text := checkUsername(entry.Username); text != "" {
		wrong.add("username", "", "%s", text)
	}
	if text := checkIdentifier(entry.Sub); text != "" {
		wrong.add("sub", "", "%s", text)
	}
	switch {
	case !entry.Password.IsZero() && !entry.PasswordHash.IsZero():
		wrong.add("password_hash", "give one of them", "there is a password and a password_hash")
	case !entry.Password.IsZero():
		if text := CheckPassword(entry.Password); text != "" {
			wrong.add("password", "", "%s", text)
		}
	case !entry.PasswordHash.IsZero():
		if err := secret.ParsePHC(entry.PasswordHash.Reveal()); err != nil {
			wrong.add("password_hash", "", "%s", strings.TrimPrefix(err.Error(), "password hash: "))
		}
	}
	checkClaims(&wrong, entry.StandardClaims)
	checkAttributes(&wrong, entry.Attributes)
	return wrong.list
}

// CheckPassword says why a password cannot be set, or "".
func CheckPassword(password secret.String) string {
	text := password.Reveal()
	switch {
	case len([]rune(text)) < MinPasswordLength:
		return fmt.Sprintf("a password needs at least %d characters", MinPasswordLength)
	case len(text) > secret.MaxPasswordBytes:
		return fmt.Sprintf("a password may have at most %d bytes", secret.MaxPasswordBytes)
	case isPlaceholder(text):
		return "this is the placeholder of an example, which everybody knows"
	}
	return ""
}

// WeakPassword says why a user's password should be another one, or "".
func WeakPassword(username string, password secret.String) string {
	if password.IsZero() || !secret.Common(password.Reveal()) {
		return ""
	}
	return fmt.Sprintf("user %s: this password is among the first that are tried; gatehouse user set-password %s gives a better one", username, username)
}

func checkUsername(username string) string {
	if username == "" {
		return "is missing"
	}
	return checkName(username, MaxUsernameLength)
}

func checkClaims(wrong *problems, claims gatehouse.StandardClaims) {
	for _, claim := range []struct{ key, value string }{
		{"name", claims.Name}, {"given_name", claims.GivenName}, {"family_name", claims.FamilyName},
		{"middle_name", claims.MiddleName}, {"nickname", claims.Nickname}, {"preferred_username", claims.PreferredUsername},
		{"email", claims.Email}, {"gender", claims.Gender}, {"birthdate", claims.Birthdate}, {"zoneinfo", claims.Zoneinfo},
		{"locale", claims.Locale}, {"phone_number", claims.PhoneNumber},
	} {
		if text := checkName(claim.value, MaxClaimLength); text != "" {
			wrong.add(claim.key, "", "%s", text)
		}
	}
	for _, page := range []struct{ key, uri string }{{"profile", claims.Profile}, {"picture", claims.Picture}, {"website", claims.Website}} {
		if page.uri == "" {
			continue
		}
		if err := oauth.CheckWebURI(page.uri); err != nil {
			wrong.add(page.key, "", "%s", err)
		}
	}
	local, domain, found := strings.Cut(claims.Email, "@")
	if claims.Email != "" && (!found || local == "" || domain == "" || strings.ContainsAny(claims.Email, " <>,")) {
		wrong.add("email", "", "%q is not an e-mail address", claims.Email)
	}
	if claims.Email == "" && claims.EmailVerified {
		wrong.add("email_verified", "add email, or leave it out", "there is no e-mail address that could be verified")
	}
	if claims.PhoneNumber == "" && claims.PhoneNumberVerified {
		wrong.add("phone_number_verified", "add phone_number, or leave it out", "there is no number that could be verified")
	}
	checkBirthdate(wrong, claims.Birthdate)
	checkAddress(wrong, claims.Address)
}

// checkBirthdate: YYYY-MM-DD, with year 0000 for an untold one, or YYYY
// (OpenID Connect Core §5.1).
func checkBirthdate(wrong *problems, text string) {
	if text == "" {
		return
	}
	_, dayErr := time.Parse(time.DateOnly, text)
	_, yearErr := time.Parse("2006", text)
	if dayErr != nil && yearErr != nil {
		wrong.add("birthdate", "write YYYY-MM-DD or YYYY", "%q is not a date", text)
	}
}

func checkAddress(wrong *problems, address *gatehouse.Address) {
	if address == nil {
		return
	}
	for _, part := range []struct{ key, value string }{
		{"street_address", address.StreetAddress}, {"locality", address.Locality}, {"region", address.Region},
		{"postal_code", address.PostalCode}, {"country", address.Country}, {"formatted", address.Formatted},
	} {
		// Only these two may have several lines (OpenID Connect Core §5.1.1).
		value := part.value
		if part.key == "formatted" || part.key == "street_address" {
			value = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", " "), "\n", " "))
		}
		if text := checkName(value, MaxClaimLength); text != "" {
			wrong.add("address."+part.key, "", "%s", text)
		}
	}
}
