package gate

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gatehouse/client"
	"gatehouse/gateway"
	"gatehouse/internal/process"
	"gatehouse/internal/server"
)

// feedTime bounds the wait for feeds.
const feedTime = 5 * time.Second

// Examine looks at everything that a configuration, which Check accepts, names: Redis,
// certificates, each issuer and its feed, and each upstream. Nothing is changed.
func Examine(ctx context.Context, c Config) (found process.Findings) {
	if c.Redis.Used() {
		redis, err := server.Config{Redis: c.Redis, CAFile: c.CAFile}.OpenRedis(ctx)
		if err == nil {
			redis.Close()
		}
		found.Note("Redis", "it answers, and refuses when it is full", "redis in the configuration, and whether it runs", err)
		c.Redis = server.Redis{}
	}
	for about, pair := range map[string]server.TLS{"TLS": c.TLS, "TLS of decisions": c.Decisions.TLS} {
		if pair.Certificate != "" {
			found.Note(about, "the certificate and its key fit", "certificate and key", process.CheckCertificate(pair.Certificate, pair.Key, time.Now()))
		}
	}
	for _, key := range c.Identity.Keys {
		if process.OpenToOthers(key.File) {
			found.Weak("key "+key.ID, "others than its owner may use "+key.File, "chmod 600 "+key.File)
		}
	}
	g, err := Open(ctx, c, slog.New(slog.DiscardHandler))
	if err != nil {
		found.Note("gateway", "", "what the message names", err)
		return found
	}
	found.Note("routes", process.Count(len(g.routes), "route")+", none in the way of another", "", nil)
	found = append(found, c.examineIssuers(ctx)...)
	waiting, cancel := context.WithTimeout(ctx, feedTime)
	found = append(found, g.examineFeeds(waiting)...)
	cancel()
	for _, u := range c.Upstreams {
		found.Note("upstream "+u.Name, u.URL+" takes connections", "whether it runs, and the certificates if it is TLS", reach(ctx, u))
	}
	found = append(found, c.weaknesses(g.routes)...)
	if err := g.Close(); err != nil {
		found.Note("gateway", "", "report it", err)
	}
	return found
}

func (c Config) examineIssuers(ctx context.Context) (found process.Findings) {
	roots, err := process.Authorities("ca_file", c.CAFile, true)
	if err != nil {
		return nil // said already
	}
	seen := map[string]bool{}
	look := func(issuer string, insecure bool) {
		if seen[issuer] {
			return
		}
		seen[issuer] = true
		one, err := client.New(ctx, issuer, client.Config{ClientID: "gateway", HTTPClient: process.HTTPClient(roots), InsecureAllowHTTP: insecure})
		found.Note("issuer", issuer+" answers", "whether the issuer runs, and issuer is written exactly as it writes itself", err)
		if err == nil {
			_ = one.Close()
		}
	}
	for _, a := range c.Authentications {
		for _, i := range a.Issuers {
			if i.JWKSURI == "" || (i.Opaque || i.IntrospectJWTs) && i.IntrospectionEndpoint == "" {
				look(i.Issuer, a.InsecureAllowHTTP)
			}
		}
	}
	for _, e := range c.Exchangers {
		look(e.Issuer, e.InsecureAllowHTTP)
	}
	return found
}

func (g *Gate) examineFeeds(ctx context.Context) (found process.Findings) {
	_ = g.WaitReady(ctx)
	for name, issuers := range g.gateway.Health().Feeds {
		for issuer, status := range issuers {
			err := status.Err
			if err == nil && status.AsOf.IsZero() {
				err = fmt.Errorf("the revocation feed of %s told nothing within %v", issuer, feedTime)
			}
			found.Note("feed of "+name, fmt.Sprintf("%s tells what has ended (%d entries)", issuer, status.Entries), "client_id and client_secret of the issuer, and whether that client is a resource of it", err)
		}
	}
	return found
}

// reach makes a connection to an upstream, and ends it.
func reach(ctx context.Context, u Upstream) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.TLS.ServerName}
	var err error
	if config.RootCAs, err = process.Authorities("ca_file", u.TLS.CAFile, false); err != nil {
		return err
	}
	if u.TLS.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(u.TLS.Certificate, u.TLS.Key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return process.Reach(ctx, u.URL, config)
}

// weaknesses are what the configuration allows that an operator should know of.
func (c Config) weaknesses(routes []gateway.Route) (found process.Findings) {
	for _, r := range routes {
		if r.Public {
			methods := strings.Join(r.Match.Methods, ", ")
			if methods == "" {
				methods = "any method"
			}
			found.Weak("route "+r.Name, "everybody is let in to "+r.Match.Path+" by "+methods, "authentication, if that is not meant")
		}
		if r.Forward.InsecureOriginalToken {
			found.Weak("route "+r.Name, "its upstream gets the client's own token, and can use it elsewhere", "forward.exchange, jwt or headers")
		}
	}
	for _, a := range c.Authentications {
		for _, i := range a.Issuers {
			switch {
			case i.InsecureFeedOptional:
				found.Weak("authentication "+a.Name, "tokens of "+i.Issuer+" are taken also while nothing is known of revocations", "no insecure_feed_optional")
			case !i.Feed && !i.IntrospectJWTs:
				found.Weak("authentication "+a.Name, "JWTs of "+i.Issuer+" are taken until they expire, also when they were revoked", "revocation_feed: true, where the issuer is Gatehouse")
			}
		}
		if a.InsecureAllowHTTP {
			found.Weak("authentication "+a.Name, "keys of issuers may come over plain http", "https, and no insecure_allow_http")
		}
	}
	for _, u := range c.Upstreams {
		if u.InsecureAllowHTTP {
			found.Weak("upstream "+u.Name, "what goes to "+u.URL+" can be read and changed on the way", "https for the upstream")
		}
	}
	return found
}
