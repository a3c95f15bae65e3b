package client_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/client"
	"gatehouse/internal/spec"
	"gatehouse/jose"
)

// devices serves the device endpoint, and answers polls by the script, in order;
// the last one stays. It returns when the polls came, since the start.
func (p *provider) devices(authorization map[string]any, script ...string) *[]time.Duration {
	began := time.Now()
	polls := &[]time.Duration{}
	said := map[string]any{
		"device_code": "device-code-1", "user_code": "WDJB-MJHT", "verification_uri": p.URL + "/device", "verification_uri_complete": p.URL + "/device?user_code=WDJB-MJHT",
		"expires_in": 600, "interval": 5,
	}
	maps.Copy(said, authorization)
	p.change(func(p *provider) {
		p.answer = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/device" && r.Method == http.MethodPost:
				writeJSON(w, http.StatusOK, said)
			case r.URL.Path == "/token":
				*polls = append(*polls, time.Since(began))
				step := script[min(len(*polls), len(script))-1]
				now := time.Now().Unix()
				switch step {
				case "done":
					writeJSON(w, http.StatusOK, map[string]any{"access_token": "device-access", "token_type": "bearer", "expires_in": 60, "refresh_token": "device-refresh",
						"id_token": sign(p.t, p.key, jose.TypeJWT, claims{"iss": p.issuer, "sub": "alice", "aud": clientID, "iat": now, "exp": now + 60})})
				case "away":
					w.WriteHeader(http.StatusServiceUnavailable)
				default:
					writeJSON(w, http.StatusBadRequest, map[string]any{"error": step, "error_description": "for device-code-1"})
				}
			default:
				return false
			}
			return true
		}
	})
	return polls
}

func TestDeviceLogin(t *testing.T) {
	spec.Covers(t, "RFC8628-3.5-C1")
	seconds := func(all ...int) []time.Duration {
		var list []time.Duration
		for _, one := range all {
			list = append(list, time.Duration(one)*time.Second)
		}
		return list
	}
	for name, test := range map[string]struct {
		authorization map[string]any
		script        []string
		polls         []time.Duration
		want          error // the kind of error
	}{
		"at once":        {nil, []string{"done"}, seconds(5), nil},
		"pending":        {nil, []string{"authorization_pending", "authorization_pending", "done"}, seconds(5, 10, 15), nil},
		"its interval":   {map[string]any{"interval": 7}, []string{"authorization_pending", "done"}, seconds(7, 14), nil},
		"no time at all": {map[string]any{"interval": 1e-9}, []string{"authorization_pending", "done"}, seconds(1, 2), nil},
		"below zero":     {map[string]any{"interval": -5}, []string{"authorization_pending", "done"}, seconds(5, 10), nil},
		"no interval":    {map[string]any{"interval": nil}, []string{"authorization_pending", "done"}, seconds(5, 10), nil},
		"slower":         {nil, []string{"slow_down", "authorization_pending", "slow_down", "done"}, seconds(5, 15, 25, 40), nil},
		"away for a bit": {nil, []string{"away", "authorization_pending", "done"}, seconds(5, 15, 25), nil},
		"refused":        {nil, []string{"authorization_pending", "access_denied"}, seconds(5, 10), &client.LoginError{}},
		"expired there":  {nil, []string{"expired_token"}, seconds(5), &client.LoginError{}},
		"expired here":   {map[string]any{"expires_in": 12}, []string{"authorization_pending"}, seconds(5, 10, 12), &client.LoginError{}},
		"spent":          {nil, []string{"invalid_grant"}, seconds(5), &client.RefusedError{}},
		"not ours":       {nil, []string{"invalid_client"}, seconds(5), &client.RefusedError{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, network := newDirectProvider(t)
				c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}, Resources: []string{api}})
				polls := p.devices(test.authorization, test.script...)
				d, err := c.Device(t.Context(), client.DeviceRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if form, _ := p.last(); form.Get("scope") != "openid" || form.Get("resource") != api {
					t.Errorf("asked by %v", form)
				}
				if d.UserCode != "WDJB-MJHT" || d.VerificationURI != p.URL+"/device" {
					t.Errorf("%+v", d)
				}
				login, err := d.Wait(t.Context())
				if !slices.Equal(*polls, test.polls) {
					t.Errorf("polls after %v, want %v", *polls, test.polls)
				}
				if form, _ := p.last(); form.Get("device_code") != "device-code-1" || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" {
					t.Errorf("polled by %v", form)
				}
				switch test.want.(type) {
				case nil:
					if err != nil || login.Subject != "alice" || login.Tokens.AccessToken.Reveal() != "device-access" {
						t.Errorf("%+v, %v", login, err)
					}
				case *client.LoginError:
					if _, ok := errors.AsType[*client.LoginError](err); !ok {
						t.Errorf("%v", err)
					}
				case *client.RefusedError:
					if _, ok := errors.AsType[*client.RefusedError](err); !ok {
						t.Errorf("%v", err)
					}
				}
				if err != nil && strings.Contains(err.Error(), "device-code-1") {
					t.Errorf("the error holds the code: %v", err)
				}
			})
		})
	}
}

func TestDeviceLoginGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, network := newDirectProvider(t)
		c := p.client(t, client.Config{HTTPClient: &http.Client{Transport: network}})
		polls := p.devices(nil, "authorization_pending")
		d, err := c.Device(t.Context(), client.DeviceRequest{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		if _, err := d.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || len(*polls) != 1 {
			t.Errorf("%v after %d polls", err, len(*polls))
		}
	})
}

func TestDeviceAnswersThatCannotBeShown(t *testing.T) {
	p := newProvider(t)
	c := p.client(t, client.Config{})
	for name, change := range map[string]map[string]any{
		"no code": {"user_code": nil}, "no device code": {"device_code": nil}, "no address": {"verification_uri": nil}, "no life": {"expires_in": nil}, "a life below zero": {"expires_in": -1},
		"control characters": {"user_code": "\x1b[2J"}, "a long code": {"user_code": strings.Repeat("A", 65)}, "another scheme": {"verification_uri": "javascript:alert(1)"},
		"a file": {"verification_uri": "file:///etc/passwd"}, "plain http": {"verification_uri": "http://evil.example/device"}, "a hidden address": {"verification_uri_complete": "https://id.example/\r\nx"},
		"somebody's name": {"verification_uri": "https://id.example@evil.example/"},
	} {
		p.devices(change, "done")
		if _, err := c.Device(t.Context(), client.DeviceRequest{}); err == nil {
			t.Errorf("%s: shown", name)
		}
	}
	p.devices(nil, "done")
	if _, err := c.Device(t.Context(), client.DeviceRequest{}); err != nil {
		t.Error(err)
	}
}
