//go:build linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// workerOrder says what to work.
type workerOrder struct {
	URL      string
	Instance string
	History  string
	Room     int // records in the history
	Events   bool
}

const (
	longestWork = 2 * time.Millisecond // so that some are killed at work
	atOnce      = 8                    // events without a key in a worker
	signEvery   = 100 * time.Millisecond
	signWithin  = 5 * time.Second
)

// worker records all that it is given.
type worker struct{ log *history.Log }

// runWorker works until the parent closes the pipe.
func runWorker(o workerOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { awaitParent(nil); stop() }()
	conn, err := connectSometime(ctx, o.URL, o.Instance)
	if err != nil {
		return err
	}
	srv, err := aegis.NewServer(conn, aegis.WithInstance(o.Instance), aegis.WithStateHook(sayState))
	if err != nil {
		return err
	}
	w := &worker{log: log}
	if o.Events {
		err = faultv1aegis.SubscribeDurableServiceEvents(srv, faultv1aegis.DurableServiceEvents{
			Happened: w.happened, Changed: w.changed,
		}, aegis.WithConcurrency(atOnce))
	} else {
		err = faultv1aegis.RegisterDurableServiceServer(srv, w)
	}
	if err != nil {
		return err
	}
	go giveSigns(conn.NATS(), log)
	if err := srv.Run(ctx); err != nil {
		return err
	}
	return conn.Close(context.Background())
}

// connectSometime connects when NATS is there.
func connectSometime(ctx context.Context, url, name string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	for {
		conn, err := connect(ctx, url, name)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
		pause(ctx, storePause)
	}
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
		pause(context.Background(), signEvery)
	}
}

// Work works a command.
func (w *worker) Work(ctx context.Context, req *faultv1.WorkRequest) (*faultv1.WorkResponse, error) {
	job, _ := aegis.JobFromContext(ctx)
	if err := w.handle(ctx, history.Record{ID: req.GetId(), Term: uint64(job.Attempt)}); err != nil {
		return nil, err
	}
	return &faultv1.WorkResponse{Id: req.GetId()}, nil
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
	pause(ctx, rand.N(longestWork))
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

var (
	errAgain    = errors.New("not at the first attempt")
	errHopeless = aegis.Permanent(errors.New("this one never succeeds"))
)

// fate has one in a hundred fail at first, and one in a thousand for good.
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
