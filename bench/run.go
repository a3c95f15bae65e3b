package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"gatehouse/jose"
)

// run measures the rows and prints what it found.
func run(o options) error {
	usable, err := cores()
	if err != nil {
		return err
	}
	if len(usable) < 2 {
		return fmt.Errorf("the measurement needs two processor cores, one for the server and one for the load; there is %d", len(usable))
	}
	directory, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "kept:", directory)
	} else {
		defer os.RemoveAll(directory)
	}
	if o.peer {
		if err := stayOn(usable[1]); err != nil {
			return err
		}
		return runPeer(o, usable[0], directory)
	}
	s, err := newStage(directory, o.postgres, usable[0])
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	if err := s.restart(); err != nil {
		return err
	}
	if err := stayOn(usable[1]); err != nil {
		return err
	}
	r := report{started: s.started}
	for _, row := range o.rows() {
		measured, err := s.compare(row, o)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		if !o.json {
			fmt.Fprintf(os.Stderr, "%s: %.2f\n", row.name, measured.ratio())
		}
		r.rows = append(r.rows, measured)
	}
	if o.json {
		return r.writeJSON(os.Stdout)
	}
	return r.writeTable(os.Stdout)
}

// restart stops the server and starts it again: now with keys and database,
// so that the time until it answers is that of a restart.
func (s *stage) restart() error {
	s.stop()
	again, err := serve(s.core, s.binary, s.directory, s.address)
	if err != nil {
		return err
	}
	s.process, s.started = again, again.started
	return nil
}

// busyEnough is the share of the server's core that must have been used for a
// round of a row that the processor bounds.
const busyEnough = 0.95

// attemptsPerRound bounds how often a round that would not count is repeated.
const attemptsPerRound = 3

// compared is what was measured of a row.
type compared struct {
	row
	server, limit round
}

// ratio is how near the server comes to the bare limit.
func (c compared) ratio() float64 {
	if c.byRequests {
		return c.server.rps / c.limit.rps
	}
	return float64(c.limit.cpu) / float64(c.server.cpu)
}

// compare measures the server and the bare limit in rounds that take turns.
func (s *stage) compare(r row, o options) (compared, error) {
	if r.checks != nil {
		return s.compareChecks(r, o)
	}
	if r.proxy != nil {
		return s.compareProxies(r, o)
	}
	ours := &side{address: s.address, stage: s, keys: s.keys, seen: newSampler()}
	answers, err := ours.record(r)
	if err != nil {
		return compared{}, fmt.Errorf("the server: %w", err)
	}
	process, hello, err := startLimit(s.core, s.orderFor(r, answers))
	if err != nil {
		return compared{}, err
	}
	defer process.stop()
	keys, err := jose.ParseKeySet(hello.Keys)
	if err != nil {
		return compared{}, err
	}
	theirs := &side{address: hello.Address, stage: s, keys: keys, limit: &hello, seen: newSampler()}
	ourVisitors, err := r.visitors(ours, r.connections)
	if err != nil {
		return compared{}, err
	}
	theirVisitors, err := r.visitors(theirs, r.connections)
	if err != nil {
		return compared{}, err
	}
	var server, limit []round
	for range o.rounds {
		one, err := theirs.round(process, theirVisitors, r, o)
		if err != nil {
			return compared{}, fmt.Errorf("the bare limit: %w", err)
		}
		limit = append(limit, one)
		if one, err = ours.round(s.process, ourVisitors, r, o); err != nil {
			return compared{}, fmt.Errorf("the server: %w", err)
		}
		server = append(server, one)
	}
	return compared{r, median(server), median(limit)}, nil
}

func (s *stage) orderFor(r row, answers []sample) limitOrder {
	return limitOrder{
		Row: r.name, Secret: r.secret, Answers: answers, Keys: s.rawKeys, Directory: s.directory, Postgres: s.postgres,
		Password: password,
	}
}

// record visits once and returns the answers.
func (s *side) record(r row) ([]sample, error) {
	visitors, err := r.visitors(s, 1)
	if err != nil {
		return nil, err
	}
	w, err := dial(s.address)
	if err != nil {
		return nil, err
	}
	defer w.close()
	_ = w.conn.SetDeadline(time.Now().Add(answerPatience))
	var answers []sample
	w.recorded = &answers
	return answers, visitors[0].visit(w)
}

// round measures one round that counts. Where the load does not get the core busy
// the busiest of some attempts counts, and it is said.
func (s *side) round(p *process, visitors []visitor, r row, o options) (round, error) {
	var busiest round
	for range attemptsPerRound {
		measured, err := measure(p, visitors, o.warmUp, o.length)
		if err == nil {
			err = s.verify()
		}
		if err != nil || o.lenient || r.byRequests || measured.busy >= busyEnough {
			return measured, err
		}
		if measured.busy > busiest.busy {
			busiest = measured
		}
	}
	fmt.Fprintf(os.Stderr, "%s: a round counts although the core was only %.0f %% busy: requests/s are the load's there; let the machine rest\n", r.name, 100*busiest.busy)
	return busiest, nil
}

// maxDocument bounds what is fetched outside of what is measured.
const maxDocument = 1 << 20

func get(url string) ([]byte, error) {
	client := &http.Client{Timeout: answerPatience}
	answered, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answered.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answered.Body, maxDocument))
	if err == nil && answered.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %s", url, answered.StatusCode, text)
	}
	return text, err
}
