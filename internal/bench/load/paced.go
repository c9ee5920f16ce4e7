package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/bench/figures"
)

// PacedOrder asks for calls at a rate that does not wait for answers.
type PacedOrder struct {
	Rate int           `json:"rate"` // a second
	Time time.Duration `json:"time"`
}

// PacedResult is what became of the calls.
type PacedResult struct {
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Failed  int           `json:"failed"`
	Example string        `json:"example"` // of a failure
}

// RunPaced makes each call when it is due, and measures from then, so that a
// client which falls behind makes the figures worse.
func RunPaced(o PacedOrder, call CallFunc) (*PacedResult, error) {
	var p paced
	var running sync.WaitGroup
	requests := newRequests(0)
	ticker := time.NewTicker(offerTick / 4) // so that few are due at once
	defer ticker.Stop()
	start := time.Now()
	calls := int(float64(o.Rate) * o.Time.Seconds())
	for n := 0; n < calls; {
		<-ticker.C
		for due := int(time.Since(start).Seconds() * float64(o.Rate)); n < min(due, calls); n++ {
			at := start.Add(time.Duration(n) * time.Second / time.Duration(o.Rate))
			req := requests[n%variety]
			running.Go(func() {
				res, err := call(context.Background(), req)
				if err == nil && res.GetText() != req.GetText() {
					err = fmt.Errorf("the answer to %q is %q", req.GetText(), res.GetText())
				}
				p.ended(time.Since(at), err)
			})
		}
	}
	running.Wait()
	p.P50, p.P99 = p.times.Quantile(0.5), p.times.Quantile(0.99)
	return &p.PacedResult, nil
}

// paced collects the results of the calls while they end.
type paced struct {
	PacedResult

	mu    sync.Mutex
	times figures.Histogram
}

func (p *paced) ended(took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.times.Observe(took)
	if err != nil {
		p.Failed++
		p.Example = err.Error()
	}
}
