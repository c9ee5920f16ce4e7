//go:build linux

package roles

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// WorkerOrder says what to work.
type WorkerOrder struct {
	URL      string
	Instance string
	History  string
	Room     int // records in the history
	Events   bool
	Replicas int
	AckWait  time.Duration // 0: that of the proto
	Slow     time.Duration // what one item in slowEach takes; 0: none
}

const (
	longestWork = 2 * time.Millisecond // so that some are killed at work
	atOnce      = 8                    // events without a key in a worker
	signEvery   = 100 * time.Millisecond
	signWithin  = 5 * time.Second
	slowEach    = 200 // one item in so many takes long, where some do
)

// worker records all that it is given.
type worker struct {
	log  *history.Log
	slow time.Duration
}

// runWorker works.
func runWorker(o WorkerOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	w := &worker{log: log, slow: o.Slow}
	return serve(serving{
		url: o.URL, instance: o.Instance, connect: connectSometime,
		register: func(conn *aegis.Conn, srv *aegis.Server) error {
			go giveSigns(conn.NATS(), log)
			return w.register(srv, o)
		},
	})
}

// register does what generated code does, with an ack wait of its own.
func (w *worker) register(srv *aegis.Server, o WorkerOrder) error {
	service, err := DurableService(o.AckWait)
	if err != nil {
		return err
	}
	storage := aegis.WithStorage(aegis.Storage{Replicas: o.Replicas})
	if o.Events {
		return aegis.SubscribeEvents(srv, service, []aegis.EventHandler{
			aegis.NewEventHandler("Happened", w.happened), aegis.NewEventHandler("Changed", w.changed),
		}, aegis.WithMaxConcurrency(atOnce), storage)
	}
	return aegis.RegisterService(srv, service, w, []aegis.Handler[*worker]{aegis.UnaryHandler("Work", (*worker).Work)}, storage)
}

// giveSigns records when NATS has answered, which says two things: the process
// runs, and NATS has taken all that was sent before.
func giveSigns(nc *nats.Conn, log *history.Log) {
	for !nc.IsClosed() {
		r := history.Record{Kind: history.Answered, Begin: history.Now()}
		if nc.FlushTimeout(signWithin) == nil {
			r.End = history.Now()
			log.Append(r)
		}
		wait.For(context.Background(), signEvery)
	}
}

// Work works a command.
func (w *worker) Work(ctx context.Context, req *faultv1.WorkRequest) (*faultv1.WorkResponse, error) {
	job, _ := aegis.JobFromContext(ctx)
	run := rand.Uint64()
	if err := w.handle(ctx, history.Record{ID: req.GetId(), Term: uint64(job.Attempt), Previous: run}); err != nil {
		return nil, err
	}
	return &faultv1.WorkResponse{Id: req.GetId(), Run: run}, nil
}

func (w *worker) happened(ctx context.Context, ev *faultv1.HappenedRequest) error {
	d, _ := aegis.DeliveryFromContext(ctx)
	return w.handle(ctx, history.Record{ID: ev.GetId(), Term: uint64(d.Attempt), Previous: d.Sequence})
}

func (w *worker) changed(ctx context.Context, ev *faultv1.ChangedRequest) error {
	d, _ := aegis.DeliveryFromContext(ctx)
	return w.handle(ctx, history.Record{ID: ev.GetId(), Key: ev.GetKey(), Term: uint64(d.Attempt), Previous: d.Sequence})
}

func (w *worker) handle(ctx context.Context, r history.Record) error {
	r.Kind, r.Begin = history.Started, history.Now()
	w.log.Append(r)
	wait.For(ctx, w.takes(r.ID))
	err := fate(r.ID, r.Term)
	switch {
	case err == nil:
		r.Outcome = history.Accepted
	case aegis.IsPermanent(err):
		r.Outcome = history.GivenUp
	default:
		r.Outcome = history.Refused
	}
	r.Kind, r.End = history.Ended, history.Now()
	w.log.Append(r)
	return err
}

// takes returns how long a handler works.
func (w *worker) takes(id uint64) time.Duration {
	if w.slow > 0 && id%slowEach == slowEach/2 {
		return w.slow
	}
	return rand.N(longestWork)
}

var (
	errAgain    = errors.New("not at the first attempt")
	errHopeless = aegis.Permanent(errors.New("this one never succeeds"))
)

// fate lets one item in a hundred fail in its first attempt, and one in a thousand in
// every attempt.
func fate(id, attempt uint64) error {
	switch {
	case id%1000 == 500:
		return errHopeless
	case id%100 == 50 && attempt == 1:
		return errAgain
	default:
		return nil
	}
}
