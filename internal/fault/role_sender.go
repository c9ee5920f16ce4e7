//go:build linux

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// senderOrder says what to send.
type senderOrder struct {
	URL     string
	History string
	Room    int
	Count   int
	Every   time.Duration // one; 0: as many as go
	Events  bool
}

const (
	senders     = 16 // at once
	keysEach    = 4  // each sender has keys of its own, so that the order of a key is known
	underWay    = 2048
	sendWithin  = 30 * time.Second // longer than a restart of NATS takes
	sendTries   = 3                // of an event, within its dedupe window
	dedupeEvery = 10               // one command in so many is sent twice
)

// sender sends commands or events, each with a number of its own.
type sender struct {
	order     senderOrder
	log       *history.Log
	client    faultv1aegis.DurableServiceClient
	publisher faultv1aegis.DurableServicePublisher
	began     time.Time
	last      atomic.Uint64
	room      chan struct{}
	waiting   sync.WaitGroup // for results and acknowledgements
}

// runSender sends, says when all has an end, and waits for the parent.
func runSender(o senderOrder) error {
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
	if s.client, err = faultv1aegis.NewDurableServiceClient(conn); err != nil {
		return err
	}
	if s.publisher, err = faultv1aegis.NewDurableServicePublisher(conn); err != nil {
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
		say(eventSent, uint64(o.Count), history.Now())
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
		pause(ctx, time.Until(s.began.Add(time.Duration(id)*s.order.Every)))
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
	r.Outcome, r.Reason = judge(err)
	s.log.Append(r)
	if err != nil {
		<-s.room
		return
	}
	s.waiting.Go(func() {
		defer func() { <-s.room }()
		s.result(ctx, id, cmd)
	})
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
	if second, err := s.client.Work(ctx, req, key); err == nil {
		return second, nil
	}
	return first, err
}

func (s *sender) result(ctx context.Context, id uint64, cmd *aegis.Command[faultv1.WorkResponse]) {
	for ctx.Err() == nil {
		res, err := cmd.Result(ctx)
		r := history.Record{Kind: history.Resulted, ID: id, End: history.Now()}
		switch {
		case err == nil:
			r.Outcome, r.Previous = history.Accepted, res.GetId()
		case aegis.IsWireError(err):
			r.Outcome = history.GivenUp
		case aegis.CodeOf(err) == aegis.CodeNotFound:
			return // it is lost
		default:
			pause(ctx, storePause)
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
		if err != nil {
			ack, err = s.publish(ctx, func(ctx context.Context) (*aegis.PubAck, error) { return s.publisher.Happened(ctx, ev, option) })
		}
		s.published(history.Record{ID: id, Begin: begin}, ack, err)
	})
}

// keyed publishes an event with a key.
func (s *sender) keyed(ctx context.Context, id uint64, key uint32) {
	begin := history.Now()
	ack, err := s.publish(ctx, func(ctx context.Context) (*aegis.PubAck, error) {
		return s.publisher.Changed(ctx, &faultv1.ChangedRequest{Id: id, Key: key}, messageID(id))
	})
	s.published(history.Record{ID: id, Key: key, Begin: begin}, ack, err)
}

func messageID(id uint64) aegis.PublishOption {
	return aegis.MessageID(strconv.FormatUint(id, 10))
}

// publish tries some times, as the id allows.
func (s *sender) publish(ctx context.Context, once func(context.Context) (*aegis.PubAck, error)) (*aegis.PubAck, error) {
	var errs []error
	for range sendTries {
		trying, cancel := context.WithTimeout(ctx, sendWithin)
		ack, err := once(trying)
		cancel()
		if err == nil {
			return ack, nil
		}
		errs = append(errs, err)
		pause(ctx, storePause)
	}
	return nil, errors.Join(errs...)
}

func (s *sender) published(r history.Record, ack *aegis.PubAck, err error) {
	r.Kind, r.End, r.Outcome = history.Called, history.Now(), history.Unknown
	if err == nil {
		r.Outcome, r.Previous = history.Accepted, ack.Sequence
	}
	s.log.Append(r)
}
