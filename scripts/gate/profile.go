package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A block is a stretch of source that coverage counts as one.
type block struct {
	fromLine, fromCol, toLine, toCol int
	run                              bool
}

// coverage holds the blocks of each file, by the file's import path.
type coverage map[string]map[string]*block

type runState int

const (
	notBuilt        runState = iota // the profiles do not know the file
	notInstrumented                 // they know the file, and nothing of the place
	notRun
	wasRun
)

// readProfiles joins coverage profiles: a block counts as run if any of them ran it.
func readProfiles(paths []string) (coverage, error) {
	covered := make(coverage)
	for _, path := range paths {
		if err := covered.add(path); err != nil {
			return nil, err
		}
	}
	return covered, nil
}

func (c coverage) add(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if strings.HasPrefix(line, "mode:") || line == "" {
			continue
		}
		// gatehouse/oauth/form.go:57.3,58.4 1 12
		fields := strings.Fields(line)
		colon := strings.LastIndexByte(line, ':')
		if len(fields) != 3 || colon < 0 {
			return fmt.Errorf("%s:%d: not a line of a coverage profile: %q", path, number, line)
		}
		name, place := line[:colon], fields[0][colon+1:]
		run := fields[2] != "0"
		if c[name] == nil {
			c[name] = make(map[string]*block)
		}
		if known := c[name][place]; known != nil {
			known.run = known.run || run
			continue
		}
		added, err := parseBlock(place)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
		added.run = run
		c[name][place] = &added
	}
	return lines.Err()
}

func parseBlock(place string) (block, error) {
	numbers := strings.FieldsFunc(place, func(r rune) bool { return r == '.' || r == ',' })
	var values [4]int
	if len(numbers) != len(values) {
		return block{}, fmt.Errorf("not a block of a coverage profile: %q", place)
	}
	for i, number := range numbers {
		value, err := strconv.Atoi(number)
		if err != nil {
			return block{}, fmt.Errorf("not a block of a coverage profile: %q", place)
		}
		values[i] = value
	}
	return block{fromLine: values[0], fromCol: values[1], toLine: values[2], toCol: values[3]}, nil
}

// at tells whether the innermost block around a place was run.
func (c coverage) at(file string, line, col int) runState {
	var inner *block
	for _, candidate := range c[file] {
		if candidate.holds(line, col) && (inner == nil || inner.holds(candidate.fromLine, candidate.fromCol)) {
			inner = candidate
		}
	}
	switch {
	case c[file] == nil:
		return notBuilt
	case inner == nil:
		return notInstrumented
	case inner.run:
		return wasRun
	}
	return notRun
}

func (b *block) holds(line, col int) bool {
	after := line > b.fromLine || line == b.fromLine && col >= b.fromCol
	before := line < b.toLine || line == b.toLine && col < b.toCol
	return after && before
}
