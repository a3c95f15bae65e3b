package process

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"time"
)

// reachTime bounds Reach.
const reachTime = 3 * time.Second

// Reach makes a connection to an address on http or https, over TLS as config says, and
// ends it. Nothing is asked.
func Reach(ctx context.Context, address string, config *tls.Config) error {
	at, err := url.Parse(address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	port := at.Port()
	if port == "" {
		port = at.Scheme // the names of the usual ports
	}
	place := net.JoinHostPort(at.Hostname(), port)
	var connection net.Conn
	if at.Scheme == "http" {
		connection, err = (&net.Dialer{}).DialContext(ctx, "tcp", place)
	} else {
		connection, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", place)
	}
	if err != nil {
		return err
	}
	return connection.Close()
}

// Count is a number of things in words: "1 route", "2 routes".
func Count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
