package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"gatehouse/internal/config"
	"gatehouse/internal/secret"
	"gatehouse/kv/kvredis"
	"gatehouse/oauth"
)

// Redis says where what may be lost is counted: in a Redis that all servers
// share. Without addresses it is the database on PostgreSQL, and this process
// on SQLite.
type Redis struct {
	// Addresses are host:port or the path of a Unix socket: of the server, of
	// the sentinels when SentinelMaster is set, of some nodes of a Cluster.
	Addresses      []string `yaml:"addresses"`
	SentinelMaster string   `yaml:"sentinel_master"`
	Cluster        bool     `yaml:"cluster"`
	Database       int      `yaml:"database"`
	// Prefix stands before every key; gatehouse when empty.
	Prefix string `yaml:"prefix"`

	// Username and Password are an ACL user's; a password alone is the
	// default user's. PasswordFile is read at the start, unless there is a
	// Password, as from GATEHOUSE_REDIS_PASSWORD.
	Username             string        `yaml:"username"`
	Password             secret.String `yaml:"password"`
	PasswordFile         string        `yaml:"password_file"`
	SentinelUsername     string        `yaml:"sentinel_username"`
	SentinelPassword     secret.String `yaml:"sentinel_password"`
	SentinelPasswordFile string        `yaml:"sentinel_password_file"`

	// TLS is spoken unless every address is of this machine and nothing in
	// it is set, or InsecurePlaintext is.
	TLS RedisTLS `yaml:"tls"`
	// InsecurePlaintext admits connections without TLS to other machines.
	InsecurePlaintext bool `yaml:"insecure_plaintext"`

	ConnectTimeout config.Duration `yaml:"connect_timeout"`
	Timeout        config.Duration `yaml:"timeout"` // of one operation
}

// RedisTLS is how Redis is recognised, and how it recognises the server.
type RedisTLS struct {
	// CAFile has the authorities that are trusted instead of the system's and
	// those of ca_file.
	CAFile      string `yaml:"ca_file"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// ServerName is the name in the certificate when it is not that of the
	// address.
	ServerName string `yaml:"server_name"`
}

// Used says whether there is a Redis.
func (r Redis) Used() bool { return len(r.Addresses) > 0 }

// Encrypted says whether TLS is spoken.
func (r Redis) Encrypted() bool {
	return !r.InsecurePlaintext && (r.TLS != RedisTLS{} || !r.local())
}

// local says whether all addresses are of this machine.
func (r Redis) local() bool {
	for _, address := range r.Addresses {
		host, _, err := net.SplitHostPort(address)
		if !strings.HasPrefix(address, "/") && (err != nil || !oauth.LoopbackHost(host)) {
			return false
		}
	}
	return true
}

// Paths are those of the settings that name files.
func (r *Redis) Paths() []*string {
	return []*string{&r.PasswordFile, &r.SentinelPasswordFile, &r.TLS.CAFile, &r.TLS.Certificate, &r.TLS.Key}
}

// Check says everything that is wrong with the settings, or nil.
func (r Redis) Check() error {
	if !r.Used() {
		if r.set() {
			return errors.New("redis.addresses is missing, but other settings of redis are there")
		}
		return nil
	}
	var problems []error
	complain := func(text string) { problems = append(problems, errors.New(text)) }
	if (r.TLS.Certificate == "") != (r.TLS.Key == "") {
		complain("redis.tls needs both certificate and key, or neither")
	}
	if r.InsecurePlaintext && r.TLS != (RedisTLS{}) {
		complain("redis.insecure_plaintext and redis.tls exclude each other")
	}
	if r.Username != "" && r.Password.IsZero() && r.PasswordFile == "" {
		complain("redis.username needs a redis.password_file, or GATEHOUSE_REDIS_PASSWORD")
	}
	if err := r.connection().Check(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			complain("redis: " + line)
		}
	}
	return errors.Join(problems...)
}

// set says whether anything but addresses is.
func (r Redis) set() bool {
	return r.SentinelMaster != "" || r.Cluster || r.Database != 0 || r.Prefix != "" || r.Username != "" || !r.Password.IsZero() || r.PasswordFile != "" ||
		r.SentinelUsername != "" || !r.SentinelPassword.IsZero() || r.SentinelPasswordFile != "" || r.TLS != (RedisTLS{}) || r.InsecurePlaintext || r.ConnectTimeout != 0 || r.Timeout != 0
}

// connection is the configuration of the store, without what is in files.
func (r Redis) connection() kvredis.Config {
	c := kvredis.Config{
		Addresses: r.Addresses, SentinelMaster: r.SentinelMaster, Cluster: r.Cluster, Database: r.Database, Prefix: r.Prefix,
		Username: r.Username, Password: r.Password, SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword,
		InsecurePlaintext: r.InsecurePlaintext, ConnectTimeout: r.ConnectTimeout.Std(), Timeout: r.Timeout.Std(),
	}
	if r.Encrypted() {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.TLS.ServerName}
	}
	if c.Username != "" && c.Password.IsZero() { // it is in the file
		c.Username = ""
	}
	return c
}

// OpenRedis connects to the Redis of the configuration, which has one, and
// looks whether it can be relied on.
func (c Config) OpenRedis(ctx context.Context) (*kvredis.Store, error) {
	connection := c.Redis.connection()
	connection.Username = c.Redis.Username
	for path, password := range map[string]*kvredis.Secret{c.Redis.PasswordFile: &connection.Password, c.Redis.SentinelPasswordFile: &connection.SentinelPassword} {
		if path == "" || !password.IsZero() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the password of redis: %w", err)
		}
		if *password = kvredis.NewSecret(strings.TrimRight(string(text), "\r\n")); password.IsZero() {
			return nil, fmt.Errorf("the password file %s is empty", path)
		}
	}
	if connection.TLS != nil {
		if err := c.trustRedis(connection.TLS); err != nil {
			return nil, err
		}
	}
	return kvredis.Open(ctx, connection)
}

// trustRedis completes the TLS configuration from files.
func (c Config) trustRedis(to *tls.Config) (err error) {
	paths := c.Redis.TLS
	if to.RootCAs, err = c.roots(); err != nil {
		return err
	}
	if paths.CAFile != "" {
		text, err := os.ReadFile(paths.CAFile)
		if err != nil {
			return fmt.Errorf("read redis.tls.ca_file: %w", err)
		}
		to.RootCAs = x509.NewCertPool()
		if !to.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("redis.tls.ca_file %s has no certificate in PEM", paths.CAFile)
		}
	}
	if paths.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(paths.Certificate, paths.Key)
		if err != nil {
			return fmt.Errorf("redis.tls: %w", err)
		}
		to.Certificates = []tls.Certificate{pair}
	}
	return nil
}
