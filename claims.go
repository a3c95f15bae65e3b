package gatehouse

// ClaimsRequest names the claims that were asked for one by one, and where
// they go (OpenID Connect Core §5.5).
type ClaimsRequest struct {
	UserInfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
}

// Names are the claims of both places.
func (c ClaimsRequest) Names() []string {
	return append(append([]string(nil), c.UserInfo...), c.IDToken...)
}

// Attributes are what is known of a user beside the standard claims, by name:
// texts, numbers, true or false, or lists of texts. A tenant's claim mapping
// says which of them become claims.
type Attributes map[string]any
