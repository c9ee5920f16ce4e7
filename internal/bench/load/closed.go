// Package load makes calls and measures what becomes of them: callers that never
// pause (closed.go), calls at a rate that waits for no answer (paced.go), and a flood
// with gentle callers beside it (flood.go). Which contender calls is for its users.
package load

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/figures"
)

const (
	// PayloadBytes is the size of a marshalled request.
	PayloadBytes = 128
	// variety is how many different requests each caller has.
	variety = 16
)

const (
	// CallTimeout is the deadline of calls that are given none.
	CallTimeout = 5 * time.Second
	// OtherTimeout differs from the method's own, so that it travels in a header.
	OtherTimeout = 3 * time.Second
)

// CallFunc is one call of a contender.
type CallFunc func(context.Context, *echov1.EchoRequest) (*echov1.EchoResponse, error)

// Deadline says which deadline the contexts of calls have.
type Deadline string

// The deadlines.
const (
	DeadlineNone     Deadline = "none"      // the method's own timeout holds
	DeadlineOfCaller Deadline = "of caller" // as in a handler, which calls with its own context
	DeadlineOfCall   Deadline = "of call"   // context.WithTimeout for each call
)

// Order asks for callers that call one after the other, as fast as they can.
type Order struct {
	Callers  int           `json:"callers"`
	Time     time.Duration `json:"time"`
	Deadline Deadline      `json:"deadline"`
}

// Result is what the callers found.
type Result struct {
	Calls   int           `json:"calls"`
	Elapsed time.Duration `json:"elapsed"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Allocs  float64       `json:"allocs"` // per call
	CPU     time.Duration `json:"cpu"`    // of this process
}

// caller is one goroutine's share of the load.
type caller struct {
	requests []*echov1.EchoRequest
	times    figures.Histogram
	err      error
}

// Run has the callers call. It fails if one call fails or has the wrong answer.
func Run(o Order, call CallFunc) (*Result, error) {
	callers := make([]*caller, o.Callers)
	for i := range callers {
		callers[i] = &caller{requests: newRequests(i)}
	}
	runtime.GC() // each round begins alike
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, err := child.CPUTime()
	if err != nil {
		return nil, err
	}
	elapsed := callAll(callers, &o, call)
	used, err := child.CPUTime()
	if err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	var all figures.Histogram
	for _, c := range callers {
		if c.err != nil {
			return nil, c.err
		}
		all.Add(&c.times)
	}
	calls := all.Count()
	return &Result{
		Calls: calls, Elapsed: elapsed, P50: all.Quantile(0.5), P99: all.Quantile(0.99),
		Allocs: float64(after.Mallocs-before.Mallocs) / float64(calls), CPU: used - cpu,
	}, nil
}

func callAll(callers []*caller, o *Order, call CallFunc) time.Duration {
	var over atomic.Bool
	var running sync.WaitGroup
	start := time.Now()
	timer := time.AfterFunc(o.Time, func() { over.Store(true) })
	defer timer.Stop()
	for _, c := range callers {
		running.Go(func() { c.callUntil(&over, o, call) })
	}
	running.Wait()
	return time.Since(start)
}

func (c *caller) callUntil(over *atomic.Bool, o *Order, call CallFunc) {
	ctx := context.Background()
	if o.Deadline == DeadlineOfCaller {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Time+OtherTimeout)
		defer cancel()
	}
	for n := 0; !over.Load() && c.err == nil; n++ {
		c.err = c.once(ctx, call, c.requests[n%variety])
	}
}

func (c *caller) once(ctx context.Context, call CallFunc, req *echov1.EchoRequest) error {
	start := time.Now()
	res, err := call(ctx, req)
	c.times.Observe(time.Since(start))
	if err != nil {
		return err
	}
	if res.GetText() != req.GetText() {
		return fmt.Errorf("the answer to %q is %q", req.GetText(), res.GetText())
	}
	return nil
}

// newRequests makes requests that no other caller has, so that a reply that
// went to the wrong caller, or came too late, is noticed.
func newRequests(id int) []*echov1.EchoRequest {
	requests := make([]*echov1.EchoRequest, variety)
	for i := range requests {
		requests[i] = &echov1.EchoRequest{Text: Padded(fmt.Sprintf("caller %d, request %d ", id, i))}
	}
	return requests
}

// Padded is a text with which a request has its size. Tag and length take two
// bytes.
func Padded(text string) string {
	return text + strings.Repeat(".", PayloadBytes-2-len(text))
}
