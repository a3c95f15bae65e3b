package front

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"time"

	"gatehouse/client"
	"gatehouse/internal/process"
)

// Examine looks at everything that a configuration, which Check accepts, names: files,
// keys, the store, the certificate, and each issuer. Nothing is changed, but that a
// database that is not there yet is made.
func Examine(ctx context.Context, c Config) (found process.Findings) {
	quiet := c
	quiet.Issuers = nil
	for _, one := range c.Issuers {
		one.Wait = false
		quiet.Issuers = append(quiet.Issuers, one)
	}
	front, err := Open(ctx, quiet, slog.New(slog.DiscardHandler))
	found.Note("files", "all files that are named can be read, and the store is open", "the path or the address in the configuration, and whether this user may use it", err)
	if err == nil {
		found.Note("sessions", "the store of sessions answers", "whether it runs and lets this user in", front.Ready(ctx))
		_ = front.Close()
	}
	if c.Files.Directory != "" {
		found.Note("application", "there is an index.html in "+c.Files.Directory, "the directory that the application's build writes to", checkFiles(os.DirFS(c.Files.Directory)))
	}
	if c.Sessions.Store == "" || c.Sessions.Store == InMemory {
		found.Weak("sessions", "sessions are in memory: a restart signs everybody out, and a second process knows none of them", "sessions.store: database, or redis for several processes")
	}
	if process.OpenToOthers(c.Sessions.KeyFile) {
		found.Weak("key file", "others than its owner may use "+c.Sessions.KeyFile, "chmod 600 "+c.Sessions.KeyFile)
	}
	if c.TLS.Certificate != "" {
		err := process.CheckCertificate(c.TLS.Certificate, c.TLS.Key, time.Now())
		found.Note("TLS", "the certificate and its key fit", "tls.certificate and tls.key", err)
	}
	for _, u := range c.Upstreams {
		found.Note("upstream "+u.Path, u.URL+" takes connections", "whether it runs, and ca_file if it is TLS", reach(ctx, u))
		if u.InsecureAllowHTTP {
			found.Weak("upstream", "tokens go to "+u.URL+" in clear", "https for the upstream")
		}
	}
	if c.InsecureAllowHTTP {
		found.Weak("url", "people's sessions may travel in clear", "https, and no insecure_allow_http")
	}
	return append(found, c.examineIssuers(ctx)...)
}

// reach makes a connection to an upstream, and ends it.
func reach(ctx context.Context, u Upstream) error {
	roots, err := process.Authorities("ca_file", u.CAFile, false)
	if err != nil {
		return err
	}
	return process.Reach(ctx, u.URL, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
}

func (c Config) examineIssuers(ctx context.Context) (found process.Findings) {
	settings, err := c.settings()
	if err == nil {
		err = c.readSecrets(&settings)
	}
	if err != nil {
		return nil // said already
	}
	for _, issuer := range settings.Issuers {
		register := settings.Addresses(issuer.Name)
		finding := process.Finding{About: "issuer", OK: fmt.Sprintf("%s answers; register the redirect URI %s, for sign-outs the post-logout redirect URI %s, and for its own the back-channel logout URI %s",
			issuer.Issuer, register.RedirectURI, register.PostLogoutRedirectURI, register.BackChannelLogoutURI), Do: "whether the issuer runs, and issuer is written exactly as it writes itself"}
		own := issuer.Client
		own.Lazy = false
		one, err := client.New(ctx, issuer.Issuer, own)
		if err != nil {
			finding.OK, finding.Err = "", err
		} else {
			_ = one.Close()
		}
		found = append(found, finding)
	}
	return found
}
