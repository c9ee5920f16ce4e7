package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Streams of small messages, against hand-written publishing and subscribing
// without any flow control.

const (
	opPull = "pull" // from the server
	opPush = "push" // to the server
)

// textOf is what makes a message as large as was asked for.
func textOf(o child.Flow) string { return padded("")[:o.Bytes-6] }

type streamServer struct {
	benchv1aegis.UnimplementedStreamServiceServer
}

func (streamServer) Pull(_ context.Context, req *benchv1.PullRequest, out aegis.Sender[benchv1.PullResponse]) error {
	res := &benchv1.PullResponse{Text: req.GetText()}
	for n := range req.GetMessages() {
		res.Number = n + 1
		if err := out.Send(res); err != nil {
			return err
		}
	}
	return nil
}

func (streamServer) Push(_ context.Context, in aegis.Receiver[benchv1.PushRequest]) (*benchv1.PushResponse, error) {
	res := &benchv1.PushResponse{}
	for req, err := range in.All() {
		if err != nil {
			return nil, err
		}
		if res.Messages++; res.GetMessages() != req.GetNumber() {
			return nil, aegis.Errorf(aegis.CodeDataLoss, "message %d has number %d", res.GetMessages(), req.GetNumber())
		}
	}
	return res, nil
}

func (streamServer) Chat(_ context.Context, in aegis.Receiver[benchv1.ChatRequest], out aegis.Sender[benchv1.ChatResponse]) error {
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(&benchv1.ChatResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func (streamServer) Ask(_ context.Context, req *benchv1.AskRequest) (*benchv1.AskResponse, error) {
	return &benchv1.AskResponse{Text: req.GetText()}, nil
}

func startStreamService(url string) (map[string]child.Op, func(), error) {
	ops, stop, err := startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterStreamServiceServer(srv, streamServer{})
	})
	if err != nil {
		return nil, nil, err
	}
	return costOps(ops), stop, nil
}

func startStreamClient(url string) (map[string]child.Op, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := aegis.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewStreamServiceClient(conn, interceptors())
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		res, err := client.Ask(ctx, &benchv1.AskRequest{Text: req.GetText()})
		return &echov1.EchoResponse{Text: res.GetText()}, err
	}
	ops := loadOp(call)
	ops[opPull] = child.Typed(func(o child.Flow) (*child.FlowResult, error) {
		return child.MeasureFlow(o, func() error { return pull(client, o) })
	})
	ops[opPush] = child.Typed(func(o child.Flow) (*child.FlowResult, error) {
		return child.MeasureFlow(o, func() error { return push(client, o) })
	})
	ops[opChat] = child.Typed(func(o loadOrder) (*loadResult, error) { return runChat(client, o) })
	ops[opIdle] = child.Typed(func(n int) (int, error) { return openIdle(client, n) })
	ops[opSlow] = child.Typed(func(d time.Duration) (slowResult, error) { return readSlowly(client, d) })
	return costOps(ops), func() { _ = conn.Close(context.Background()) }, nil
}

func pull(client benchv1aegis.StreamServiceClient, o child.Flow) error {
	in, err := client.Pull(context.Background(), &benchv1.PullRequest{Messages: o.Messages, Text: textOf(o)})
	if err != nil {
		return err
	}
	n := uint64(0)
	for res, err := range in.All() {
		if err != nil {
			return err
		}
		if n++; res.GetNumber() != n {
			return fmt.Errorf("message %d has number %d", n, res.GetNumber())
		}
	}
	if n != o.Messages {
		return fmt.Errorf("%d of %d messages came", n, o.Messages)
	}
	return nil
}

func push(client benchv1aegis.StreamServiceClient, o child.Flow) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, err := client.Push(ctx)
	if err != nil {
		return err
	}
	req := &benchv1.PushRequest{Text: textOf(o)}
	for n := range o.Messages {
		req.Number = n + 1
		if err := out.Send(req); err != nil && !errors.Is(err, io.EOF) {
			return err
		} else if err != nil {
			break
		}
	}
	res, err := out.CloseAndRecv()
	if err == nil && res.GetMessages() != o.Messages {
		err = fmt.Errorf("%d of %d messages came", res.GetMessages(), o.Messages)
	}
	return err
}

// opChat sends a message and waits for the answer, and again, on a stream for
// each caller.
const opChat = "chat"

func runChat(client benchv1aegis.StreamServiceClient, o loadOrder) (*loadResult, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// As many streams as callers, and whoever calls takes one.
	idle := make(chan aegis.BidiClient[benchv1.ChatRequest, benchv1.ChatResponse], o.Callers)
	for range o.Callers {
		chat, err := client.Chat(ctx)
		if err != nil {
			return nil, err
		}
		idle <- chat
	}
	return runLoad(o, func(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		chat := <-idle
		defer func() { idle <- chat }()
		if err := chat.Send(&benchv1.ChatRequest{Text: req.GetText()}); err != nil {
			return nil, err
		}
		res, err := chat.Recv()
		return &echov1.EchoResponse{Text: res.GetText()}, err
	})
}

// flowMessages take about as long as a round does.
const flowMessages = 200_000

func streamScenario(name, opName string) scenario {
	return scenario{
		name: name,
		about: fmt.Sprintf("%d messages of %d bytes in one stream, each checked. plain is hand-written nats.go: publish,\n"+
			"subscribe and the same marshalling, and nothing that keeps the writer from running away.", flowMessages, payloadBytes),
		run: func(ctx context.Context, s *settings) (int, error) { return runStream(ctx, s, opName) },
	}
}

func runStream(ctx context.Context, s *settings, opName string) (int, error) {
	g := &group{ctx: ctx}
	defer g.stop()
	nats := g.start("nats", "")
	race := flowRace{nats: nats, pair: [2]contender{
		{name: plainName, service: g.start("plain-source", nats.url), client: g.start("plain-reader", nats.url)},
		{name: aegisName, service: g.start("stream-service", nats.url), client: g.start("stream-client", nats.url)},
	}}
	if g.err != nil {
		return 0, g.err
	}
	flow := child.Flow{Messages: flowMessages, Bytes: payloadBytes}
	race.flows = [2]child.Flow{flow, flow}
	got, err := race.run(s, opName)
	if err != nil {
		return 0, err
	}
	got.print("messages/s")
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(got.rate), got.rate.String(), atLeast(0.8))
	v.judge("CPU per message", median(got.cpu), got.cpu.String(), atMost(1.5))
	return v.done(), nil
}

func bidiScenario(callers int) scenario {
	return scenario{
		name: fmt.Sprintf("bidi-%d", callers),
		about: fmt.Sprintf("%d callers, %d bytes each way: a message and its answer on an open stream, against a unary call of\n"+
			"the same service.", callers, payloadBytes),
		run: func(ctx context.Context, s *settings) (int, error) { return runBidi(ctx, s, callers) },
	}
}

func runBidi(ctx context.Context, s *settings, callers int) (int, error) {
	g := &group{ctx: ctx}
	defer g.stop()
	nats := g.start("nats", "")
	g.start("stream-service", nats.url)
	client := g.start("stream-client", nats.url)
	if g.err != nil {
		return 0, g.err
	}
	names := [2]string{opLoad, opChat}
	var ratio, p99 spread
	for n := range s.warmups + s.rounds {
		var round [2]loadResult
		for i := range names {
			who := (i + n) % len(names)
			o := loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone}
			if err := client.ask(names[who], o, o.Time+callTimeout, &round[who]); err != nil {
				return 0, err
			}
		}
		if n >= s.warmups {
			ratio = append(ratio, float64(round[1].Calls)/round[1].Elapsed.Seconds()/(float64(round[0].Calls)/round[0].Elapsed.Seconds()))
			p99 = append(p99, float64(round[1].P99)/float64(round[0].P99))
		}
	}
	v := newVerdicts(os.Stdout, "stream / unary, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(ratio), ratio.String(), atLeast(0.95))
	v.judge("p99", median(p99), p99.String(), atMost(1.1))
	return v.done(), nil
}
