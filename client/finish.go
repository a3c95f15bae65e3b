package client

import (
	"context"
	"net/url"
	"time"

	"gatehouse/oauth"
)

// Login is a finished sign-in.
type Login struct {
	// Identity is zero where OpenID Connect was not asked for.
	Identity
	Tokens Tokens
	// UserInfo is what the UserInfo endpoint said, if the Config asks for it.
	UserInfo UserInfo
	// ReturnTo is where in the application the person wanted to go, "/" if nowhere.
	ReturnTo string
	// Values are kept in the session: for what the application wants to remember,
	// such as its own name of the user.
	Values map[string]string
}

// Finish takes the parameters of the issuer's redirect to the application and
// completes the login that the transaction began. It is called once for each
// transaction: whoever keeps it takes it away first.
//
// Tokens in the redirect itself are never read (RFC 9700 §4.3.2, §4.6).
func (c *Client) Finish(ctx context.Context, transaction Transaction, response oauth.Form) (*Login, error) {
	k, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	code, err := c.readResponse(k, transaction, response)
	if err != nil {
		return nil, err
	}
	const op = "code exchange"
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {transaction.RedirectURI}, "code_verifier": {transaction.Verifier},
	}
	for _, resource := range transaction.Resources { // RFC 8707 §2.2
		form.Add("resource", resource)
	}
	got, err := c.post(ctx, op, tokenEndpoint, form)
	if err != nil {
		return nil, err
	}
	login := &Login{ReturnTo: transaction.ReturnTo}
	if login.Tokens, err = readTokens(op, got, transaction.Scope); err != nil {
		return nil, err
	}
	if !transaction.Scope.Has("openid") {
		return login, nil
	}
	if login.Tokens.IDToken.IsZero() { // OpenID Connect Core §3.1.3.3
		return nil, &InvalidError{Op: op, Detail: "the token response has no id_token, and OpenID Connect was asked for"}
	}
	want := expected{
		nonce: transaction.Nonce, accessToken: login.Tokens.AccessToken.Reveal(), maxAge: transaction.MaxAge, began: transaction.Began, acr: transaction.ACR,
	}
	if transaction.Anew {
		want.reauthenticated = transaction.Began
	}
	if login.Identity, err = c.checkIDToken(ctx, op, login.Tokens.IDToken.Reveal(), want); err != nil {
		return nil, err
	}
	if c.config.UserInfo {
		if login.UserInfo, err = c.UserInfo(ctx, login.Tokens.AccessToken, login.Subject); err != nil {
			return nil, err
		}
	}
	return login, nil
}

// readResponse returns the code of an authorization response that is the answer
// to the transaction (RFC 6749 §4.1.2, RFC 9207 §2.4).
func (c *Client) readResponse(k *known, t Transaction, response oauth.Form) (code string, err error) {
	refuse := func(reason LoginReason, detail string) (string, error) {
		return "", &LoginError{Reason: reason, Detail: detail}
	}
	if t.State == "" || !sameText(response.Get("state"), t.State) {
		return refuse(UnknownState, "the answer belongs to no login that this browser began; begin a new one")
	}
	if time.Since(t.Began) > LoginLife {
		return refuse(UnknownState, "the login took too long; begin a new one")
	}
	if t.Issuer != c.provider.issuer {
		return refuse(WrongIssuer, "the login was begun with another issuer")
	}
	// RFC 9207 §2.4: compared by simple string comparison, error responses too; and
	// one that must be there and is not is another's answer as well.
	told := response.Sent("iss")
	if told && response.Get("iss") != c.provider.issuer || !told && k.AuthorizationResponseIssParameterSupported {
		return refuse(WrongIssuer, "the answer is not from the issuer that was asked")
	}
	if code := response.Get("error"); code != "" {
		return "", &LoginError{
			Reason: Denied, Detail: "the issuer did not complete the sign-in",
			Code: oauth.Code(foreign(code, t.State)), Description: foreign(response.Get("error_description"), t.State),
		}
	}
	if code = response.Get("code"); code == "" {
		return refuse(BadCallback, "the answer has no code")
	}
	return code, nil
}
