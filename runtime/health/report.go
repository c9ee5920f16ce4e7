package health

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxReport bounds what [Report.Encode] returns, in bytes.
const MaxReport = 2 << 10

// Report is a snapshot and what follows from it.
type Report struct {
	Snapshot
	Assessment
}

// Encode returns the report as JSON, without the figures of single methods and
// in at most [MaxReport] bytes: about 220, and 480 with errors of every code. Of
// findings only the first ones are left in if they would exceed that.
func (r *Report) Encode() ([]byte, error) {
	short := *r
	short.Methods = nil
	for {
		data, err := json.Marshal(short)
		if err != nil || len(data) <= MaxReport || len(short.Findings) == 0 {
			return data, err
		}
		short.Findings = short.Findings[:len(short.Findings)-1]
	}
}

// ErrReport is wrapped by what [DecodeReport] returns.
var ErrReport = errors.New("health: not a report")

// DecodeReport reads a [Report] from the JSON of somebody else's. Fields that are
// not known are skipped, as a newer version may have written them; figures that
// cannot be are an error that wraps [ErrReport].
func DecodeReport(data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrReport, err)
	}
	if err := r.check(); err != nil {
		return Report{}, err
	}
	for name, stats := range r.Methods {
		if err := stats.check(); err != nil {
			return Report{}, fmt.Errorf("%w (method %q)", err, name)
		}
	}
	return r, nil
}

func (r *Report) check() error {
	if r.Score < 0 || r.Score > 100 {
		return fmt.Errorf("%w: a score of %v", ErrReport, r.Score)
	}
	return r.Stats.check()
}

func (s Stats) check() error {
	l := s.Latency
	switch {
	case s.InFlight < 0 || s.PerMinute < 0:
		return fmt.Errorf("%w: a negative count", ErrReport)
	case l != nil && (l.Min < 0 || l.P50 < l.Min || l.P90 < l.P50 || l.P99 < l.P90 || l.Max < l.P99 || l.Mean < l.Min || l.Mean > l.Max):
		return fmt.Errorf("%w: latencies in no order", ErrReport)
	}
	return nil
}
