package dev

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
	// certificateLife is longer than anybody leaves a stage running.
	certificateLife = 365 * 24 * time.Hour
	// certificateSkew is for clocks that are set back after the start.
	certificateSkew = time.Hour
	serialBits      = 128 // RFC 5280 §4.1.2.2: at most 20 octets
)

// authority issues the certificates of one stage. Its key is in memory, and goes
// with it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	now         time.Time
}

func newAuthority(now time.Time) (*authority, error) {
	a := &authority{now: now}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template, err := a.template("Gatehouse dev, this run only")
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

func (a *authority) template(name string) (*x509.Certificate, error) {
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

// pool has the authority alone.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue makes a certificate of a name for one use: to be a server on the loopback
// address, or a client.
func (a *authority) issue(name string, use x509.ExtKeyUsage) (tls.Certificate, error) {
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

// mutual is how two services of the stage recognise each other: what the server
// shows and demands, and what its one client does.
type mutual struct{ server, client *tls.Config }

// newMutual makes an authority that nobody else trusts, and a certificate for each
// side.
func newMutual(server, client string, now time.Time) (mutual, error) {
	a, err := newAuthority(now)
	if err != nil {
		return mutual{}, fmt.Errorf("make the certificates of the stage: %w", err)
	}
	ofServer, err := a.issue(server, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return mutual{}, fmt.Errorf("make the certificates of the stage: %w", err)
	}
	ofClient, err := a.issue(client, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return mutual{}, fmt.Errorf("make the certificates of the stage: %w", err)
	}
	return mutual{
		server: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ofServer},
			ClientCAs: a.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		},
		client: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{ofClient}, RootCAs: a.pool()},
	}, nil
}

// certified is the name in the certificate that a request came with, "" without one.
func certified(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	return state.VerifiedChains[0][0].Subject.CommonName
}
