package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse"
	"gatehouse/internal/server"
	"gatehouse/internal/store"
)

// verdict says how bad a finding is.
type verdict string

const (
	fine    verdict = "ok"
	doubt   verdict = "warn"
	failing verdict = "fail"
)

// finding is one line of `gatehouse check`.
type finding struct {
	Verdict verdict `json:"verdict"`
	About   string  `json:"about"`
	Found   string  `json:"found"`
	// Do is what the operator does about it; empty when all is well.
	Do string `json:"do,omitempty"`
}

// examination collects findings.
type examination struct {
	process  server.Config
	now      time.Time
	findings []finding
}

func (e *examination) ok(about, format string, args ...any) {
	e.findings = append(e.findings, finding{fine, about, fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(about, do, format string, args ...any) {
	e.findings = append(e.findings, finding{doubt, about, fmt.Sprintf(format, args...), do})
}

func (e *examination) fail(about, do, format string, args ...any) {
	e.findings = append(e.findings, finding{failing, about, fmt.Sprintf(format, args...), do})
}

// failAll makes a finding of each line of an error.
func (e *examination) failAll(about, do string, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		e.fail(about, do, "%s", line)
	}
}

func (e *examination) count(which verdict) (n int) {
	for _, f := range e.findings {
		if f.Verdict == which {
			n++
		}
	}
	return n
}

func checkCommand(term terminal) *cobra.Command {
	file, asJSON := "", false
	command := &cobra.Command{
		Use:   "check",
		Short: "Say whether a server's configuration, data and public address are in order",
		Long: `Look at everything that a server stands on and say of each thing whether it is
in order (ok), weaker than it could be (warn) or broken (fail), and what to do:

  the configuration file and the GATEHOUSE_ variables, the tenant file to apply
  TLS: the certificate, its key and when it expires
  the key file: who may read it, and whether it belongs to the database
  Redis, if there is one: whether it answers, and refuses when it is full
  the database: clock, the ages of keys, every weakening switch of a client
  the public URL as others see it: issuer, HSTS, cookies, no metrics

Nothing is made and no setting changed. An existing database is opened as every
command does, which brings its tables up to date; a server may run on it. The
public URL is asked from this machine, and it is only a warning if nothing
answers.

Exit codes: 0 when nothing failed, 1 when something did.`,
		Example: `  gatehouse check --config gatehouse.yaml
  gatehouse check --config gatehouse.yaml --json`,
		Args: takes(),
		RunE: func(command *cobra.Command, _ []string) error {
			if file == "" && os.Getenv("GATEHOUSE_PUBLIC_URL") == "" {
				return misused("gatehouse check --config gatehouse.yaml", "which configuration? --config was not given")
			}
			e := &examination{now: time.Now()}
			e.examine(command.Context(), file)
			if err := e.print(term.out, asJSON); err != nil {
				return err
			}
			if broken := e.count(failing); broken > 0 {
				return failed("mend what is marked fail, then the same command again", "%d of %d checks failed", broken, len(e.findings))
			}
			return nil
		},
	}
	command.Flags().StringVar(&file, "config", "", "the configuration `FILE`")
	jsonFlag(command, &asJSON, "print the findings as one JSON document")
	return command
}

func (e *examination) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Findings []finding `json:"findings"`
			OK       int       `json:"ok"`
			Warnings int       `json:"warnings"`
			Failures int       `json:"failures"`
		}{e.findings, e.count(fine), e.count(doubt), e.count(failing)})
	}
	for _, f := range e.findings {
		fmt.Fprintf(w, "%-4s  %-13s  %s\n", f.Verdict, f.About, oneLine(strings.Join(strings.Fields(f.Found), " ")))
		if f.Do != "" {
			fmt.Fprintf(w, "%21s  do: %s\n", "", oneLine(f.Do))
		}
	}
	fmt.Fprintf(w, "\n%d ok, %d to look at, %d failed\n", e.count(fine), e.count(doubt), e.count(failing))
	return nil
}

const everySetting = "docs/gatehouse.example.yaml names every setting"

// examine looks at everything, the outer things first. What cannot be
// understood ends it: nothing behind it could be judged.
func (e *examination) examine(ctx context.Context, file string) {
	process, err := server.LoadConfig(file, os.Environ())
	if err != nil {
		e.failAll("configuration", everySetting, err)
		return
	}
	if err := process.Check(); err != nil {
		e.failAll("configuration", everySetting, err)
		return
	}
	e.process = process
	name := file
	if name == "" {
		name = "the environment"
	}
	e.ok("configuration", "%s is understood; the issuer is %s", name, process.PublicURL)
	e.checkAddresses()
	e.checkHashing()
	roots := e.checkAuthorities()
	e.checkCertificate()
	outbound := e.checkEgress(roots)
	kek, readable := e.checkKeyFile()
	e.checkRedis(ctx)
	e.withDatabase(ctx, func(db database) {
		e.checkClock(db)
		e.checkKeys(ctx, db, kek, readable)
		e.checkClients(ctx, db)
		e.checkTenantFile(ctx, db, outbound)
		e.checkOtherTenants(ctx, db)
	})
	e.checkRunning(ctx, roots)
}

// withDatabase opens the database if there is one.
func (e *examination) withDatabase(ctx context.Context, look func(database)) {
	if !e.process.OnPostgres() {
		path := e.process.DatabasePath()
		if _, err := os.Stat(path); os.IsNotExist(err) {
			e.warn("database", "gatehouse serve makes it at its first start", "there is none yet at %s", path)
			e.checkTenantText()
			return
		}
		if err := reachable(path); err != nil {
			e.fail("database", "the same command as the user that runs the server", "%s", err)
			return
		}
		if info, err := os.Stat(path); err == nil && sharedWithOthers(info) {
			e.warn("database", "chmod 600 "+path, "others than its owner may use %s", path)
		}
	}
	db, err := store.Open(ctx, e.process.StoreConfig(slog.New(slog.DiscardHandler)))
	if err != nil {
		e.fail("database", "the address in database, and whether it runs and lets this user in", "%s", err)
		return
	}
	defer db.Close()
	if err := db.Ping(ctx); err != nil {
		e.fail("database", "whether the database is overloaded or this machine's clock is wrong", "%s", err)
		return
	}
	e.ok("database", "it answers")
	look(database{db, gatehouse.DefaultTenant})
}
