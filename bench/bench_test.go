package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == limitArgument { // as the bare limit of a row
		os.Exit(runLimit())
	}
	os.Exit(m.Run())
}

// TestEveryRow runs each row for a moment, so that every answer of server and
// limit is checked. How fast they are is not looked at.
func TestEveryRow(t *testing.T) {
	if _, err := cores(); err != nil {
		t.Skip(err)
	}
	s, err := newStage(t.TempDir(), "", anyCore)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	r := report{started: s.started}
	for _, row := range rows() {
		t.Run(row.name, func(t *testing.T) {
			length := 100 * time.Millisecond
			if row.name == "login" { // each takes as long as a password does
				length = 2 * time.Second
			}
			measured, err := s.compare(row, options{rounds: 1, length: length, warmUp: 10 * time.Millisecond, lenient: true})
			if err != nil {
				t.Fatal(err)
			}
			if measured.server.rps <= 0 || measured.limit.rps <= 0 || measured.server.rss < 1<<20 {
				t.Errorf("%+v", measured)
			}
			r.rows = append(r.rows, measured)
		})
	}
	var table, document bytes.Buffer
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	if err := r.writeJSON(&document); err != nil {
		t.Fatal(err)
	}
	var printed struct {
		Rows []figures `json:"rows"`
	}
	if err := json.Unmarshal(document.Bytes(), &printed); err != nil || len(printed.Rows) != len(rows()) {
		t.Errorf("%v: %s", err, document.Bytes())
	}
	for _, name := range rowNames() {
		if !strings.Contains(table.String(), name) {
			t.Errorf("the table lacks %s:\n%s", name, table.String())
		}
	}
}

func TestARatioIsOfTheMedians(t *testing.T) {
	const ms = time.Millisecond
	server := median([]round{{rps: 90, cpu: 30 * ms, rss: 7}, {rps: 50, cpu: 20 * ms, rss: 9}, {rps: 100, cpu: 10 * ms, rss: 8}})
	if server.rps != 90 || server.cpu != 20*ms || server.rss != 9 {
		t.Errorf("%+v", server)
	}
	limit := round{rps: 180, cpu: 5 * ms}
	if got := (compared{row{}, server, limit}).ratio(); got != 0.25 {
		t.Errorf("by processor time: %v", got)
	}
	if got := (compared{row{byRequests: true}, server, limit}).ratio(); got != 0.5 {
		t.Errorf("by requests: %v", got)
	}
}

func TestOptions(t *testing.T) {
	o, err := parse([]string{"--json", "--only", "introspect,jwks", "--rounds", "2", "--seconds", "0.5"})
	if err != nil || !o.json || o.rounds != 2 || o.length != time.Second/2 {
		t.Errorf("%+v %v", o, err)
	}
	for _, r := range o.rows() {
		if !strings.HasPrefix(r.name, "introspect") && r.name != "jwks" {
			t.Errorf("%s was not asked for", r.name)
		}
	}
	t.Setenv(postgresVariable, "")
	for _, wrong := range [][]string{{"--only", "nothing"}, {"--rounds", "0"}, {"--seconds", "0"}, {"--store", "postgres"}, {"--store", "file"}, {"more"}} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestAnswersAreReadWhole(t *testing.T) {
	head := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2")
	if got := string(headerOf(head, "Content-Length")); got != "2" {
		t.Errorf("%q", got)
	}
	if got := string(headerOf(head, "Content-Type")); got != "text/plain" {
		t.Errorf("%q", got)
	}
	if got := headerOf(head, "Location"); got != nil {
		t.Errorf("%q", got)
	}
	if got := (answer{200, head, []byte("ok")}).sample(); got.Body != "ok" || len(got.Header) != 2 || got.Header[0] != [2]string{"Content-Type", "text/plain"} {
		t.Errorf("%+v", got)
	}
}

func TestPeersTable(t *testing.T) {
	var table bytes.Buffer
	var measured []compared
	for _, asked := range peerRows() {
		if _, known := rowOf(asked.name); !known {
			t.Errorf("the peer is asked %s, which is no row of ours", asked.name)
		}
		measured = append(measured, compared{row: row{name: asked.name}, server: round{rps: 1234, cpu: time.Millisecond}})
	}
	if err := writePeer(&table, measured); err != nil || strings.Count(table.String(), "1234") != len(measured) {
		t.Errorf("%v\n%s", err, table.String())
	}
}
