//go:build linux

// Package streams breaks what is between the two ends of streams: connections,
// single messages, and the processes themselves. Each stream has to be whole, or to
// end with a status that says that it is not; and when all is over, nothing may be
// left of them in either process.
//
//	scenarios.go  the table of scenarios; a new one begins there
//	faults.go     what happens in each
//	pair.go       the processes of a run, and what stands between them
//	judge.go      what came of the streams, and what the processes still hold
//	result.go     what became of a scenario, and its line on the terminal
package streams

import (
	"context"

	"github.com/aegisrpc/aegis/internal/fault/world"
)

// Name is the name under which the user asks for these scenarios, all at once.
const Name = "streams"

// Options come from the command line.
type Options struct {
	Short  bool // only those that have a short form, in that form
	Rounds int  // how often each of them; 0 is once
}

// Run runs all scenarios and hands over what became of each. It ends early when ctx is
// done, or when result returns an error.
func Run(ctx context.Context, h *world.Harness, o Options, result func(Result) error) error {
	for _, s := range scenarios() {
		if o.Short {
			s.size = s.short
		}
		if s.size == 0 {
			continue
		}
		for range max(1, o.Rounds) {
			res := run(ctx, h, s)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := result(res); err != nil {
				return err
			}
		}
	}
	return nil
}

// run runs one scenario.
func run(ctx context.Context, h *world.Harness, s scenario) Result {
	res := Result{Scenario: s.name, What: s.what, Ended: make(map[string]uint64)}
	w, err := newPair(ctx, &s, &res, h.Log)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	defer w.Close()
	if err := w.measured(ctx); err != nil {
		res.Failures = append(res.Failures, err.Error())
	}
	h.Preserve(w.World, Name+"-"+s.name, res.Broken())
	return res
}
