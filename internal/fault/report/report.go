//go:build linux

// Package report holds what became of all scenarios of a run of the fault harness, as
// JSON in build/fault.json and as the tables of docs/failover.md.
package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/calls"
	"github.com/aegisrpc/aegis/internal/fault/cost"
	"github.com/aegisrpc/aegis/internal/fault/durable"
	"github.com/aegisrpc/aegis/internal/fault/streams"
	"github.com/aegisrpc/aegis/internal/machine"
)

// Report is the content of build/fault.json.
type Report struct {
	Time     time.Time         `json:"time"`
	Command  string            `json:"command"`
	Go       string            `json:"go"`
	CPUs     int               `json:"cpus"`
	Kernel   string            `json:"kernel"`
	Load     string            `json:"load_average"`
	Versions map[string]string `json:"versions"`
	Results  []calls.Result    `json:"results"`
	Durable  []durable.Result  `json:"durable,omitempty"`
	Costs    []cost.Cost       `json:"costs,omitempty"`
	Streams  []streams.Result  `json:"streams,omitempty"`
}

// New begins a report of a run with these arguments.
func New(args []string) *Report {
	return &Report{
		Time: time.Now().UTC().Truncate(time.Second), Command: "go run ./internal/fault " + strings.Join(args, " "),
		Go: runtime.Version(), CPUs: runtime.NumCPU(), Kernel: machine.Kernel(), Load: machine.LoadAverages(),
		Versions: machine.Versions(machine.NATSClient, machine.NATSServer),
	}
}

// Save writes the report.
func (r *Report) Save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// Broken returns the number of results that break a promise or were not finished.
func (r *Report) Broken() (n int) {
	for i := range r.Results {
		if r.Results[i].Broken() {
			n++
		}
	}
	for i := range r.Streams {
		if r.Streams[i].Broken() {
			n++
		}
	}
	for i := range r.Durable {
		if r.Durable[i].Broken() {
			n++
		}
	}
	return n
}

// Runs returns the number of results, costs not counted.
func (r *Report) Runs() int { return len(r.Results) + len(r.Durable) + len(r.Streams) }
