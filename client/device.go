package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse/oauth"
)

// How a device asks whether its person is done (RFC 8628 §3.5).
const (
	deviceInterval    = 5 * time.Second // where the issuer names none
	deviceSlowDown    = 5 * time.Second // more after each slow_down
	minDeviceInterval = time.Second     // whatever the issuer says, so that it has nobody hammer it
	maxDeviceInterval = time.Minute
	maxDeviceLife     = time.Hour
	maxUserCode       = 64
)

// DeviceRequest is what a device asks for. The zero value asks for what the
// [Config] says.
type DeviceRequest struct {
	Scope     string
	Resources []string
}

// DeviceAuthorization is a login that a person finishes on another device: show
// UserCode and VerificationURI, and wait.
type DeviceAuthorization struct {
	UserCode        string
	VerificationURI string
	// VerificationURIComplete holds the code, for a QR code; "" if there is none.
	VerificationURIComplete string
	// Expiry is when the code ends.
	Expiry time.Time

	client     *Client
	deviceCode Secret
	interval   time.Duration
	scope      oauth.Scope
}

// Device begins a login on another device (RFC 8628 §3.1).
func (c *Client) Device(ctx context.Context, asked DeviceRequest) (*DeviceAuthorization, error) {
	const op = "device authorization"
	scope := c.scope
	if asked.Scope != "" {
		var err error
		if scope, err = oauth.ParseScope(asked.Scope); err != nil {
			return nil, errors.New("client: device authorization: the Scope is malformed")
		}
	}
	resources := asked.Resources
	if resources == nil {
		resources = c.config.Resources
	}
	got, err := c.post(ctx, op, deviceEndpoint, url.Values{"scope": {scope.String()}, "resource": resources})
	if err != nil {
		return nil, err
	}
	var r struct {
		DeviceCode              string  `json:"device_code"`
		UserCode                string  `json:"user_code"`
		VerificationURI         string  `json:"verification_uri"`
		VerificationURIComplete string  `json:"verification_uri_complete"`
		ExpiresIn               float64 `json:"expires_in"`
		Interval                float64 `json:"interval"`
	}
	if err := got.decode(&r); err != nil {
		return nil, &InvalidError{Op: op, Detail: "the answer cannot be read", Cause: err}
	}
	if r.DeviceCode == "" || len(r.DeviceCode) > MaxTokenBytes || r.ExpiresIn <= 0 {
		return nil, &InvalidError{Op: op, Detail: "the answer lacks device_code or expires_in"}
	}
	if !shows(r.UserCode, maxUserCode) {
		return nil, &InvalidError{Op: op, Detail: "the answer has no user_code that can be shown"}
	}
	for _, address := range []string{r.VerificationURI, r.VerificationURIComplete} {
		if address == "" && r.VerificationURI != "" {
			continue
		}
		// People type and scan it, and terminals print it.
		if !shows(address, oauth.MaxURILength) || strings.Contains(address, " ") || checkEndpoint(strings.Split(address, "#")[0], c.provider.issuer, c.wire.insecure) != nil {
			return nil, &InvalidError{Op: op, Detail: "the answer has no verification_uri that can be shown"}
		}
	}
	d := &DeviceAuthorization{
		UserCode: r.UserCode, VerificationURI: r.VerificationURI, VerificationURIComplete: r.VerificationURIComplete,
		Expiry: got.at.Add(min(time.Duration(min(r.ExpiresIn, maxDeviceLife.Seconds())*float64(time.Second)), maxDeviceLife)),
		client: c, deviceCode: NewSecret(r.DeviceCode), scope: scope, interval: deviceInterval,
	}
	if r.Interval > 0 {
		d.interval = max(minDeviceInterval, time.Duration(min(r.Interval, maxDeviceInterval.Seconds())*float64(time.Second)))
	}
	return d, nil
}

// shows says whether a text is there and can be shown: printable ASCII, bounded.
func shows(text string, most int) bool {
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// Wait asks, as often as the issuer allows, until the person has decided. It goes
// on when the issuer cannot be reached for a while, and ends when the person
// refuses, when the code has expired or is spent, or with ctx. It is called once.
func (d *DeviceAuthorization) Wait(ctx context.Context) (*Login, error) {
	for {
		if time.Until(d.Expiry) <= 0 {
			return nil, d.expired()
		}
		timer := time.NewTimer(min(d.interval, time.Until(d.Expiry)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		login, err := d.ask(ctx)
		if err == nil {
			return login, nil
		}
		if err = d.goOn(err); err != nil {
			return nil, err
		}
	}
}

func (d *DeviceAuthorization) expired() error {
	return &LoginError{Reason: Expired, Detail: "nobody entered the code in time; begin a new login"}
}

// goOn is nil if it is worth asking again after err, a little later if need be.
func (d *DeviceAuthorization) goOn(err error) error {
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		// RFC 8628 §3.5: on a timeout the interval is to grow exponentially.
		d.interval = min(max(2*d.interval, unavailable.RetryAfter), maxDeviceInterval)
		return nil
	}
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return err
	}
	switch refused.Code {
	case "authorization_pending":
		return nil
	case "slow_down": // "for this and all subsequent requests"
		d.interval = min(d.interval+deviceSlowDown, maxDeviceInterval)
		return nil
	case "expired_token":
		return d.expired()
	case oauth.AccessDenied:
		return &LoginError{Reason: Denied, Detail: "the person did not allow it", Code: refused.Code, Description: refused.Description}
	}
	return fmt.Errorf("client: device login: %w", err)
}

func (d *DeviceAuthorization) ask(ctx context.Context) (*Login, error) {
	const op = "device token"
	got, err := d.client.post(ctx, op, tokenEndpoint, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {d.deviceCode.Reveal()}, // §3.4
	})
	if err != nil {
		return nil, err
	}
	login := &Login{ReturnTo: "/"}
	if login.Tokens, err = readTokens(op, got, d.scope); err != nil {
		return nil, err
	}
	if !d.scope.Has("openid") {
		return login, nil
	}
	if login.Tokens.IDToken.IsZero() {
		return nil, &InvalidError{Op: op, Detail: "the token response has no id_token, and OpenID Connect was asked for"}
	}
	login.Identity, err = d.client.checkIDToken(ctx, op, login.Tokens.IDToken.Reveal(), expected{accessToken: login.Tokens.AccessToken.Reveal()})
	if err != nil {
		return nil, err
	}
	return login, nil
}
