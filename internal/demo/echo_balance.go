package demo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// echoBalance holds what the client saw against what the servers did.
type echoBalance struct {
	load   echoLoad
	report *echoReport
	// killed is the server that was killed, gone when NATS had seen its end.
	killed string
	gone   time.Time
	// handled is how often the handler of each other server ran.
	handled map[string]int
}

// String is a table for people.
func (b *echoBalance) String() string {
	var t strings.Builder
	row := func(name string, n int, what string) { fmt.Fprintf(&t, "  %-8s %6s  %s\n", name, thousands(n), what) }
	for _, name := range b.instances() {
		what := "answers; how many calls it handled is unknown"
		if name == b.killed {
			what = "answers before it was killed"
		} else if handled, known := b.handled[name]; known {
			what = fmt.Sprintf("answers; it handled %s calls", thousands(handled))
		}
		row(name, b.report.Answered[name], what)
	}
	row("failed", len(b.report.Failed), b.failures())
	row("sum", b.ended(), fmt.Sprintf("of %s calls; the slowest answer took %v", thousands(b.load.count), rounded(b.report.Slowest)))
	return t.String()
}

func (b *echoBalance) failures() string {
	if len(b.report.Failed) == 0 {
		return "no call was inside " + b.killed + " when it was killed"
	}
	if b.check() != nil {
		return "not only calls that were inside " + b.killed
	}
	var longest time.Duration
	for _, f := range b.report.Failed {
		longest = max(longest, f.Took)
	}
	return fmt.Sprintf("were inside %s, and ended at their deadline, after %.2f s", b.killed, longest.Seconds())
}

// ended is how many calls have ended, well or not.
func (b *echoBalance) ended() int {
	sum := len(b.report.Failed)
	for _, n := range b.report.Answered {
		sum += n
	}
	return sum
}

// check returns an error that names everything that must not be.
func (b *echoBalance) check() error {
	errs := append(b.checkAnswers(), b.checkFailures()...)
	if n := b.ended(); n != b.load.count {
		errs = append(errs, fmt.Errorf("- %d calls were to be made, and %d have ended", b.load.count, n))
	}
	return errors.Join(errs...)
}

// checkAnswers holds what the handlers did against the answers that the client
// got. Where that is the same, no failed call was inside that server, and no call
// ran twice.
func (b *echoBalance) checkAnswers() (wrong []error) {
	for _, name := range b.instances() {
		answers := b.report.Answered[name]
		handled, known := b.handled[name]
		switch {
		case answers == 0:
			wrong = append(wrong, fmt.Errorf("- %s answered no call", name))
		case known && handled != answers:
			wrong = append(wrong, fmt.Errorf("- %s handled %d calls, and the client has %d answers of it", name, handled, answers))
		case !known && name != b.killed:
			wrong = append(wrong, fmt.Errorf("- %s answered %d calls, and did not say how many it handled", name, answers))
		}
	}
	return wrong
}

// checkFailures holds the failed calls against what may fail: calls that began
// before NATS had seen the end of the killed server, at their deadline, and no
// more of them than were in flight.
func (b *echoBalance) checkFailures() (wrong []error) {
	if n := len(b.report.Failed); n > b.load.inFlight {
		wrong = append(wrong, fmt.Errorf("- %d calls failed, and only %d were in flight when %s was killed", n, b.load.inFlight, b.killed))
	}
	unexpected := map[string]int{}
	for _, f := range b.report.Failed {
		switch {
		case f.Code != aegis.CodeDeadlineExceeded || f.FromServer:
			unexpected[f.Text]++
		case f.Began.After(b.gone):
			unexpected["began after "+b.killed+" was gone, "+f.Text]++
		}
	}
	for _, text := range slices.Sorted(maps.Keys(unexpected)) {
		wrong = append(wrong, fmt.Errorf("- %d failed that were not inside %s: %s", unexpected[text], b.killed, text))
	}
	return wrong
}

// instances is all that ran or answered.
func (b *echoBalance) instances() []string {
	all := map[string]bool{b.killed: true}
	for name := range b.handled {
		all[name] = true
	}
	for name := range b.report.Answered {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}
