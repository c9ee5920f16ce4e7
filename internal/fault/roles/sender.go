//go:build linux

package roles

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// SenderOrder says what to send.
type SenderOrder struct {
	URL      string
	History  string
	Room     int
	Count    int
	Every    time.Duration // one; 0: as many as go
	Events   bool
	Replicas int
	IDs      string // the file for the ids of commands
}

const (
	senders      = 16 // at once
	keysEach     = 4  // each sender has keys of its own, so that the order of a key is known
	underWay     = 2048
	sendWithin   = 30 * time.Second // longer than a restart of NATS takes
	sendTries    = 3                // of an event, within its dedupe window
	dedupeEvery  = 10               // one command in so many is sent twice
	refusedPause = 50 * time.Millisecond
)

// sender sends commands or events, each with a number of its own.
type sender struct {
	order     SenderOrder
	log       *history.Log
	client    faultv1aegis.DurableServiceClient
	publisher faultv1aegis.DurableServicePublisher
	began     time.Time
	last      atomic.Uint64
	room      chan struct{}
	waiting   sync.WaitGroup // for results and acknowledgements

	mu  sync.Mutex // for writing
	ids *os.File
}

// runSender sends, says when all has an end, and waits for the parent.
func runSender(o SenderOrder) error {
	log, err := history.Create(o.History, o.Room)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := connect(ctx, o.URL, "sender")
	if err != nil {
		return err
	}
	s := &sender{order: o, log: log, began: time.Now(), room: make(chan struct{}, underWay)}
	if s.ids, err = os.Create(o.IDs); err != nil {
		return err
	}
	storage := aegis.WithStorage(aegis.Storage{Replicas: o.Replicas})
	if s.client, err = faultv1aegis.NewDurableServiceClient(conn, storage); err != nil {
		return err
	}
	if s.publisher, err = faultv1aegis.NewDurableServicePublisher(conn, storage); err != nil {
		return err
	}
	sayReady()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var loops sync.WaitGroup
		for i := range senders {
			loops.Go(func() { s.loop(ctx, i) })
		}
		loops.Wait()
		s.waiting.Wait()
		say(EventSent, uint64(o.Count), history.Now())
	}()
	awaitParent(nil)
	cancel()
	<-ended
	return conn.Close(context.Background())
}

func (s *sender) loop(ctx context.Context, number int) {
	for {
		id := s.last.Add(1)
		if id > uint64(s.order.Count) || ctx.Err() != nil {
			return
		}
		wait.For(ctx, time.Until(s.began.Add(time.Duration(id)*s.order.Every)))
		switch {
		case !s.order.Events:
			s.command(ctx, id)
		case id%2 == 0:
			s.event(ctx, id)
		default:
			s.keyed(ctx, id, uint32(1+number+senders*rand.IntN(keysEach)))
		}
	}
}

// command sends a command, and waits for its result while others are sent.
func (s *sender) command(ctx context.Context, id uint64) {
	s.room <- struct{}{}
	r := history.Record{Kind: history.Called, ID: id, Begin: history.Now()}
	cmd, err := s.send(ctx, id)
	r.End = history.Now()
	r.Outcome, r.Term = promised(err)
	if err == nil {
		s.keep(id, cmd.ID())
	}
	s.log.Append(r)
	if err != nil {
		<-s.room
		wait.For(ctx, refusedPause)
		return
	}
	s.waiting.Go(func() {
		defer func() { <-s.room }()
		s.result(ctx, id, cmd)
	})
}

// keep writes the number and the id of a command to a file, from which the judge
// looks for the command in the end.
func (s *sender) keep(number uint64, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintln(s.ids, number, id); err != nil {
		slog.Error("the ids of commands cannot be kept", "err", err)
	}
}

// promised tells what the errors of all sends of one thing promise: only one that may
// have stored it leaves that open.
func promised(errs ...error) (outcome history.Outcome, code uint64) {
	outcome = history.Accepted
	for _, err := range errs {
		switch c := aegis.CodeOf(err); {
		case err == nil:
		case c == aegis.CodeDeadlineExceeded || c == aegis.CodeCanceled:
			return history.Unknown, 0
		default:
			outcome, code = history.Refused, uint64(c)
		}
	}
	return outcome, code
}

func (s *sender) send(ctx context.Context, id uint64) (*aegis.Command[faultv1.WorkResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	req := &faultv1.WorkRequest{Id: id}
	if id%dedupeEvery != 0 {
		return s.client.Work(ctx, req)
	}
	key := aegis.DedupeKey(strconv.FormatUint(id, 10))
	first, err := s.client.Work(ctx, req, key)
	second, again := s.client.Work(ctx, req, key)
	switch outcome, _ := promised(err, again); {
	case again == nil:
		return second, nil
	case err == nil:
		return first, nil
	case outcome == history.Unknown:
		return nil, aegis.Errorf(aegis.CodeDeadlineExceeded, "%w, and again %w", err, again)
	default:
		return nil, again
	}
}

func (s *sender) result(ctx context.Context, id uint64, cmd *aegis.Command[faultv1.WorkResponse]) {
	for ctx.Err() == nil {
		res, err := cmd.Result(ctx)
		r := history.Record{Kind: history.Resulted, ID: id, End: history.Now()}
		switch {
		case err == nil:
			r.Outcome, r.Previous, r.Term = history.Accepted, res.GetId(), res.GetRun()
		case aegis.IsWireError(err):
			r.Outcome, r.Term = history.GivenUp, uint64(aegis.CodeOf(err))
		case aegis.CodeOf(err) == aegis.CodeNotFound:
			r.Outcome = history.Unknown
		default:
			wait.For(ctx, storePause)
			continue
		}
		s.log.Append(r)
		return
	}
}

// event publishes an event without a key, and waits for its acknowledgement while
// others are published.
func (s *sender) event(ctx context.Context, id uint64) {
	begin := history.Now()
	ev, option := &faultv1.HappenedRequest{Id: id}, messageID(id)
	future, err := s.publisher.HappenedAsync(ctx, ev, option)
	s.waiting.Go(func() {
		var ack *aegis.PubAck
		if err == nil {
			ack, err = future.Ack(ctx)
		}
		errs := []error{err}
		if err != nil {
			ack, errs = s.publish(ctx, errs, func(ctx context.Context) (*aegis.PubAck, error) { return s.publisher.Happened(ctx, ev, option) })
		}
		s.published(history.Record{ID: id, Begin: begin}, ack, errs)
	})
}

// keyed publishes an event with a key.
func (s *sender) keyed(ctx context.Context, id uint64, key uint32) {
	begin := history.Now()
	ack, errs := s.publish(ctx, nil, func(ctx context.Context) (*aegis.PubAck, error) {
		return s.publisher.Changed(ctx, &faultv1.ChangedRequest{Id: id, Key: key}, messageID(id))
	})
	if ack == nil {
		wait.For(ctx, refusedPause)
	}
	s.published(history.Record{ID: id, Key: key, Begin: begin}, ack, errs)
}

func messageID(id uint64) aegis.PublishOption {
	return aegis.MessageID(strconv.FormatUint(id, 10))
}

// publish tries some times, as the id allows, and returns the errors of all tries.
func (s *sender) publish(ctx context.Context, errs []error, once func(context.Context) (*aegis.PubAck, error)) (*aegis.PubAck, []error) {
	for range sendTries {
		trying, cancel := context.WithTimeout(ctx, sendWithin)
		ack, err := once(trying)
		cancel()
		if err == nil {
			return ack, errs
		}
		errs = append(errs, err)
		wait.For(ctx, storePause)
	}
	return nil, errs
}

func (s *sender) published(r history.Record, ack *aegis.PubAck, errs []error) {
	r.Kind, r.End = history.Called, history.Now()
	r.Outcome, r.Term = promised(errs...)
	if ack != nil {
		r.Previous = ack.Sequence
		// A duplicate of what was refused every time is what the refusals denied.
		if !ack.Duplicate || r.Outcome != history.Refused {
			r.Outcome, r.Term = history.Accepted, 0
		}
	}
	s.log.Append(r)
}
