package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDevSaysWhenItIsReady(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		code := run(ctx, terminal{strings.NewReader(""), writer, io.Discard}, []string{
			"dev", "--port", "0", "--json", "--data", t.TempDir(), "--redirect-uri", "http://127.0.0.1:3000/from-the-line",
		})
		_ = writer.Close()
		ended <- code
	}()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatalf("no line: %v", err)
	}
	var ready struct {
		Issuer, Playground, API, BFF, Gateway string
		Users                                 []struct{ Username, Password, Sub string }
		Clients                               []struct {
			ClientID     string   `json:"client_id"`
			RedirectURIs []string `json:"redirect_uris"`
		}
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatal(err)
	}
	if len(ready.Users) != 2 || len(ready.Clients) < 3 || ready.Playground == "" || ready.API == "" || ready.BFF == "" || ready.Gateway == "" {
		t.Errorf("the line is %s", line)
	}
	known := false
	for _, client := range ready.Clients {
		known = known || slices.Contains(client.RedirectURIs, "http://127.0.0.1:3000/from-the-line")
	}
	if !known {
		t.Error("no client has the redirect URI of the command line")
	}
	response, err := http.Get(ready.Issuer + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("status %d, %v", response.StatusCode, err)
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("an interrupt ended it with %d", code)
	}
}
