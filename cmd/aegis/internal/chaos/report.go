package chaos

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	show "github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// reportVersion is that of the JSON.
const reportVersion = 1

// report is what a run has found. Times are in milliseconds.
type report struct {
	Version     int            `json:"version"`
	Method      string         `json:"method"`
	Fault       kind           `json:"fault"`
	Started     time.Time      `json:"started"`
	Rate        float64        `json:"rate"`
	Interrupted bool           `json:"interrupted,omitempty"`
	Faults      []*faultReport `json:"faults"`
	Failover    failovers      `json:"failover"`
	Totals      totals         `json:"totals"`
	Limits      []limit        `json:"limits,omitempty"`

	order *order
}

// failovers are those of the faults that calls have recovered from.
type failovers struct {
	Count  int     `json:"count"`
	Median float64 `json:"median_ms"`
	Worst  float64 `json:"worst_ms"`
}

// totals are of all calls, also of those before and after the faults.
type totals struct {
	Calls  int64 `json:"calls"`
	Failed int64 `json:"failed"`
	// Unknown are those of Failed whose handler may have run.
	Unknown int64           `json:"unknown_outcome"`
	Codes   map[string]code `json:"codes,omitempty"`
	// Apart are those of Failed that failed while all was well again after a fault.
	Apart int64 `json:"failed_apart"`
}

// code is the calls that failed with a code, with the text of the first one.
type code struct {
	Count   int64  `json:"count"`
	Example string `json:"example"`
}

// limit is a limit and how it was kept.
type limit struct {
	Name  string  `json:"name"`
	Limit float64 `json:"limit"`
	Value float64 `json:"value"`
	Held  bool    `json:"held"`

	text string // why it is not held
}

// faultReport is what one fault has done.
type faultReport struct {
	Number    int    `json:"number"`
	Process   string `json:"process"`
	PID       int    `json:"pid"`
	Instance  string `json:"instance"`
	Leader    bool   `json:"leader"` // the instance led the group of the method
	Recovered bool   `json:"recovered"`
	// Problem is why it has not recovered.
	Problem string `json:"problem,omitempty"`
	// Failover and FirstFailure count from the fault; they are absent if there were none.
	Failover     *float64         `json:"failover_ms,omitempty"`
	FirstFailure *float64         `json:"first_failure_ms,omitempty"`
	Slowest      float64          `json:"slowest_ms"` // of the calls that succeeded
	Calls        int64            `json:"calls"`
	Failed       int64            `json:"failed"`
	Unknown      int64            `json:"unknown_outcome"`
	Codes        map[string]int64 `json:"codes,omitempty"`
}

func newReport(method string, o *order) *report {
	return &report{
		Version: reportVersion, Method: method, Fault: o.kind, Started: time.Now().UTC(), Rate: o.rate,
		Faults: []*faultReport{}, order: o,
	}
}

func newFaultReport(number int, v *victim, i impact) *faultReport {
	return &faultReport{
		Number: number, Process: v.name, PID: v.pid, Instance: v.instance, Leader: v.leads,
		Failover: known(i.failover), FirstFailure: known(i.firstFailure), Slowest: millis(i.slowest),
		Calls: i.calls, Failed: i.failed, Unknown: i.unknown, Codes: i.codes,
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func known(d time.Duration) *float64 {
	if d == load.Never {
		return nil
	}
	ms := millis(d)
	return &ms
}

// total adds the figures of all calls, and judges them. It is for the time when no call is
// in flight.
func (r *report) total(t *traffic, interrupted bool) {
	rec := t.rec.Recording()
	r.Interrupted = interrupted
	r.Totals = totals{Calls: rec.Calls, Failed: rec.Errors, Unknown: t.unknown.Load(), Apart: rec.Errors, Codes: make(map[string]code)}
	for c, n := range rec.Codes {
		if c > 0 && n > 0 {
			r.Totals.Codes[aegis.Code(c).String()] = code{n, rec.Examples[uint8(c)]}
		}
	}
	var all []float64
	for _, f := range r.Faults {
		r.Totals.Apart -= f.Failed
		if f.Failover != nil {
			all = append(all, *f.Failover)
		}
	}
	if r.Failover.Count = len(all); len(all) > 0 {
		slices.Sort(all)
		middle := len(all) / 2
		r.Failover.Worst, r.Failover.Median = all[len(all)-1], all[middle]
		if len(all)%2 == 0 {
			r.Failover.Median = (all[middle-1] + all[middle]) / 2
		}
	}
	r.judge()
}

func (r *report) judge() {
	if most := millis(r.order.maxFailover); most > 0 {
		r.Limits = append(r.Limits, limit{
			Name: maxFailover, Limit: most, Value: r.Failover.Worst, Held: r.Failover.Worst <= most,
			text: fmt.Sprintf("the longest failover, %s, is above --%s %s", show.Millis(r.Failover.Worst), maxFailover, r.order.maxFailover),
		})
	}
	if most := r.order.maxFailed; most >= 0 {
		r.Limits = append(r.Limits, limit{
			Name: maxFailed, Limit: float64(most), Value: float64(r.Totals.Failed), Held: r.Totals.Failed <= most,
			text: fmt.Sprintf("%s, more than --%s %d", count(r.Totals.Failed, "call has failed", "calls have failed"), maxFailed, most),
		})
	}
}

// verdict returns an error that tells what was not as it should be.
func (r *report) verdict() error {
	var wrong []string
	for _, f := range r.Faults {
		if !f.Recovered && !r.Interrupted {
			wrong = append(wrong, fmt.Sprintf("there was no recovery from fault %d within %s: %s", f.Number, r.order.wait, f.Problem))
		}
	}
	for _, l := range r.Limits {
		if !l.Held {
			wrong = append(wrong, l.text)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}

// did is what was done to a process.
func did(k kind) string {
	return map[kind]string{kill: "killed", pause: "paused", stop: "stopped", restart: "restarted"}[k]
}

// line tells what a fault has done.
func (f *faultReport) line(app *cli.App, k kind) string {
	role := ""
	if f.Leader {
		role = ", the leader"
	}
	text := fmt.Sprintf("fault %d: %s %s (process %d, instance %s%s): ", f.Number, did(k), f.Process, f.PID, f.Instance, role)
	colour := cli.Green
	if f.Failed > 0 {
		colour = cli.Yellow
	}
	if !f.Recovered {
		colour = cli.Red
		text += "NOT RECOVERED, " + f.Problem + "; "
	}
	if f.Failover != nil {
		text += "failover " + show.Millis(*f.Failover) + ", slowest call " + show.Millis(f.Slowest) + ", "
	}
	text += count(f.Failed, "call failed", "calls failed")
	if f.FirstFailure != nil {
		text += " from " + show.Millis(*f.FirstFailure) + " on: " + byCode(f.Codes)
	}
	if f.Unknown > 0 {
		text += fmt.Sprintf("; the outcome of %d is unknown", f.Unknown)
	}
	return app.Style.Paint(colour, cli.Clean(text))
}

func byCode(codes map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(codes)) {
		parts = append(parts, fmt.Sprintf("%d %s", codes[name], name))
	}
	return strings.Join(parts, ", ")
}

func count(n int64, one, several string) string {
	switch n {
	case 0:
		return "no " + several
	case 1:
		return "1 " + one
	default:
		return fmt.Sprintf("%d %s", n, several)
	}
}
