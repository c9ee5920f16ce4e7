//go:build linux

package roles

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// CallersOrder says how to call.
type CallersOrder struct {
	URL     string
	First   int // number of the first caller
	Count   int
	Keys    int // registers
	History string
	Room    int
	Timeout time.Duration // of a call; 0 is the method's own
}

// CommandNext asks for the next accepted reply to a call that begins after it.
const CommandNext = "next"

// callers are closed loops: each calls, waits for what becomes of it, and calls
// again with another id. None ever sends a call again.
type callers struct {
	order  CallersOrder
	log    *history.Log
	client faultv1aegis.FaultServiceClient

	term     atomic.Uint64 // the newest that has replied
	awaiting atomic.Int64  // since when the next reply is asked for, 0 if it is not
}

// runCallers calls until the parent closes the pipe.
func runCallers(o CallersOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := connect(ctx, o.URL, "callers")
	if err != nil {
		return err
	}
	c := &callers{order: o, log: log}
	if c.client, err = faultv1aegis.NewFaultServiceClient(conn); err != nil {
		return err
	}
	var all sync.WaitGroup
	for i := range o.Count {
		all.Go(func() { c.loop(ctx, uint64(o.First+i+1)) })
	}
	sayReady()
	awaitParent(c.command)
	cancel()
	all.Wait()
	return conn.Close(context.Background())
}

func (c *callers) command(line string) {
	if strings.TrimSpace(line) == CommandNext {
		c.awaiting.Store(history.Now())
	}
}

// CallerShift is where the caller's number is in an id.
const CallerShift = 40

func (c *callers) loop(ctx context.Context, caller uint64) {
	for n := uint64(1); ctx.Err() == nil; n++ {
		r := c.call(ctx, caller<<CallerShift|n)
		c.log.Append(r)
		if r.Outcome == history.Accepted {
			c.tell(r)
		} else {
			wait.For(ctx, time.Millisecond) // not to spin where nothing can be sent
		}
	}
}

func (c *callers) call(ctx context.Context, id uint64) history.Record {
	if c.order.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.order.Timeout)
		defer cancel()
	}
	ctx, call := aegis.NewCall(ctx)
	r := history.Record{
		Kind: history.Called, ID: id, Key: uint32(rand.IntN(c.order.Keys)),
		Begin: history.Now(),
	}
	res, err := c.client.Act(ctx, &faultv1.ActRequest{Id: id, Key: r.Key, Called: r.Begin})
	r.End = history.Now()
	r.Previous, r.Term = res.GetPrevious(), call.Term().Token
	r.Outcome, r.Reason = judge(err)
	return r
}

// tell reports the replies that the harness waits for.
func (c *callers) tell(r history.Record) {
	if newest := c.term.Load(); r.Term > newest && c.term.CompareAndSwap(newest, r.Term) {
		say(EventTerm, r.Term, r.End)
	}
	if since := c.awaiting.Load(); since > 0 && r.Begin > since && c.awaiting.CompareAndSwap(since, 0) {
		say(EventNext, r.Term, r.End)
	}
}

// judge tells what an error promises. Only what is documented as not run counts
// as refused.
func judge(err error) (history.Outcome, history.Reason) {
	if err == nil {
		return history.Accepted, history.OtherReason
	}
	var e *aegis.Error
	if !errors.As(err, &e) {
		return history.Unknown, history.OtherReason
	}
	switch e.Reason() {
	case aegis.ReasonNotActive:
		return history.Refused, history.NotActive
	case aegis.ReasonStale:
		return history.Refused, history.Stale
	case aegis.ReasonNoResponders, aegis.ReasonOverloaded, aegis.ReasonStopping:
		return history.Refused, history.OtherReason
	case aegis.ReasonLeadershipLost:
		return history.Unknown, history.LeadershipLost
	}
	switch e.Code() {
	case aegis.CodeDeadlineExceeded:
		return history.Unknown, history.TimedOut
	case aegis.CodeAborted:
		return history.Unknown, history.Unsettled
	default:
		return history.Unknown, history.OtherReason
	}
}
