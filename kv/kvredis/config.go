package kvredis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"gatehouse/internal/secret"
)

const (
	defaultPrefix  = "gatehouse"
	defaultTimeout = time.Second

	// maxPrefixBytes bounds the prefix; kv.MaxKeyBytes come after it.
	maxPrefixBytes = 64
)

// Secret is a text that prints as "[redacted]" wherever it is printed.
type Secret = secret.String

// NewSecret makes a Secret of its text; NewSecret("") is the absent one.
func NewSecret(text string) Secret { return secret.New(text) }

// Config says where Redis is and how to speak to it. Only Addresses is needed.
type Config struct {
	// Addresses are host:port or the path of a Unix socket: the one of the server; those of the
	// sentinels with SentinelMaster; those of some of the nodes with Cluster.
	Addresses []string
	// SentinelMaster is the name under which Sentinel watches the server. Empty without Sentinel.
	SentinelMaster string
	// Cluster says that the addresses are nodes of a Redis Cluster. All keys of one prefix are
	// kept in one slot: a cluster makes the store survive a server, not hold more.
	Cluster bool
	// Database is the number that is selected; 0 in a cluster.
	Database int
	// Prefix stands before every key, as {PREFIX}:KEY; "gatehouse" when empty. Stores that share
	// a server need different ones. No braces.
	Prefix string

	// Username and Password are those of an ACL user; a Password alone is the default user's.
	Username string
	Password Secret
	// SentinelUsername and SentinelPassword are for the sentinels themselves.
	SentinelUsername string
	SentinelPassword Secret

	// TLS is used for every connection when it is not nil. An empty ServerName is that of the
	// address that is connected to.
	TLS *tls.Config
	// InsecurePlaintext admits connections without TLS to addresses that are not of this
	// machine: everybody on the way reads and changes what is kept.
	InsecurePlaintext bool

	// ConnectTimeout is how long connecting may take, with TLS and authentication, and Timeout
	// how long an operation may: writing, waiting and reading. Both are one second when 0. An
	// operation that finds no connection takes at most both together.
	ConnectTimeout time.Duration
	Timeout        time.Duration
}

// Check says everything that is wrong with the configuration, or nil. It asks no server.
func (c Config) Check() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if len(c.Addresses) == 0 {
		complain("an address is missing; give host:port, such as 127.0.0.1:6379, or the path of a Unix socket")
	}
	if len(c.Addresses) > 1 && c.SentinelMaster == "" && !c.Cluster {
		complain("there are several addresses; either name the master that the sentinels at them watch, or say that they are a cluster")
	}
	if c.SentinelMaster != "" && c.Cluster {
		complain("Sentinel and Cluster exclude each other")
	}
	for _, address := range c.Addresses {
		host, port, err := net.SplitHostPort(address)
		switch {
		case isSocket(address):
			if c.SentinelMaster != "" || c.Cluster {
				complain("the address %q is a Unix socket, which neither sentinels nor nodes of a cluster can be named by", address)
			}
		case err != nil || host == "" || port == "":
			complain("the address %q must be host:port, such as 127.0.0.1:6379, or the path of a Unix socket", address)
		case c.TLS == nil && !c.InsecurePlaintext && !isLoopback(host):
			complain("the address %q is not of this machine and TLS is off; use TLS, or say that everybody on the way may read and change what is kept", address)
		}
	}
	if c.Database < 0 || c.Cluster && c.Database != 0 {
		complain("the database must be 0 or above, and 0 in a cluster")
	}
	if strings.ContainsAny(c.Prefix, "{}") || len(c.Prefix) > maxPrefixBytes {
		complain("the prefix must have at most %d bytes and no braces", maxPrefixBytes)
	}
	if c.Username != "" && c.Password.IsZero() {
		complain("the user name %q has no password", c.Username)
	}
	if c.SentinelMaster == "" && (c.SentinelUsername != "" || !c.SentinelPassword.IsZero()) {
		complain("there are credentials for sentinels, but no master that they watch")
	}
	if c.ConnectTimeout < 0 || c.Timeout < 0 {
		complain("time-outs must not be below zero")
	}
	return errors.Join(problems...)
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultTimeout
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return c
}

func isSocket(address string) bool { return strings.HasPrefix(address, "/") }

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
