package roles

import (
	"context"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/internal/bench/child"
	benchv1 "github.com/aegisrpc/aegis/internal/bench/gen/bench/v1"
	"github.com/aegisrpc/aegis/internal/bench/gen/bench/v1/benchv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

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
	conn, err := connect(url)
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
	return loadOp(call), closing(conn), nil
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
	return loadOp(call), closing(conn), nil
}
