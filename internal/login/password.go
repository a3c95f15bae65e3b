package login

import (
	"strings"
	"unicode/utf8"

	"gatehouse"
	"gatehouse/internal/secret"
)

// minPasswordLength is in characters (NIST SP 800-63B §3.1.1.2 asks for 8 of a
// password that is chosen by its owner and stands beside a throttle).
const minPasswordLength = 8

// weakness says why a new password is refused.
type weakness int

const (
	strongEnough weakness = iota
	tooShort
	tooLong
	tooCommon
	tooPersonal
)

// weaknessOf judges a password that a user chooses. user and house are what
// an attacker tries first.
func weaknessOf(password string, user gatehouse.User, house string) weakness {
	switch {
	case utf8.RuneCountInString(password) < minPasswordLength:
		return tooShort
	case len(password) > secret.MaxPasswordBytes:
		return tooLong
	case secret.Common(password):
		return tooCommon
	}
	mailbox, _, _ := strings.Cut(user.Claims.Email, "@")
	plainly := secret.Core(password)
	for _, name := range []string{user.Username, user.Claims.Email, mailbox, user.Claims.Name, house} {
		if name != "" && (gatehouse.LoginKey(password) == gatehouse.LoginKey(name) || plainly != "" && plainly == secret.Core(name)) {
			return tooPersonal
		}
	}
	return strongEnough
}
