package main

import (
	"context"
	"fmt"
	"os"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// What it costs that only the leader may handle a call: the same method, load
// balanced and single active, of one service in one process.

type benchServer struct {
	benchv1aegis.UnimplementedBenchServiceServer
}

func (benchServer) OnLeading(context.Context, aegis.Term) error { return nil }

func (benchServer) Balanced(_ context.Context, req *benchv1.BalancedRequest) (*benchv1.BalancedResponse, error) {
	return &benchv1.BalancedResponse{Text: req.GetText()}, nil
}

func (benchServer) Leader(_ context.Context, req *benchv1.LeaderRequest) (*benchv1.LeaderResponse, error) {
	return &benchv1.LeaderResponse{Text: req.GetText()}, nil
}

func startBenchService(url string) (map[string]child.Op, func(), error) {
	return startAegisServer(url, func(srv *aegis.Server) error {
		return benchv1aegis.RegisterBenchServiceServer(srv, benchServer{})
	})
}

func newBenchClient(url string) (*aegis.Conn, benchv1aegis.BenchServiceClient, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := aegis.Connect(ctx, url)
	if err != nil {
		return nil, nil, err
	}
	client, err := benchv1aegis.NewBenchServiceClient(conn, interceptors())
	return conn, client, err
}

func startBalancedClient(url string) (map[string]child.Op, func(), error) {
	conn, client, err := newBenchClient(url)
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		res, err := client.Balanced(ctx, &benchv1.BalancedRequest{Text: req.GetText()})
		return &echov1.EchoResponse{Text: res.GetText()}, err
	}
	return loadOp(call), func() { _ = conn.Close(context.Background()) }, nil
}

func startLeaderClient(url string) (map[string]child.Op, func(), error) {
	conn, client, err := newBenchClient(url)
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		res, err := client.Leader(ctx, &benchv1.LeaderRequest{Text: req.GetText()})
		return &echov1.EchoResponse{Text: res.GetText()}, err
	}
	return loadOp(call), func() { _ = conn.Close(context.Background()) }, nil
}

func loadOp(call callFunc) map[string]child.Op {
	return map[string]child.Op{opLoad: child.Typed(func(o loadOrder) (*loadResult, error) { return runLoad(o, call) })}
}

func leaderScenario() scenario {
	const callers = 64
	return scenario{
		name:  "leader-64",
		about: fmt.Sprintf("%d callers, %d bytes each way: a leader's calls against load balanced ones.", callers, payloadBytes),
		run:   func(ctx context.Context, s *settings) (int, error) { return runLeader(ctx, s, callers) },
	}
}

func runLeader(ctx context.Context, s *settings, callers int) (int, error) {
	g := &group{ctx: ctx}
	defer g.stop()
	f := &unaryField{group: g, nats: g.start("nats", "")}
	service := g.start("bench-service", f.nats.url)
	pair := []contender{
		{name: "load balanced", service: service, client: g.start("balanced-client", f.nats.url)},
		{name: "leader", service: service, client: g.start("leader-client", f.nats.url)},
	}
	if g.err != nil {
		return 0, g.err
	}
	var rate, cpu spread
	for n := range s.warmups + s.rounds {
		var round [2]*figures
		for i := range pair {
			who := (i + n) % len(pair)
			got, err := f.measureOne(&pair[who], loadOrder{Callers: callers, Time: s.roundTime, Deadline: deadlineNone})
			if err != nil {
				return 0, err
			}
			round[who] = got
		}
		if n >= s.warmups {
			rate = append(rate, round[1].rate()/round[0].rate())
			cpu = append(cpu, round[1].cpu()/round[0].cpu())
		}
	}
	v := newVerdicts(os.Stdout, "leader / load balanced, median (lowest..highest) of the rounds' ratios")
	v.judge("calls/s", median(rate), rate.String(), atLeast(0.97))
	v.judge("CPU per call", median(cpu), cpu.String(), atMost(1.03))
	return v.done(), nil
}
