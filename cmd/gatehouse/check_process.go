package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"gatehouse/egress"
	"gatehouse/internal/seal"
	"gatehouse/oauth"
)

const (
	// expiryWarning is how long before its end a certificate is spoken of.
	expiryWarning = 14 * 24 * time.Hour
	// usualMemory is what hashing a password takes unless it is set, in MiB.
	usualMemory = 64
)

func (e *examination) checkAddresses() {
	public, err := url.Parse(e.process.PublicURL)
	if err != nil {
		e.fail("public_url", everySetting, "%s", err)
		return
	}
	behindTLS := public.Scheme == "https"
	switch {
	case behindTLS:
		e.ok("public_url", "https")
	case oauth.LoopbackHost(public.Hostname()):
		e.ok("public_url", "http, for this machine alone")
	default:
		e.warn("public_url", "an https public_url, and no insecure_allow_http", "insecure_allow_http: everybody on the way can read passwords and tokens")
	}
	if listen := e.process.Listen; behindTLS && e.process.TLS.Certificate == "" && !loopbackAddress(listen) {
		e.warn("listen", "tls.certificate and tls.key, or listen: 127.0.0.1:8080 with the proxy on this machine",
			"%s speaks http: only the network between it and the proxy keeps passwords secret", listen)
	}
	switch address := e.process.Metrics.Listen; {
	case address == "":
		e.ok("metrics", "off")
	case loopbackAddress(address):
		e.ok("metrics", "at %s, for this machine alone", address)
	default:
		e.warn("metrics", "metrics.listen: 127.0.0.1:9464, or a firewall before it", "whoever reaches %s reads the names of clients and how often they ask", address)
	}
	if t := e.process.Tracing; t.TrustIncoming {
		e.warn("tracing", "trust_incoming: false, unless only a gateway of yours reaches this server", "callers choose the ids of traces, and what is traced")
	} else if t.Endpoint != "" {
		e.ok("tracing", "to %s", t.Endpoint)
	}
	if e.process.Log.Level == "debug" {
		e.warn("log", "log.level: info", "log.level is debug, which is much to keep")
	}
}

// loopbackAddress says whether only this machine reaches what listens there.
// An empty address is serve's default.
func loopbackAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return address == "" || err == nil && oauth.LoopbackHost(host)
}

func (e *examination) checkHashing() {
	if memory := e.process.PasswordHashing.MemoryMiB; memory > 0 && memory < usualMemory {
		e.warn("passwords", "password_hashing.memory_mib: 64, if the machine has the memory", "hashed with %d MiB: guessing from a stolen database is cheaper than usual", memory)
		return
	}
	e.ok("passwords", "hashed at the usual costs or above")
}

// checkAuthorities returns whom outgoing connections trust; nil is the system.
func (e *examination) checkAuthorities() *x509.CertPool {
	if e.process.CAFile == "" {
		return nil
	}
	text, err := os.ReadFile(e.process.CAFile)
	if err != nil {
		e.fail("ca_file", "a file in PEM that this user may read", "%s", err)
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		e.fail("ca_file", "certificates in PEM", "%s has none", e.process.CAFile)
		return nil
	}
	e.ok("ca_file", "%s is trusted beside the system's authorities", e.process.CAFile)
	return pool
}

func (e *examination) checkCertificate() {
	paths := e.process.TLS
	if paths.Certificate == "" {
		e.ok("tls", "the server speaks http itself")
		return
	}
	pair, err := tls.LoadX509KeyPair(paths.Certificate, paths.Key)
	if err != nil {
		e.fail("tls", "tls.certificate with the whole chain and the tls.key that belongs to it, both in PEM and readable by this user", "%s", err)
		return
	}
	if info, err := os.Stat(paths.Key); err == nil && sharedWithOthers(info) {
		e.warn("tls", "chmod 600 "+paths.Key, "others than its owner may use %s", paths.Key)
	}
	e.judgeCertificate("tls", pair.Leaf)
}

// judgeCertificate says whether the certificate is good for the public URL.
func (e *examination) judgeCertificate(about string, leaf *x509.Certificate) {
	const renew = "renew it; the server reads the files again by itself"
	until := moment(leaf.NotAfter)
	switch left := leaf.NotAfter.Sub(e.now); {
	case left <= 0:
		e.fail(about, renew, "the certificate expired at %s", until)
	case e.now.Before(leaf.NotBefore):
		e.fail(about, "this machine's clock, or wait", "the certificate is not valid before %s", moment(leaf.NotBefore))
	case left < expiryWarning:
		e.warn(about, renew, "the certificate expires at %s", until)
	default:
		e.ok(about, "the certificate is valid until %s", until)
	}
	if public, err := url.Parse(e.process.PublicURL); err == nil {
		if err := leaf.VerifyHostname(public.Hostname()); err != nil {
			e.warn(about, "a certificate for "+public.Hostname()+", unless a proxy in front has one", "%s", err)
		}
	}
}

// sharedWithOthers says whether others than the owner may use the file.
func sharedWithOthers(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}

const (
	// wideIPv4 and wideIPv6 are the lengths of prefixes below which a range
	// takes in more than anybody's own network.
	wideIPv4, wideIPv6 = 8, 32
)

func (e *examination) checkEgress(roots *x509.CertPool) *egress.Client {
	allow := e.process.Egress.Allow
	client, err := egress.NewClient(egress.Config{Allow: allow, RootCAs: roots})
	if err != nil {
		e.fail("egress", "hosts, host:port pairs or ranges such as 10.20.0.0/16 in egress.allow", "%s", err)
		return nil
	}
	if len(allow) == 0 {
		e.ok("egress", "public addresses alone are fetched")
		return client
	}
	metadata := netip.MustParseAddr("169.254.169.254") // where clouds hand out credentials
	for _, entry := range allow {
		network, err := netip.ParsePrefix(entry)
		if address, wrong := netip.ParseAddr(entry); wrong == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err == nil && network.Contains(metadata):
			e.warn("egress", "a smaller range in egress.allow", "%s lets clients have the cloud's own credentials fetched from %s", entry, metadata)
		case err == nil && (network.Addr().Is4() && network.Bits() < wideIPv4 || network.Addr().Is6() && network.Bits() < wideIPv6):
			e.warn("egress", "a smaller range in egress.allow", "%s is nearly everything", entry)
		}
	}
	e.ok("egress", "beside public addresses are fetched: %s", strings.Join(allow, ", "))
	return client
}

func (e *examination) checkKeyFile() (kek seal.Key, readable bool) {
	path := e.process.KeyPath()
	kek, err := seal.ReadKeyFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		do := "gatehouse serve makes it together with a new database; put the one of an old database back from its backup"
		if e.process.OnPostgres() {
			do = "gatehouse keys init once, then copy the file to each server"
		}
		e.warn("key file", do, "there is none at %s", path)
		return seal.Key{}, false
	case err != nil:
		e.fail("key file", "the same command as the user that runs the server; the file is its owner's alone", "%s", err)
		return seal.Key{}, false
	}
	e.ok("key file", "%s has key %08x and is its owner's alone", path, kek.ID)
	return kek, true
}
