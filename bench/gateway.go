package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"gatehouse/gateway"
	"gatehouse/internal/proxy"
	"gatehouse/resource"
)

// upstreamBody is what the upstream of proxies answers.
var upstreamBody = bytes.Repeat([]byte(`{"photo":"a white rabbit"}`), 20)

// startUpstream serves, in the process and on the core of the load, what is behind the
// proxies that are measured.
func startUpstream() (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	length := []string{strconv.Itoa(len(upstreamBody))}
	server := &http.Server{ReadHeaderTimeout: answerPatience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header["Content-Type"], header["Content-Length"] = []string{"application/json"}, length
		_, _ = w.Write(upstreamBody)
	})}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// proxied asks for what is behind a proxy, with one token over and over.
func proxied(s *side, n int) ([]visitor, error) {
	answered, err := s.stage.token(machineID, machineSecret, "grant_type=client_credentials&scope=es:read")
	if err != nil {
		return nil, err
	}
	asks := request("GET", "/photos/1", s.address, "", "Authorization", "Bearer "+answered.AccessToken)
	return askers(n, [][]byte{asks}, func(a answer) error {
		if !bytes.Equal(a.body, upstreamBody) {
			return errors.New("the answer is not the upstream's")
		}
		return nil
	}), nil
}

// bareProxy is httputil.ReverseProxy as its documentation shows it.
func (l *bareLimit) bareProxy() (http.Handler, error) {
	at, err := url.Parse("http://" + l.order.Upstream)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Transport: proxy.NewTransport(),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(at)
			r.SetXForwarded()
		},
	}, nil
}

// gateway is the gateway as it is run: it follows the server's revocation feed, tells
// the upstream who asks, keeps a limit, and writes its log into a file.
func (l *bareLimit) gateway() (http.Handler, error) {
	log, err := os.OpenFile(filepath.Join(l.order.Directory, "gateway.log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return gateway.New(context.Background(), gateway.Config{
		Authentications: []gateway.Authentication{{Name: "photos", Resource: resource.Config{
			Issuer: l.order.Issuer, Audience: resourceES256, ClientID: apiID, ClientSecret: apiSecret, Feed: true,
		}}},
		Upstreams: []gateway.Upstream{{Name: "photos", URL: "http://" + l.order.Upstream}},
		Routes: []gateway.Route{
			{
				Name: "read", Match: gateway.Match{Path: "/photos/{id}", Methods: []string{"GET"}}, Authentication: "photos", Upstream: "photos",
				Needs: resource.Needs{Scopes: []string{"es:read"}}, Forward: gateway.Forward{Headers: true}, Limits: []gateway.Limit{{Per: gateway.PerClient, Rate: 1e6}},
			},
			{Name: "public", Match: gateway.Match{Path: "/public/{rest...}"}, Public: true, Upstream: "photos"},
		},
		Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
}

// compareProxies measures a proxy of ours against a bare one, each in a process of its
// own, with the same upstream behind both.
func (s *stage) compareProxies(r row, o options) (compared, error) {
	upstream, stop, err := startUpstream()
	if err != nil {
		return compared{}, err
	}
	defer stop()
	order := s.orderFor(r, nil)
	order.Upstream, order.Issuer = upstream, "http://"+s.address
	var sides [2]*side
	var processes [2]*process
	var visitors [2][]visitor
	for i := range sides {
		order.Ours = i == 1
		process, hello, err := startLimit(s.core, order)
		if err != nil {
			return compared{}, err
		}
		defer process.stop()
		sides[i], processes[i] = &side{address: hello.Address, stage: s, seen: newSampler()}, process
		if visitors[i], err = r.visitors(sides[i], r.connections); err != nil {
			return compared{}, err
		}
		if err := process.serves(visitors[i][0]); err != nil {
			return compared{}, err
		}
	}
	var rounds [2][]round
	for range o.rounds {
		for i, side := range sides {
			one, err := side.round(processes[i], visitors[i], r, o)
			if err != nil {
				return compared{}, err
			}
			rounds[i] = append(rounds[i], one)
		}
	}
	return compared{r, median(rounds[1]), median(rounds[0])}, nil
}

// serves waits until a visit succeeds: the feed has to be heard first.
func (p *process) serves(v visitor) error {
	var err error
	for began := time.Now(); time.Since(began) < startPatience; time.Sleep(10 * time.Millisecond) {
		var w *wire
		if w, err = dial(p.address); err != nil {
			continue
		}
		_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
		err = v.visit(w)
		w.close()
		if err == nil {
			return nil
		}
	}
	return err
}
