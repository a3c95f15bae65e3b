package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"
)

// report is what a measurement found.
type report struct {
	started time.Duration
	rows    []compared
}

// startTarget bounds the time from the start of the process to its first
// answer; memoryTarget its resident memory.
const (
	startTarget  = 300 * time.Millisecond
	memoryTarget = 100 << 20
)

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (r report) writeTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "row\trequests/s\tlimit\tp50 ms\tp99 ms\tCPU µs\tlimit\tRSS MiB\tratio\ttarget\t")
	for _, c := range r.rows {
		mark := ""
		if c.byRequests {
			mark = " (requests/s)"
		}
		verdict := ""
		if c.ratio() < c.target {
			verdict = " missed"
		}
		fmt.Fprintf(table, "%s%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.1f\t%.1f\t%.0f\t%.2f\t%.2f%s\t\n", c.name, mark,
			c.server.rps, c.limit.rps, microseconds(c.server.p50)/1000, microseconds(c.server.p99)/1000,
			microseconds(c.server.cpu), microseconds(c.limit.cpu), float64(c.server.rss)/(1<<20), c.ratio(), c.target, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nstart to first answer: %d ms (target: under %d); memory target: under %d MiB\n",
		r.started.Milliseconds(), startTarget.Milliseconds(), memoryTarget>>20)
	return err
}

// figures are a row as --json prints it.
type figures struct {
	Name     string  `json:"name"`
	RPS      float64 `json:"rps"`
	LimitRPS float64 `json:"limit_rps"`
	Ratio    float64 `json:"ratio"`
	P99      float64 `json:"p99_ms"`
	CPU      float64 `json:"cpu_us"`
	RSS      float64 `json:"rss_mib"`
}

func (r report) writeJSON(w io.Writer) error {
	list := []figures{}
	for _, c := range r.rows {
		list = append(list, figures{
			c.name, rounded(c.server.rps), rounded(c.limit.rps), rounded(c.ratio()), rounded(microseconds(c.server.p99) / 1000),
			rounded(microseconds(c.server.cpu)), rounded(float64(c.server.rss) / (1 << 20)),
		})
	}
	return json.NewEncoder(w).Encode(map[string]any{"rows": list})
}

// rounded keeps three decimal places.
func rounded(value float64) float64 { return math.Round(value*1000) / 1000 }
