package config_test

import (
	"encoding"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/config"
)

func TestEnvironment(t *testing.T) {
	got := tenant{Debug: true, Listen: "kept"}
	err := config.Environment("GATEHOUSE_", []string{
		"GATEHOUSE_PUBLIC_URL=https://id.example.com?a=b", "GATEHOUSE_TLS_CERTIFICATE=cert.pem", "GATEHOUSE_IDLE=1d",
		"GATEHOUSE_GRACE=0s", "GATEHOUSE_DEBUG=false", "GATEHOUSE_PORT=8080", "GATEHOUSE_OFFSET=-3", "GATEHOUSE_RATIO=0.5",
		"GATEHOUSE_MAX_BODY=10", "GATEHOUSE_LISTEN=", "PATH=/bin", "GATEHOUSEHOLD=1", "NOVALUE",
	}, &got)
	if err != nil {
		t.Fatal(err)
	}
	zero := config.DurationOrZero(0)
	want := tenant{PublicURL: "https://id.example.com?a=b", TLS: tls{Certificate: "cert.pem"}, Idle: config.Duration(24 * time.Hour),
		Grace: &zero, Port: 8080, Offset: -3, Ratio: 0.5, limits: limits{MaxBody: 10}, Listen: "kept"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEnvironmentReachesPointersAndLists(t *testing.T) {
	type settings struct {
		Redis *struct {
			Addresses []string          `yaml:"addresses"`
			Waits     []config.Duration `yaml:"waits"`
		} `yaml:"redis"`
		Absent *struct{ A string } `yaml:"absent"`
	}
	var got settings
	if err := config.Environment("X_", []string{"X_REDIS_ADDRESSES=a:1, b:2", "X_REDIS_WAITS=1s,2s"}, &got); err != nil {
		t.Fatal(err)
	}
	if got.Absent != nil || !reflect.DeepEqual(got.Redis.Addresses, []string{"a:1", "b:2"}) || len(got.Redis.Waits) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	for variable, want := range map[string]string{
		"GATEHOUSE_TLS_CERT=x":             "unknown environment variable GATEHOUSE_TLS_CERT; did you mean GATEHOUSE_TLS_CERTIFICATE?",
		"GATEHOUSE_PUBLIC_UR=x":            "unknown environment variable GATEHOUSE_PUBLIC_UR; did you mean GATEHOUSE_PUBLIC_URL?",
		"GATEHOUSE_public_url=x":           "unknown environment variable GATEHOUSE_public_url; did you mean GATEHOUSE_PUBLIC_URL?",
		"GATEHOUSE_CLIENTS=x":              "unknown environment variable GATEHOUSE_CLIENTS; remove it",
		"GATEHOUSE_WHOLLY_DIFFERENT_KEY=x": "unknown environment variable GATEHOUSE_WHOLLY_DIFFERENT_KEY; remove it",
		"GATEHOUSE_PORT=65536":             "environment variable GATEHOUSE_PORT is not accepted: it must be a whole number from 0 of at most 16 bits",
		"GATEHOUSE_OFFSET=x":               "environment variable GATEHOUSE_OFFSET is not accepted: it must be a whole number of at most 8 bits",
		"GATEHOUSE_RATIO=x":                "environment variable GATEHOUSE_RATIO is not accepted: it must be a number",
		"GATEHOUSE_DEBUG=1":                "environment variable GATEHOUSE_DEBUG is not accepted: it must be true or false",
		"GATEHOUSE_IDLE=-1s":               "environment variable GATEHOUSE_IDLE is not accepted: a duration must not be negative",
	} {
		err := config.Environment("GATEHOUSE_", []string{variable}, &tenant{})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", variable, err, want)
		}
	}
	type holder struct {
		Secret hash `yaml:"client_secret"`
	}
	if err := config.Environment("X_", []string{"X_CLIENT_SECRET=hunter2"}, &holder{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret in an error: %v", err)
	}
}

// A Kubernetes service called gatehouse puts these into every container of its namespace.
func TestEnvironmentPassesOverServiceLinks(t *testing.T) {
	links := []string{"G_SERVICE_HOST=10.0.0.1", "G_SERVICE_PORT=80", "G_SERVICE_PORT_HTTP=80", "G_PORT=tcp://10.0.0.1:80", "G_PORT_80_TCP=tcp://10.0.0.1:80", "G_PORT_80_TCP_PROTO=tcp", "G_TEST_SERVICES=1"}
	if err := config.Environment("G_", links, &struct{ Listen string }{}); err != nil {
		t.Error(err)
	}
	if err := config.Environment("G_", []string{"G_SERVICE=x"}, &struct{ Listen string }{}); err == nil {
		t.Error("a variable that is no service link was passed over")
	}
}

func TestEnvironmentRefusesAmbiguousStructs(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two fields share a variable")
		}
	}()
	var both struct {
		TLS     struct{ Key string } `yaml:"tls"`
		TLSSKey string               `yaml:"tls_key"`
	}
	_ = config.Environment("X_", nil, &both)
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"30d": 30 * day, "1d12h": 36 * time.Hour, "10m": 10 * time.Minute, "1m30s": 90 * time.Second, "1.5h": 90 * time.Minute, "500ms": 500 * time.Millisecond,
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(d), err)
		}
		var again config.Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%s prints as %s, which reads as %v, %v", text, d, time.Duration(again), err)
		}
	}
	for _, text := range []string{"", "d", "30", "1 d", "-1d", "-5m", "+5m", "1d-1h", "1h1d", "1dd", "1w", "9999999999d", "106752d", "106751d24h", "1e3s", "0s", "0d"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %v", text, time.Duration(d))
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "0s": 0, "0d": 0, "2s": 2 * time.Second} {
		var d config.DurationOrZero
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(d), err)
		}
	}
	for d, want := range map[encoding.TextMarshaler]string{
		config.Duration(90 * day): "90d", config.Duration(30 * time.Second): "30s", config.Duration(10 * time.Minute): "10m",
		config.Duration(time.Hour): "1h", config.Duration(90 * time.Minute): "1h30m", config.DurationOrZero(0): "0s", config.Duration(day + time.Second): "1d1s",
	} {
		if text, _ := d.MarshalText(); string(text) != want {
			t.Errorf("%s, want %s", text, want)
		}
	}
}
