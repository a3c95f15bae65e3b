package admin

import (
	"fmt"

	"gatehouse"
)

// Weaknesses lists the switches in use that weaken a client, one sentence
// each, for printing.
func Weaknesses(client gatehouse.Client) []string {
	var list []string
	say := func(format string, args ...any) {
		list = append(list, "client "+client.ID+": "+fmt.Sprintf(format, args...))
	}
	if client.Profile == gatehouse.ProfileOIDC {
		say("profile oidc: codes without PKCE are accepted")
	}
	if client.InsecureShortSecret {
		say("insecure_short_secret: the secret may have fewer than %d characters", MinSecretLength)
	}
	if policy := client.TokenExchange; policy != nil && policy.Impersonation {
		say("token_exchange.impersonation: tokens that it exchanges do not tell that it acts")
	}
	return list
}
