package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// options are what a measurement is asked for.
type options struct {
	json bool
	// peer measures npm's oidc-provider in place of the server.
	peer    bool
	only    string
	rounds  int
	length  time.Duration
	warmUp  time.Duration
	lenient bool
	// postgres is the URL of an empty database; "" measures on SQLite.
	postgres string
	// keep leaves the directory of the measurement where it is.
	keep bool
}

// warmUp goes before every round.
const warmUp = 300 * time.Millisecond

// postgresVariable has the URL of the database for --store postgres.
const postgresVariable = "BENCH_POSTGRES"

func main() {
	if len(os.Args) > 1 && os.Args[1] == limitArgument {
		os.Exit(runLimit())
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	o := options{warmUp: warmUp}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.json, "json", false, "print the figures as JSON and nothing else")
	flags.BoolVar(&o.peer, "peer", false, "measure npm's oidc-provider by the same requests instead; needs node and npm")
	flags.StringVar(&o.only, "only", "", "measure only the rows whose names begin with `ROW`; several with commas")
	flags.IntVar(&o.rounds, "rounds", 5, "how many rounds, of whose figures the medians are taken")
	seconds := flags.Float64("seconds", 3, "how long a round is")
	store := flags.String("store", "sqlite", "sqlite, or postgres: the empty database of "+postgresVariable)
	flags.BoolVar(&o.lenient, "lenient", false, "let rounds count during which the server's core was not busy, for machines with other work to do")
	flags.BoolVar(&o.keep, "keep", false, "keep the directory of the measurement")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.length = time.Duration(*seconds * float64(time.Second))
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("what is %q?", flags.Arg(0))
	case o.rounds < 1 || o.length < 10*time.Millisecond:
		return o, errors.New("there must be at least one round, and it must last")
	case *store == "postgres":
		if o.postgres = os.Getenv(postgresVariable); o.postgres == "" {
			return o, errors.New("--store postgres needs the URL of an empty database in " + postgresVariable)
		}
	case *store != "sqlite":
		return o, errors.New("--store is sqlite or postgres")
	}
	if len(o.rows()) == 0 {
		return o, fmt.Errorf("no row begins with %q; there are: %s", o.only, strings.Join(rowNames(), " "))
	}
	return o, nil
}

func rowNames() []string {
	var names []string
	for _, r := range rows() {
		names = append(names, r.name)
	}
	return names
}

// rows returns the rows that are asked for.
func (o options) rows() []row {
	var chosen []row
	for _, r := range rows() {
		for wanted := range strings.SplitSeq(o.only, ",") {
			if strings.HasPrefix(r.name, wanted) {
				chosen = append(chosen, r)
				break
			}
		}
	}
	return chosen
}
