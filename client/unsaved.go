package client

// maxUnsaved is how many renewed tokens may wait for their store to come back.
const maxUnsaved = 1024

// unsavedTokens were issued for a session of that version, the access token for a resource
// or "", and could not be saved.
type unsavedTokens struct {
	version  int64
	resource string
	tokens   Tokens
}

func (c *Client) unsaved(id string, version int64) (unsavedTokens, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, there := c.waiting[id]
	if !there || kept.version != version {
		delete(c.waiting, id)
		return unsavedTokens{}, false
	}
	return kept, true
}

func (c *Client) keepUnsaved(id string, version int64, resource string, tokens Tokens) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) < maxUnsaved {
		c.waiting[id] = unsavedTokens{version, resource, tokens}
	}
}

func (c *Client) forgetUnsaved(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}
