package health

import (
	"encoding/json"
	"errors"
	"fmt"
)

// MaxReport bounds what [Report.Encode] returns, in bytes, the spread left aside.
const MaxReport = 2 << 10

// Report is a snapshot and its assessment.
type Report struct {
	Snapshot
	Assessment
	// Spread is the latencies of all requests since the start. Only the reports of single
	// methods in $SRV.STATS have it; it is nil in others.
	Spread Spread `json:"spread,omitempty"`
}

// Encode returns the report as JSON, without the figures of single methods and
// in at most [MaxReport] bytes: about 220, and 480 with errors of every code. If all
// findings would exceed that, only the first ones are left in. A spread takes up to 1.5 kB
// more.
func (r *Report) Encode() ([]byte, error) {
	short := *r
	short.Methods, short.Spread = nil, nil
	for {
		data, err := json.Marshal(short)
		switch {
		case err != nil:
			return nil, err
		case len(data) > MaxReport && len(short.Findings) > 0:
			short.Findings = short.Findings[:len(short.Findings)-1]
		case r.Spread == nil:
			return data, nil
		default:
			short.Spread = r.Spread
			return json.Marshal(short)
		}
	}
}

// ErrReport is wrapped by the errors of [DecodeReport].
var ErrReport = errors.New("health: not a report")

// DecodeReport reads the JSON of a [Report]. It skips fields that it does not know, as a
// newer version may have written them. The error for no report, or one with impossible
// figures, wraps [ErrReport].
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

// check returns an error for figures that no report has.
func (r *Report) check() error {
	if r.Score < 0 || r.Score > 100 {
		return fmt.Errorf("%w: a score of %v", ErrReport, r.Score)
	}
	if err := r.Spread.check(); err != nil {
		return err
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
