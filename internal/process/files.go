package process

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/internal/proxy"
	"gatehouse/internal/secret"
	"gatehouse/jose"
)

// Below makes the paths that are named in a configuration file relative to it.
func Below(configuration string, paths ...*string) {
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(configuration), *path)
		}
	}
}

// Networks reads addresses and networks; what is the setting's name.
func Networks(what string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			address, single := netip.ParseAddr(text)
			if single != nil {
				return nil, fmt.Errorf("%s: %q is neither an address nor a network such as 10.0.0.0/8", what, text)
			}
			network = netip.PrefixFrom(address, address.BitLen())
		}
		all = append(all, network)
	}
	return all, nil
}

// Authorities reads certificates in PEM, nil without a path; beside says that the
// system's are trusted, too. what is the setting's name.
func Authorities(what, path string, beside bool) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	pool := x509.NewCertPool()
	if beside {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %s has no certificate in PEM", what, path)
	}
	return pool, nil
}

// HTTPClient trusts the authorities; nil stands for nil, the default of whoever asks.
func HTTPClient(roots *x509.CertPool) *http.Client {
	if roots == nil {
		return nil
	}
	transport := proxy.NewTransport()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return &http.Client{Transport: transport}
}

// Secret reads a secret that has a file of its own.
func Secret(path string) (secret.String, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return secret.String{}, err
	}
	read := secret.New(strings.TrimRight(string(text), "\r\n"))
	if read.IsZero() {
		return secret.String{}, fmt.Errorf("%s is empty", path)
	}
	return read, nil
}

// PrivateKey reads a key in PKCS #8 and PEM.
func PrivateKey(path, algorithm, id string) (*jose.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s has no PKCS #8 key in PEM", path)
	}
	return jose.ParsePrivateKey(jose.Algorithm(algorithm), id, block.Bytes)
}

// CheckCertificate says what is wrong, at a time, with a listener's certificate and key.
func CheckCertificate(certificate, key string, now time.Time) error {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err == nil && now.After(pair.Leaf.NotAfter) {
		err = errors.New("the certificate has expired")
	}
	return err
}

// OpenToOthers says whether others than its owner may use a file.
func OpenToOthers(path string) bool {
	info, err := os.Stat(path)
	return path != "" && err == nil && info.Mode().Perm()&0o077 != 0
}
