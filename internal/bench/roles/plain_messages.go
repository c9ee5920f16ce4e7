package roles

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/load"
)

const (
	plainEvents  = "PLAIN_EVENTS"
	plainWork    = "PLAIN_WORK"
	plainResults = "PLAIN_RESULTS"
	plainStored  = "plain.res." // what results are published to that are stored
	replyTo      = "Reply-To"
	plainWorkers = 16
)

// plainMessages publishes and handles with hand-written code, as a careful team
// writes it.
type plainMessages struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	groups int

	inbox   string
	next    atomic.Uint64
	mu      sync.Mutex
	waiting map[string]chan *nats.Msg
}

func startPlainMessages(url string) (map[string]child.Op, func(), error) {
	m := &plainMessages{waiting: make(map[string]chan *nats.Msg)}
	worker, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	if m.nc, err = nats.Connect(url); err != nil {
		return nil, nil, err
	}
	if m.js, err = jetstream.New(m.nc, jetstream.WithPublishAsyncMaxPending(InFlight)); err != nil {
		return nil, nil, err
	}
	if err := m.prepare(worker); err != nil {
		return nil, nil, err
	}
	ops := map[string]child.Op{OpConsume: child.Typed(m.consume)}
	for name, call := range map[string]load.CallFunc{
		OpCore: m.core, OpDurable: m.durable, OpAsync: m.async, OpCommand: m.replyCommand, OpStored: m.storedCommand,
	} {
		ops[name] = loadOp(call)[OpLoad]
	}
	return ops, func() { m.nc.Close(); worker.Close() }, nil
}

// prepare makes the streams, and works commands.
func (m *plainMessages) prepare(worker *nats.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	_, err := m.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: plainEvents, Subjects: []string{"plain.log.>"}, Discard: jetstream.DiscardNew, MaxAge: time.Minute, Duplicates: time.Second,
	})
	if err != nil {
		return err
	}
	_, err = m.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: plainWork, Subjects: []string{"plain.work"}, Retention: jetstream.WorkQueuePolicy,
	})
	if err != nil {
		return err
	}
	_, err = m.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: plainResults, Subjects: []string{plainStored + ">"}, MaxMsgsPerSubject: 1, MaxAge: load.CallTimeout,
	})
	if err != nil {
		return err
	}
	m.inbox = m.nc.NewInbox() + "."
	for _, prefix := range []string{m.inbox, plainStored} {
		if _, err := m.nc.Subscribe(prefix+"*", m.replied); err != nil {
			return err
		}
	}
	js, err := jetstream.New(worker)
	if err != nil {
		return err
	}
	c, err := js.CreateOrUpdateConsumer(ctx, plainWork, jetstream.ConsumerConfig{Durable: "work", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	slots := make(chan struct{}, plainWorkers)
	_, err = c.Consume(func(msg jetstream.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			var req benchv1.MessageRequest
			if proto.Unmarshal(msg.Data(), &req) != nil {
				return
			}
			data, _ := proto.Marshal(&benchv1.MessageResponse{Text: req.GetText()})
			if reply := msg.Headers().Get(replyTo); strings.HasPrefix(reply, plainStored) {
				_, _ = js.Publish(context.Background(), reply, data)
			} else {
				_ = worker.Publish(reply, data)
			}
			_ = msg.Ack()
		}()
	})
	return err
}

func (m *plainMessages) core(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	data, err := proto.Marshal(&benchv1.MessageRequest{Text: req.GetText()})
	if err != nil {
		return nil, err
	}
	return same(req), m.nc.Publish("plain.evt", data)
}

func (m *plainMessages) durable(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	data, err := proto.Marshal(&benchv1.MessageRequest{Text: req.GetText()})
	if err != nil {
		return nil, err
	}
	_, err = m.js.Publish(ctx, "plain.log.stored", data)
	return same(req), err
}

func (m *plainMessages) async(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	data, err := proto.Marshal(&benchv1.MessageRequest{Text: req.GetText()})
	if err != nil {
		return nil, err
	}
	_, err = m.js.PublishAsync("plain.log.stored", data)
	return same(req), err
}

func (m *plainMessages) replyCommand(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return m.command(ctx, m.inbox, req)
}

func (m *plainMessages) storedCommand(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return m.command(ctx, plainStored, req)
}

func (m *plainMessages) command(ctx context.Context, prefix string, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	data, err := proto.Marshal(&benchv1.MessageRequest{Text: req.GetText()})
	if err != nil {
		return nil, err
	}
	reply := prefix + strconv.FormatUint(m.next.Add(1), 36)
	result := make(chan *nats.Msg, 1)
	m.mu.Lock()
	m.waiting[reply] = result
	m.mu.Unlock()
	if _, err := m.js.PublishMsg(ctx, &nats.Msg{Subject: "plain.work", Data: data, Header: nats.Header{replyTo: {reply}}}); err != nil {
		return nil, err
	}
	select {
	case msg := <-result:
		var res benchv1.MessageResponse
		err := proto.Unmarshal(msg.Data, &res)
		return &echov1.EchoResponse{Text: res.GetText()}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *plainMessages) replied(msg *nats.Msg) {
	m.mu.Lock()
	result := m.waiting[msg.Subject]
	delete(m.waiting, msg.Subject)
	m.mu.Unlock()
	if result != nil {
		result <- msg
	}
}

func (m *plainMessages) consume(o ConsumeOrder) (time.Duration, error) {
	if o.Partitions > 0 {
		return 0, errors.New("the hand-written contender has no keys")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data, err := proto.Marshal(&benchv1.MessageRequest{Text: load.Padded("")})
	if err != nil {
		return 0, err
	}
	ack, err := m.js.Publish(ctx, "plain.log.stored", data)
	if err != nil {
		return 0, err
	}
	for range o.Events - 1 {
		if _, err := m.js.PublishAsync("plain.log.stored", data); err != nil {
			return 0, err
		}
	}
	<-m.js.PublishAsyncComplete()
	m.groups++
	c, err := m.js.CreateConsumer(ctx, plainEvents, jetstream.ConsumerConfig{
		Durable: "bench" + strconv.Itoa(m.groups), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: ack.Sequence,
	})
	if err != nil {
		return 0, err
	}
	var began time.Time // when the first one was handled
	handled, done := 0, make(chan time.Duration, 1)
	consuming, err := c.Consume(func(msg jetstream.Msg) {
		var req benchv1.MessageRequest
		if proto.Unmarshal(msg.Data(), &req) != nil {
			return
		}
		switch handled++; handled {
		case 1:
			began = time.Now()
		case o.Events:
			done <- time.Since(began)
		}
		_ = msg.Ack()
	})
	if err != nil {
		return 0, err
	}
	defer consuming.Stop()
	select {
	case took := <-done:
		return took, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
