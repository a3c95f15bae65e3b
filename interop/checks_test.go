package interop

// The lists of checks, in the order in which they run.

func openIDClientChecks() []string {
	return []string{
		"discovery",
		"discovery-oauth",
		"demo-web-code-pkce",
		"demo-spa-code-pkce",
		"code-pkce-basic",
		"id-token-claims",
		"userinfo",
		"userinfo-other-subject-refused",
		"api-call",
		"api-insufficient-scope",
		"introspection-jwt",
		"introspection-refresh-token",
		"introspection-foreign-token",
		"refresh",
		"refresh-parallel-same-successor",
		"refresh-narrower-scope",
		"refresh-replay-ends-grant",
		"revocation-access-token",
		"revocation-refresh-token",
		"revocation-unknown-token",
		"code-reuse-ends-grant",
		"wrong-verifier-refused",
		"wrong-secret-refused",
		"wrong-method-refused",
		"prompt-none-and-remembered-consent",
		"prompt-none-without-session",
		"prompt-login-and-max-age",
		"consent-denied",
		"post-authorization-request",
		"redirect-uri-with-query",
		"unregistered-redirect-uri-page",
		"form-post",
		"form-post-error",
		"code-pkce-post",
		"code-without-pkce",
		"pkce-missing-refused",
		"implicit-refused",
		"code-pkce-public",
		"opaque-token-for-resource",
		"client-credentials",
		"client-credentials-unregistered-refused",
		"client-credentials-scope-refused",
		"logout",
		"logout-keeps-offline-access",
		"logout-unregistered-uri",
		"logout-without-hint",
	}
}

func goClientChecks() []string {
	return []string{
		"discovery",
		"code-pkce-demo-web",
		"code-pkce-demo-spa",
		"code-pkce-basic",
		"code-pkce-post",
		"code-pkce-public",
		"auto-detected-auth-style",
		"id-token-for-another-audience-refused",
		"id-token-es256-not-expected-refused",
		"refresh-through-token-source",
		"refresh-replay-ends-grant",
		"wrong-verifier-refused",
		"code-twice-refused",
		"client-credentials",
		"client-credentials-wrong-secret",
	}
}

func browserChecks() []string {
	return []string{}
}
