package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
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

// flowOrder asks for a stream of so many messages, of a size.
type flowOrder struct {
	Messages uint64 `json:"messages"`
	Bytes    int    `json:"bytes"`
}

func (o *flowOrder) text() string { return padded("")[:o.Bytes-6] }

type flowResult struct {
	Elapsed time.Duration `json:"elapsed"`
	CPU     time.Duration `json:"cpu"`    // of this process
	Allocs  float64       `json:"allocs"` // per message
}

// measureFlow measures f, which carries the messages.
func measureFlow(o flowOrder, f func() error) (*flowResult, error) {
	runtime.GC() // each round begins alike
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	used, err := cpuTime()
	if err != nil {
		return nil, err
	}
	runtime.ReadMemStats(&after)
	return &flowResult{Elapsed: elapsed, CPU: used - cpu, Allocs: float64(after.Mallocs-before.Mallocs) / float64(o.Messages)}, nil
}

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

func startStreamService(url string) (map[string]op, func(), error) {
	ops, stop, err := startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterStreamServiceServer(srv, streamServer{})
	})
	if err != nil {
		return nil, nil, err
	}
	return costOps(ops), stop, nil
}

func startStreamClient(url string) (map[string]op, func(), error) {
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
	ops[opPull] = typed(func(o flowOrder) (*flowResult, error) {
		return measureFlow(o, func() error { return pull(client, o) })
	})
	ops[opPush] = typed(func(o flowOrder) (*flowResult, error) {
		return measureFlow(o, func() error { return push(client, o) })
	})
	ops[opChat] = typed(func(o loadOrder) (*loadResult, error) { return runChat(client, o) })
	ops[opIdle] = typed(func(n int) (int, error) { return openIdle(client, n) })
	ops[opSlow] = typed(func(d time.Duration) (int, error) { return readSlowly(client, d) })
	return costOps(ops), func() { _ = conn.Close(context.Background()) }, nil
}

func pull(client benchv1aegis.StreamServiceClient, o flowOrder) error {
	in, err := client.Pull(context.Background(), &benchv1.PullRequest{Messages: o.Messages, Text: o.text()})
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

func push(client benchv1aegis.StreamServiceClient, o flowOrder) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, err := client.Push(ctx)
	if err != nil {
		return err
	}
	req := &benchv1.PushRequest{Text: o.text()}
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
	pair := [2]contender{
		{name: "plain", service: g.start("plain-source", nats.url), client: g.start("plain-reader", nats.url)},
		{name: "aegis", service: g.start("stream-service", nats.url), client: g.start("stream-client", nats.url)},
	}
	if g.err != nil {
		return 0, g.err
	}
	var rates, allocs [2]spread
	var ratio, cpu spread
	for n := range s.warmups + s.rounds {
		var rate, used [2]float64
		for i := range pair {
			who := (i + n) % len(pair)
			got, all, err := measureStream(nats, &pair[who], opName)
			if err != nil {
				return 0, err
			}
			rate[who], used[who] = flowMessages/got.Elapsed.Seconds(), all.Seconds()
			if n >= s.warmups {
				rates[who] = append(rates[who], rate[who])
				allocs[who] = append(allocs[who], got.Allocs)
			}
		}
		if n >= s.warmups {
			ratio = append(ratio, rate[1]/rate[0])
			cpu = append(cpu, used[1]/used[0])
		}
	}
	t := newTable(os.Stdout)
	row(t, "median of the rounds", "messages/s", "client allocations per message")
	row(t, "---", "---:", "---:")
	for who := range pair {
		row(t, pair[who].name, fmt.Sprintf("%.0f", median(rates[who])), fmt.Sprintf("%.1f", median(allocs[who])))
	}
	_ = t.Flush()
	fmt.Println()
	v := newVerdicts(os.Stdout, "aegis / plain, median (lowest..highest) of the rounds' ratios")
	v.judge("messages/s", median(ratio), ratio.String(), atLeast(0.8))
	v.judge("CPU per message", median(cpu), cpu.String(), atMost(1.5))
	return v.done(), nil
}

// measureStream returns what the client measured and the processor time of all.
func measureStream(nats *process, c *contender, opName string) (*flowResult, time.Duration, error) {
	var got flowResult
	before, err := cpuOf(nats, c.service)
	if err != nil {
		return nil, 0, err
	}
	if err := c.client.ask(opName, flowOrder{Messages: flowMessages, Bytes: payloadBytes}, callTimeout, &got); err != nil {
		return nil, 0, err
	}
	after, err := cpuOf(nats, c.service)
	if err != nil {
		return nil, 0, err
	}
	return &got, got.CPU + after[0] - before[0] + after[1] - before[1], nil
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
