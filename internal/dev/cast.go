package dev

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"gatehouse/bff"
	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/authority"
	"gatehouse/resource"
)

// cast is who performs on the stage beside the issuer.
type cast struct {
	playground, photos, thumbnails http.Handler
	bff                            *bff.BFF
	gateway                        *gateway.Gateway
	mutual                         authority.Mutual

	closers []func()
}

// close ends what goes on beside requests.
func (c *cast) close() {
	for _, one := range slices.Backward(c.closers) {
		one()
	}
}

// newCast makes everybody. It asks nobody yet: the issuer answers later.
func newCast(ctx context.Context, at urls, ready Ready, hc *http.Client, log *slog.Logger) (_ *cast, err error) {
	c := &cast{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	machine := service{issuer: at.issuer, client: hc}
	if ready, found := ready.machine(); found {
		machine.secret = ready.ClientSecret
	}
	if c.playground, err = newPlayground(at, wellKnown(ready.Users), machine); err != nil {
		return nil, err
	}
	if c.mutual, err = authority.NewMutual(clientThumbnails, clientPhotoAPI, time.Now()); err != nil {
		return nil, err
	}
	thumbnails, err := resource.New(ctx, feedConfig(at, thumbnailsIdentifier, ready.secretOf(clientThumbnails), clientThumbnails, hc, log))
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, thumbnails.Close)
	c.thumbnails = newThumbnailsAPI(thumbnails.Require)
	if err := c.joinPhotoAPI(ctx, at, ready, hc, log); err != nil {
		return nil, err
	}
	if c.gateway, err = gateway.New(ctx, gatewayConfig(at, ready.secretOf(clientGateway), hc, log)); err != nil {
		return nil, err
	}
	c.closers = append(c.closers, func() {
		if err := c.gateway.Close(); err != nil {
			log.Error("the gateway could not be closed", "error", err)
		}
	})
	if c.bff, err = newBFF(ctx, at, client.NewSecret(ready.secretOf(clientBFF)), hc, log.With("service", "bff")); err != nil {
		return nil, err
	}
	c.closers = append(c.closers, func() {
		if err := c.bff.Close(); err != nil {
			log.Error("the backend for frontend could not be closed", "error", err)
		}
	})
	return c, nil
}

func (c *cast) joinPhotoAPI(ctx context.Context, at urls, ready Ready, hc *http.Client, log *slog.Logger) error {
	secret := ready.secretOf(clientPhotoAPI)
	photos, err := resource.New(ctx, feedConfig(at, at.apiIdentifier, secret, clientPhotoAPI, hc, log))
	if err != nil {
		return err
	}
	c.closers = append(c.closers, photos.Close)
	exchanger, err := client.New(ctx, at.issuer, client.Config{ClientID: clientPhotoAPI, ClientSecret: client.NewSecret(secret), Lazy: true, HTTPClient: hc, Logger: log})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, func() { _ = exchanger.Close() }) // it has nothing that could be lost
	transport := &http.Transport{TLSClientConfig: c.mutual.Client}
	c.closers = append(c.closers, transport.CloseIdleConnections)
	c.photos = newPhotoAPI(photoParts{
		require: photos.Require, subject: subjectOf, now: time.Now, ending: ctx.Done(),
		onward: newOnward(at.thumbnails, &http.Client{Transport: transport}, exchanger.Exchange, log),
		still: func(ctx context.Context, raw string) error {
			return photos.Still(ctx, raw, resource.Needs{Scopes: []string{scopeRead}})
		},
	})
	return nil
}

// feedConfig has an API follow what is revoked, as its own client. Where nobody knows
// that client's secret, because the developer changed it, it checks tokens by
// themselves.
func feedConfig(at urls, audience, secret, id string, hc *http.Client, log *slog.Logger) resource.Config {
	config := resource.Config{Issuer: at.issuer, Audience: audience, HTTPClient: hc, Logger: log.With("service", id)}
	if secret != "" {
		config.ClientID, config.ClientSecret, config.Feed = id, secret, true
	}
	return config
}

func subjectOf(r *http.Request) string {
	access, _ := resource.AccessFrom(r.Context())
	if user, is := access.User(); is {
		return user.String()
	}
	return "client " + access.Claims.Subject // also where another client exchanged its token
}
