// Command gate holds the checks that scripts/test runs beside the compiler's and the
// tests' own: the length of files, the refusals and their texts, the requirements still
// open, the list of fuzz targets, and the reading of test logs. It is run from the
// module's root and changes nothing except, when told to, the table of requirements.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

const usage = `usage: go run ./scripts/gate COMMAND

  length                          no Go file is longer than 500 lines
  refusals [PROFILE...]           each rule has a text and each text a rule; with coverage
                                  profiles also: each oauth.Refuse line was run by a test
  requirements [-settle]          list the rows that are still being built;
                                  -settle marks those covered that a test names
  fuzz-targets                    print "package target" for every fuzz target
  watch LOG                       copy "go test -json" from standard input to LOG,
                                  print each package's line and each failure
  tally [-no-skips] LOG...        print all packages' lines and "N passed, N failed"
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2:])
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case errors.Is(err, errFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var (
	errUsage  = errors.New("usage")
	errFailed = errors.New("failed") // all that is to be said has been printed
)

func run(command string, arguments []string) error {
	flag := func(name string) bool {
		if len(arguments) > 0 && arguments[0] == name {
			arguments = arguments[1:]
			return true
		}
		return false
	}
	switch command {
	case "length":
		return complaints(length("."))
	case "refusals":
		return complaints(refusals(".", arguments))
	case "requirements":
		return requirements(".", flag("-settle"))
	case "fuzz-targets":
		return fuzzTargets(".")
	case "watch":
		if len(arguments) != 1 {
			return errUsage
		}
		return watch(os.Stdin, arguments[0])
	case "tally":
		noSkips := flag("-no-skips")
		if len(arguments) == 0 {
			return errUsage
		}
		return tally(os.Stdout, noSkips, arguments)
	}
	return errUsage
}

// complaints makes one error of all that is wrong.
func complaints(wrong []string, err error) error {
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "\n"))
	}
	return nil
}
