//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
)

// result is what became of one scenario under one load.
type result struct {
	check.Verdict

	Scenario string `json:"scenario"`
	What     string `json:"what"`
	Callers  int    `json:"callers"`
	Rounds   int    `json:"rounds"`

	Median float64 `json:"median_ms"`
	P99    float64 `json:"p99_ms"`
	Worst  float64 `json:"worst_ms"`

	// Needless are NOT_ACTIVE and LEADERSHIP_LOST that callers got in calls that
	// met no fault.
	Needless int `json:"needless_not_active"`
	Accepted int `json:"accepted"`
	Refused  int `json:"refused"`
	Unknown  int `json:"unknown"`
	// StoreLost means that the scenario takes the store away, so that writes
	// cannot be judged.
	StoreLost bool `json:"store_lost,omitempty"`
	// Failures are rounds that could not be finished.
	Failures []string `json:"failures,omitempty"`

	Millis []float64 `json:"failovers_ms"`
}

// runner runs scenarios.
type runner struct {
	keep string // where the files of a bad run go
	all  bool   // and of a good one
	log  *slog.Logger
}

// run runs one scenario under one load.
func (r *runner) run(ctx context.Context, s scenario, load, rounds int) result {
	res := result{Scenario: s.name, What: s.what, Callers: load}
	s.setup.callers = load
	for res.Rounds < rounds && ctx.Err() == nil {
		epoch := min(s.epoch, rounds-res.Rounds)
		done, err := r.epoch(ctx, s, epoch, &res)
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

// quantile is the smallest value that this many percent do not exceed.
func quantile(sorted []float64, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// epoch runs some rounds in one world and judges its history.
func (r *runner) epoch(ctx context.Context, s scenario, rounds int, res *result) (done int, err error) {
	w, err := newWorld(ctx, s.setup, r.log)
	if err != nil {
		return 0, err
	}
	defer w.close()
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
		r.log.Debug("round", "scenario", s.name, "callers", res.Callers, "took", took.Round(100*time.Microsecond))
	}
	if ctx.Err() != nil {
		return done, ctx.Err()
	}
	verdict, jerr := w.judge(ctx, res)
	if jerr != nil && err == nil {
		err = jerr
	}
	res.Add(verdict)
	if verdict.Bad() > 0 || err != nil || r.all {
		r.preserve(w, s.name)
	}
	return done, err
}

// preserve copies the logs and histories of a run.
func (r *runner) preserve(w *world, name string) {
	to := filepath.Join(r.keep, fmt.Sprint(name, "-", w.setup.callers, "-", time.Now().Format("150405")))
	if err := w.copyTo(to); err != nil {
		r.log.Warn("logs and histories cannot be kept", "err", err)
		return
	}
	r.log.Warn("logs and histories are kept", "folder", to)
}

func (w *world) copyTo(folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			continue // the stores of NATS
		}
		if err := copyFile(filepath.Join(folder, e.Name()), filepath.Join(w.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// copyFile leaves out the room of a history that was not used.
func copyFile(to, from string) error {
	if filepath.Ext(from) == historySuffix {
		return history.Copy(to, from)
	}
	data, err := os.ReadFile(from) //nolint:gosec // our own file
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600) //nolint:gosec // our own file
}

// judge ends a world and judges what it left behind.
func (w *world) judge(ctx context.Context, res *result) (check.Verdict, error) {
	if err := w.finish(ctx); err != nil {
		return check.Verdict{}, err
	}
	h, err := w.history(ctx)
	if err != nil {
		return check.Verdict{}, err
	}
	for _, c := range h.Calls {
		switch c.Outcome {
		case history.Accepted:
			res.Accepted++
		case history.Refused:
			res.Refused++
		case history.Unknown, history.GivenUp:
			res.Unknown++
		}
		if (c.Reason == history.NotActive || c.Reason == history.LeadershipLost) && !w.excused(c) {
			res.Needless++
		}
	}
	res.StoreLost = res.StoreLost || w.storeLost
	return check.Judge(h), nil
}

// excused tells whether a call met a fault.
func (w *world) excused(c history.Record) bool {
	for _, f := range w.windows {
		if c.End >= f.from && (f.to == 0 || c.Begin <= f.to) {
			return true
		}
	}
	return false
}

// history reads all that the processes recorded, and the store.
func (w *world) history(ctx context.Context) (*check.History, error) {
	h := &check.History{Processes: make(map[string][]history.Record), Calls: w.unanswered}
	for process, path := range w.histories {
		records, err := history.Read(path)
		if err != nil {
			if os.IsNotExist(err) {
				continue // it was killed before it began
			}
			return nil, err
		}
		h.Processes[process] = records
	}
	for _, path := range w.calls {
		records, err := history.Read(path)
		if err != nil {
			return nil, err
		}
		h.Calls = append(h.Calls, records...)
	}
	if w.storeLost {
		return h, nil
	}
	var err error
	h.Stored, err = w.stored(ctx)
	return h, err
}

// storedWithin bounds the reading of the store.
const storedWithin = 60 * time.Second

// stored reads all that the leaders wrote.
func (w *world) stored(ctx context.Context) (*check.Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, storedWithin)
	defer cancel()
	stream, err := w.js.Stream(ctx, roles.StateStream)
	if err != nil {
		return nil, err
	}
	last := stream.CachedInfo().State.LastSeq
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	out := &check.Stored{}
	for seq := uint64(0); seq < last; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		seq = meta.Sequence.Stream
		var batch faultv1.Batch
		if err := proto.Unmarshal(msg.Data(), &batch); err != nil {
			return nil, err
		}
		out.Writes = append(out.Writes, check.Write{Term: batch.GetTerm()})
		for _, p := range batch.GetPuts() {
			out.Writes = append(out.Writes, check.Write{ID: p.GetId(), Key: p.GetKey(), Term: batch.GetTerm()})
		}
		out.Registers = batch.GetRegisters()
	}
	return out, nil
}
