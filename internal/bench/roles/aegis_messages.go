package roles

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	"github.com/aegisrpc/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

type messageServer struct{}

func (messageServer) Work(_ context.Context, req *benchv1.MessageRequest) (*benchv1.MessageResponse, error) {
	return &benchv1.MessageResponse{Text: req.GetText()}, nil
}

// aegisMessages publishes and handles with the generated code.
type aegisMessages struct {
	conn   *aegis.Conn
	pub    benchv1aegis.MessageServicePublisher
	client benchv1aegis.MessageServiceClient
	groups int
}

func startAegisMessages(url string) (map[string]child.Op, func(), error) {
	ops, stop, err := startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterMessageServiceServer(srv, messageServer{})
	})
	if err != nil {
		return nil, nil, err
	}
	m := &aegisMessages{}
	if m.conn, err = connect(url); err != nil {
		return nil, nil, err
	}
	if m.pub, err = benchv1aegis.NewMessageServicePublisher(m.conn, aegis.WithMaxInFlight(InFlight)); err != nil {
		return nil, nil, err
	}
	if m.client, err = benchv1aegis.NewMessageServiceClient(m.conn); err != nil {
		return nil, nil, err
	}
	for name, call := range map[string]load.CallFunc{OpCore: m.core, OpDurable: m.durable, OpAsync: m.async, OpCommand: m.command, OpStored: m.command} {
		ops[name] = loadOp(call)[OpLoad]
	}
	ops[OpConsume] = child.Typed(m.consume)
	return ops, func() { _ = m.conn.Close(context.Background()); stop() }, nil
}

func (m *aegisMessages) core(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return same(req), m.pub.Ticked(ctx, &benchv1.MessageRequest{Text: req.GetText()})
}

func same(req *echov1.EchoRequest) *echov1.EchoResponse {
	return &echov1.EchoResponse{Text: req.GetText()}
}

func (m *aegisMessages) durable(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	_, err := m.pub.Stored(ctx, &benchv1.MessageRequest{Text: req.GetText()})
	return same(req), err
}

func (m *aegisMessages) async(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	_, err := m.pub.StoredAsync(ctx, &benchv1.MessageRequest{Text: req.GetText()})
	return same(req), err
}

func (m *aegisMessages) command(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	cmd, err := m.client.Work(ctx, &benchv1.MessageRequest{Text: req.GetText()})
	if err != nil {
		return nil, err
	}
	res, err := cmd.Result(ctx)
	return &echov1.EchoResponse{Text: res.GetText()}, err
}

// consume publishes events, and then measures how long a new group takes to
// handle them.
func (m *aegisMessages) consume(o ConsumeOrder) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	publish := map[int]func(context.Context, *benchv1.MessageRequest, ...aegis.PublishOption) (*aegis.PubFuture, error){
		0: m.pub.StoredAsync, 1: m.pub.OneKeyAsync, 4: m.pub.FourKeysAsync, 16: m.pub.ManyKeysAsync,
	}[o.Partitions]
	var first uint64
	for i := range o.Events {
		f, err := publish(ctx, &benchv1.MessageRequest{Text: load.Padded(""), Key: uint32(i)})
		if err != nil {
			return 0, err
		}
		if i == 0 || i == o.Events-1 {
			ack, err := f.Ack(ctx)
			if err != nil {
				return 0, err
			}
			if i == 0 {
				first = ack.Sequence
			}
		}
	}
	return m.handle(ctx, o, first)
}

func (m *aegisMessages) handle(ctx context.Context, o ConsumeOrder, first uint64) (time.Duration, error) {
	var handled atomic.Int64
	var began time.Time // when the first one was handled
	done := make(chan time.Duration, 1)
	count := func(context.Context, *benchv1.MessageRequest) error {
		switch handled.Add(1) {
		case 1:
			began = time.Now()
		case int64(o.Events):
			done <- time.Since(began)
		}
		return nil
	}
	h := map[int]benchv1aegis.MessageServiceEvents{0: {Stored: count}, 1: {OneKey: count}, 4: {FourKeys: count}, 16: {ManyKeys: count}}[o.Partitions]
	m.groups++
	srv, err := aegis.NewServer(m.conn)
	if err == nil {
		err = benchv1aegis.SubscribeMessageServiceEvents(srv, h, aegis.Compete("bench"+strconv.Itoa(m.groups)), aegis.StartFrom(aegis.StartSequence(first)))
	}
	if err != nil {
		return 0, err
	}
	life, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(life) }()
	var took time.Duration
	select {
	case took = <-done:
	case err := <-ended:
		end()
		return 0, fmt.Errorf("the subscriber ended: %w", err)
	}
	end()
	return took, <-ended
}
