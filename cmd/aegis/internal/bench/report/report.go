// Package report says what a load has shown: as a document of JSON, as text with a
// histogram and a time line, and compared with an earlier one.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Version is that of the schema. It grows when a field changes its meaning or goes, not
// when one is added.
const Version = 1

// Report is what one run of `aegis bench` has shown. Its JSON is described in docs/bench.md:
// names end in the unit, _ms or _s.
type Report struct {
	Version     int       `json:"version"`
	Method      string    `json:"method"`
	Pattern     string    `json:"pattern"`
	Started     time.Time `json:"started"`
	Load        Load      `json:"load"`
	Elapsed     float64   `json:"elapsed_s"` // without the warm-up
	Interrupted bool      `json:"interrupted,omitempty"`
	Totals      Totals    `json:"totals"`
	Latency     Latency   `json:"latency"` // of all calls
	// Succeeded is the latency of calls without an error, if there were errors.
	Succeeded *Latency `json:"latency_succeeded,omitempty"`
	// Lag is how late the calls of an open loop started, which their latency includes.
	Lag        *Latency    `json:"start_lag,omitempty"`
	Timeline   []Slice     `json:"timeline"`
	Stress     *Stress     `json:"stress,omitempty"`
	Thresholds []Threshold `json:"thresholds,omitempty"`
	Comparison *Comparison `json:"comparison,omitempty"`
}

// Load is what was asked for.
type Load struct {
	Loop       string  `json:"loop"` // open or closed
	Shape      string  `json:"shape,omitempty"`
	Rate       float64 `json:"rate,omitempty"` // calls a second, of an open loop
	Parameters string  `json:"parameters,omitempty"`
	Callers    int     `json:"callers"`
	Duration   float64 `json:"duration_s,omitempty"`
	Requests   int64   `json:"requests,omitempty"`
	WarmUp     float64 `json:"warm_up_s"`
	// Correction is how latencies are corrected for coordinated omission.
	Correction       string  `json:"correction"`
	ExpectedInterval float64 `json:"expected_interval_ms,omitempty"`
}

// The loops, and the corrections for coordinated omission.
const (
	Open   = "open"
	Closed = "closed"

	CorrectedByStart    = "intended-start"
	CorrectedByInterval = "expected-interval"
	NotCorrected        = "none"
)

// Totals are counts over the whole run.
type Totals struct {
	Calls       int64           `json:"calls"`
	Time        float64         `json:"time_s"` // elapsed_s, but for a stress test, whose totals are of one step
	Rate        float64         `json:"rate"`   // calls that ended within the run, a second
	Errors      int64           `json:"errors"`
	ErrorRatio  float64         `json:"error_ratio"`
	Codes       map[string]Code `json:"codes,omitempty"`
	Unfinished  int64           `json:"unfinished"` // calls that were ended with the run, and count nowhere else
	Messages    int64           `json:"messages,omitempty"`
	MessageRate float64         `json:"message_rate,omitempty"`
}

// Code is how many calls failed with a code, and the error of the first.
type Code struct {
	Count   int64  `json:"count"`
	Example string `json:"example"`
}

// Latency is a distribution of times.
type Latency struct {
	Count     int64   `json:"count"`
	Min       float64 `json:"min_ms"`
	Mean      float64 `json:"mean_ms"`
	StdDev    float64 `json:"stddev_ms"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p99_9_ms"`
	Max       float64 `json:"max_ms"`
	Histogram []Bar   `json:"histogram,omitempty"`
	// HDR is the histogram in nanoseconds, as HdrHistogram encodes it (V2, compressed, base64).
	HDR string `json:"hdr,omitempty"`
}

// Bar is how many calls took a time between two bounds.
type Bar struct {
	From  float64 `json:"from_ms"`
	To    float64 `json:"to_ms"`
	Count int64   `json:"count"`
}

// Slice is a part of the run's time: the calls that ended in it.
type Slice struct {
	At       float64 `json:"at_s"`
	Length   float64 `json:"length_s"`
	Calls    int64   `json:"calls"`
	Errors   int64   `json:"errors"`
	Messages int64   `json:"messages,omitempty"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
}

// Stress is what a stress test tried. Totals and latencies of the report are those of the
// highest rate that held, or of the first one.
type Stress struct {
	HeldRate float64 `json:"held_rate"` // 0 if none held
	Steps    []Step  `json:"steps"`
}

// Step is one rate of a stress test.
type Step struct {
	Rate       float64 `json:"rate"`
	Achieved   float64 `json:"achieved_rate"`
	P99        float64 `json:"p99_ms"`
	ErrorRatio float64 `json:"error_ratio"`
	Held       bool    `json:"held"`
	Why        string  `json:"why,omitempty"` // it did not hold
}

// Threshold is a limit that the run had to keep.
type Threshold struct {
	Name  string  `json:"name"`
	Limit float64 `json:"limit"`
	Value float64 `json:"value"`
	Held  bool    `json:"held"`
}

// Held tells whether all thresholds were held and, of a stress test, a rate was.
func (r *Report) Held() bool {
	if r.Stress != nil && r.Stress.HeldRate == 0 {
		return false
	}
	for _, t := range r.Thresholds {
		if !t.Held {
			return false
		}
	}
	return true
}

// Save writes the report to a file, whole or not at all.
func (r *Report) Save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	part := path + ".part"
	if err := os.WriteFile(part, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the report: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		_ = os.Remove(part) // the error above matters
		return fmt.Errorf("save the report: %w", err)
	}
	return nil
}

// Read reads a report that was saved, or the output of --output json.
func Read(path string) (*Report, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, fmt.Errorf("read the earlier report: %w", err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is no report of aegis bench: %w", path, err)
	}
	switch {
	case r.Version == 0 || r.Method == "":
		return nil, fmt.Errorf("%s is no report of aegis bench: it has no version or no method; --save writes one", path)
	case r.Version > Version:
		return nil, fmt.Errorf("%s has version %d of the report, this aegis knows %d; update aegis", path, r.Version, Version)
	}
	return &r, nil
}
