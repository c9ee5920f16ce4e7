//go:build linux

// Package calls breaks a single active service that is called without end, and
// measures how long it takes until a reply of the next leader comes.
//
// A run of a scenario goes in epochs, each with a world of its own, and an epoch in
// rounds: all is well, something is broken, it is measured how long callers notice
// it, and it is repaired. After each epoch package check judges what all processes
// have recorded.
//
//	scenarios.go       the table of scenarios; a new one begins there
//	faults_process.go  what happens to candidates and their connections
//	faults_nats.go     what happens to NATS servers and to what they store
//	run.go judge.go    epochs, and what they are judged by
//	result.go          what became of a scenario, and its row of the table
package calls

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/world"
)

// Options replace figures of the scenarios. With 0 a scenario keeps its own figure.
type Options struct {
	Rounds  int
	Callers int
}

// Run runs scenarios one after the other and hands over what became of each. It ends
// early when ctx is done, or when result returns an error.
func Run(ctx context.Context, h *world.Harness, chosen []Scenario, o Options, result func(Result) error) error {
	for _, s := range chosen {
		if o.Rounds > 0 {
			s.rounds = o.Rounds
		}
		loads := s.loads
		if o.Callers != 0 {
			loads = []int{o.Callers}
		}
		for _, load := range loads {
			res := run(ctx, h, s, load)
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

// run runs one scenario under one load.
func run(ctx context.Context, h *world.Harness, s Scenario, load int) Result {
	res := Result{Scenario: s.Name, What: s.What, Callers: load}
	s.setup.Callers = load
	for res.Rounds < s.rounds && ctx.Err() == nil {
		epoch := min(s.epoch, s.rounds-res.Rounds)
		done, err := runEpoch(ctx, h, s, epoch, &res)
		res.Rounds += done
		if err != nil && ctx.Err() == nil {
			res.Failures = append(res.Failures, err.Error())
			if done == 0 {
				break // it would only fail again
			}
		}
	}
	slices.Sort(res.Millis)
	res.Median, res.P99, res.Worst = quantile(res.Millis, 50), quantile(res.Millis, 99), quantile(res.Millis, 100)
	return res
}

// quantile returns the smallest value that this many percent of the values do not
// exceed.
func quantile(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// runEpoch runs some rounds in one world and judges its history.
func runEpoch(ctx context.Context, h *world.Harness, s Scenario, rounds int, res *Result) (done int, err error) {
	w, err := world.New(ctx, s.setup, h.Log)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	for done < rounds {
		took, rerr := s.round(ctx, w)
		if rerr != nil {
			err = fmt.Errorf("round %d: %w", done+1, rerr)
			break
		}
		done++
		if took != unmeasured {
			res.Millis = append(res.Millis, float64(took.Microseconds())/1000)
		}
		h.Log.Debug("round", "scenario", s.Name, "callers", res.Callers, "took", took.Round(100*time.Microsecond))
	}
	if ctx.Err() != nil {
		return done, ctx.Err()
	}
	verdict, jerr := judge(ctx, w, res)
	if jerr != nil && err == nil {
		err = jerr
	}
	res.Add(verdict)
	h.Preserve(w, s.Name, verdict.Bad() > 0 || err != nil)
	return done, err
}
