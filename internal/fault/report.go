//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// report is what build/fault.json holds.
type report struct {
	Time     time.Time         `json:"time"`
	Command  string            `json:"command"`
	Go       string            `json:"go"`
	CPUs     int               `json:"cpus"`
	Kernel   string            `json:"kernel"`
	Load     string            `json:"load_average"`
	Versions map[string]string `json:"versions"`
	Results  []result          `json:"results"`
	Durable  []durableResult   `json:"durable,omitempty"`
	Costs    []cost            `json:"costs,omitempty"`
	Streams  []streamResult    `json:"streams,omitempty"`
}

func newReport() *report {
	r := &report{
		Time: time.Now().UTC().Truncate(time.Second), Command: "go run ./internal/fault " + strings.Join(os.Args[1:], " "),
		Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Kernel: firstLine("/proc/sys/kernel/osrelease"), Load: firstLine("/proc/loadavg"),
		Versions: make(map[string]string),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2":
				r.Versions[d.Path] = d.Version
			}
		}
	}
	return r
}

func firstLine(path string) string {
	data, _ := os.ReadFile(path) //nolint:gosec // unknown if it cannot be read
	line, _, _ := strings.Cut(string(data), "\n")
	return line
}

// save writes the report.
func (r *report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

const rowFormat = "%-10s %7v %6v %8v %8v %8v %8v %5v %7v %8v %9v %8v  %s\n"

func printHead(out io.Writer) {
	fmt.Fprintf(out, rowFormat, "scenario", "callers", "rounds", "median", "p99", "worst", "overlaps", "lost", "doubled", "needless", "accepted", "unknown", "")
}

// print writes a row of the table, and what is wrong below it.
func (r *result) print(out io.Writer) {
	median, p99, worst := r.times()
	lost, doubled := r.losses()
	fmt.Fprintf(out, rowFormat, r.Scenario, r.Callers, r.Rounds, median, p99, worst, r.Overlaps, lost, doubled, r.Needless, r.Accepted, r.Unknown, r.remarks())
	for _, f := range r.Findings {
		fmt.Fprintln(out, "    ", f)
	}
	for _, f := range r.Failures {
		fmt.Fprintln(out, "     not finished:", f)
	}
}

// times are in milliseconds, where there are any.
func (r *result) times() (median, p99, worst string) {
	if len(r.Millis) == 0 {
		return "-", "-", "-"
	}
	return fmt.Sprintf("%.0f", r.Median), fmt.Sprintf("%.0f", r.P99), fmt.Sprintf("%.0f", r.Worst)
}

// losses are counted where the store was not taken away.
func (r *result) losses() (lost, doubled string) {
	if r.StoreLost {
		return "-", "-"
	}
	return strconv.Itoa(r.Lost), strconv.Itoa(r.Doubled)
}

// remarks names the counts that have no column, where they are not zero.
func (r *result) remarks() string {
	var remarks []string
	for _, c := range []struct {
		name  string
		count int
	}{
		{"tokens", r.Tokens},
		{"unfenced", r.Unfenced},
		{"contradicted", r.Contradicted},
		{"nonlinear", r.Nonlinear},
		{"undecided", r.Undecided},
		{"stragglers", r.Stragglers},
	} {
		if c.count > 0 {
			remarks = append(remarks, fmt.Sprint(c.count, " ", c.name))
		}
	}
	return strings.Join(remarks, ", ")
}

// bad tells whether the result breaks a promise or was not finished.
func (r *result) bad() bool { return r.Bad() > 0 || r.Undecided > 0 || len(r.Failures) > 0 }

// bad counts the bad results.
func (r *report) bad() (n int) {
	for i := range r.Results {
		if r.Results[i].bad() {
			n++
		}
	}
	for i := range r.Streams {
		if r.Streams[i].bad() {
			n++
		}
	}
	for i := range r.Durable {
		if r.Durable[i].bad() {
			n++
		}
	}
	return n
}
