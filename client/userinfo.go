package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"gatehouse/jose"
	"gatehouse/token"
)

// UserInfo are the claims of a UserInfo response (OpenID Connect Core §5.3.2), by
// their names.
type UserInfo map[string]json.RawMessage

// Text returns a claim that is a string, "" if it is absent or something else.
func (u UserInfo) Text(name string) string {
	var text string
	if json.Unmarshal(u[name], &text) != nil {
		return ""
	}
	return text
}

// Decode decodes all claims into v, which has the form of one JSON object.
func (u UserInfo) Decode(v any) error {
	all, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return json.Unmarshal(all, v)
}

// UserInfo asks the issuer about the person that the access token is of. subject
// is the sub of the ID token: claims of anybody else are refused. A signed answer
// is checked like every signed thing of the issuer.
func (c *Client) UserInfo(ctx context.Context, accessToken Secret, subject string) (UserInfo, error) {
	const op = "UserInfo"
	if subject == "" {
		return nil, &InvalidError{Op: op, Detail: "there is no ID token whose sub the answer could be held against"}
	}
	got, err := c.reach(ctx, op, userinfoEndpoint, func(address string, _ Metadata) (answer, error) {
		request, err := newRequest(ctx, op, http.MethodGet, address, nil)
		if err != nil {
			return answer{}, err
		}
		request.Header.Set("Accept", jsonType+", application/jwt")
		request.Header.Set("Authorization", "Bearer "+accessToken.Reveal())
		got, err := c.wire.do(op, request)
		if err != nil {
			return answer{}, err
		}
		return got, got.failure(op, accessToken.Reveal())
	})
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	switch got.mediaType() {
	case "application/jwt":
		members, err = c.signedUserInfo(ctx, op, string(bytes.TrimSpace(got.body)))
	case jsonType:
		members, err = jose.StrictMembers(got.body)
		if err != nil {
			err = &InvalidError{Op: op, Detail: "the answer is not a strict JSON object", Cause: err}
		}
	default:
		err = &InvalidError{Op: op, Detail: "the answer is neither application/json nor application/jwt"}
	}
	if err != nil {
		return nil, err
	}
	info := UserInfo(members)
	if info.Text("sub") != subject { // OpenID Connect Core §5.3.4: "MUST be verified to exactly match"
		return nil, &InvalidError{Op: op, Detail: "the answer is about somebody else than the ID token, or does not say about whom"}
	}
	return info, nil
}

func (c *Client) signedUserInfo(ctx context.Context, op, raw string) (map[string]json.RawMessage, error) {
	k, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	if k.keys == nil {
		return nil, &InvalidError{Op: op, Detail: "the issuer's metadata has no jwks_uri, so that a signed answer cannot be checked"}
	}
	rules := token.UserInfoRules(k.keys, c.provider.issuer, c.config.ClientID)
	rules.Skew = c.config.Skew
	if c.config.Algorithms != nil {
		rules.Algorithms = c.config.Algorithms
	}
	claims, err := token.Check(ctx, raw, rules)
	if err != nil {
		return nil, tokenFault(op, "the signed answer was refused", err)
	}
	return claims.Raw, nil
}
