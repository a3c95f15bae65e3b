package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// certificateLife is longer than anybody leaves a program of development running.
	certificateLife = 365 * 24 * time.Hour
	// certificateSkew is for clocks that are set back after the start.
	certificateSkew = time.Hour
	serialBits      = 128 // RFC 5280 §4.1.2.2: at most 20 octets
)

// loopback is the one address of the servers.
const loopback = "127.0.0.1"

// Authority issues the certificates of one run. Its key is in memory, and goes with
// it.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	now         time.Time
}

// New makes an authority whose certificates are good from now on.
func New(now time.Time) (*Authority, error) {
	a := &Authority{now: now}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template, err := a.template("this run only")
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

func (a *Authority) template(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits-1))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: a.now.Add(-certificateSkew), NotAfter: a.now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, nil
}

// Pool has the authority alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Issue makes a certificate of a name for one use: to be a server on the loopback
// address, or a client.
func (a *Authority) Issue(name string, use x509.ExtKeyUsage) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template, err := a.template(name)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{use}
	if use == x509.ExtKeyUsageServerAuth {
		template.IPAddresses = []net.IP{net.ParseIP(loopback)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Mutual is how two services recognise each other (RFC 8446 §4.3.2): what the server
// shows and demands, and what its one client does.
type Mutual struct{ Server, Client *tls.Config }

// NewMutual makes an authority that nobody else trusts, and a certificate for each
// side, which has its name.
func NewMutual(server, client string, now time.Time) (Mutual, error) {
	a, err := New(now)
	if err != nil {
		return Mutual{}, fmt.Errorf("make an authority: %w", err)
	}
	ofServer, err := a.Issue(server, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return Mutual{}, fmt.Errorf("make the certificate of %s: %w", server, err)
	}
	ofClient, err := a.Issue(client, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return Mutual{}, fmt.Errorf("make the certificate of %s: %w", client, err)
	}
	return Mutual{
		Server: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ofServer},
			ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		},
		Client: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ofClient}, RootCAs: a.Pool()},
	}, nil
}

// Name is that of the client whose certificate came with a request and was verified,
// "" without one.
func Name(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	return state.VerifiedChains[0][0].Subject.CommonName
}
