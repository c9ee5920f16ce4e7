package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// orders is the service of the examples.
type orders struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (orders) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	if req.GetText() == "" {
		return nil, aegis.NewError(aegis.CodeNotFound, "no such order").WithDetails(&testv1.GetRequest{Text: "try order 1"})
	}
	if call, ok := aegis.CallFromContext(ctx); ok {
		call.ResponseHeader().Set("region", "eu, for tenant "+call.RequestHeader().Get("tenant"))
	}
	return &testv1.DoResponse{Text: "order " + req.GetText()}, nil
}

// withOrders calls f with a client of a running server.
func withOrders(f func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient), opts ...aegis.ServerOption) error {
	nats, err := embednats.Start(embednats.Options{})
	if err != nil {
		return err
	}
	defer nats.Stop()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	conn, err := aegis.Connect(ctx, nats.ClientURL(), aegis.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	running := make(chan struct{})
	srv, err := aegis.NewServer(conn, append(opts, aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))...)
	if err != nil {
		return err
	}
	if err := aegistestv1aegis.RegisterProbeServiceServer(srv, orders{}); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	<-running
	client, err := aegistestv1aegis.NewProbeServiceClient(conn)
	if err != nil {
		return err
	}
	f(ctx, client)
	stop()
	return <-done
}

func ExampleNewCall() {
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		ctx, call := aegis.NewCall(ctx)
		call.RequestHeader().Set("tenant", "a")
		resp, err := client.Do(ctx, &testv1.DoRequest{Text: "7"})
		fmt.Println(resp.GetText(), err)
		fmt.Println(call.ResponseHeader().Get("region"))
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// order 7 <nil>
	// eu, for tenant a
}

func ExampleError() {
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		_, err := client.Do(ctx, &testv1.DoRequest{})
		fmt.Println(err)
		if aegis.CodeOf(err) == aegis.CodeNotFound && aegis.IsWireError(err) {
			fmt.Println("the server says that it is not there")
		}
		if e, ok := errors.AsType[*aegis.Error](err); ok {
			var hint testv1.GetRequest
			fmt.Println(e.Details()[0].UnmarshalTo(&hint), hint.GetText())
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// NOT_FOUND: no such order
	// the server says that it is not there
	// <nil> try order 1
}

func ExampleErrNoResponders() {
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		_, err := client.Do(ctx, &testv1.DoRequest{Text: "7"}, aegis.ToInstance("nobody"))
		if errors.Is(err, aegis.ErrNoResponders) {
			fmt.Println("nobody listens, and nothing has run")
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: nobody listens, and nothing has run
}

func ExampleInterceptorFunc() {
	timing := aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) {
			start := time.Now()
			resp, err := next(ctx, req)
			if call, ok := aegis.CallFromContext(ctx); ok {
				fmt.Println(call.Method().Name, aegis.CodeOf(err), time.Since(start) < time.Minute)
			}
			return resp, err
		}
	})
	err := withOrders(func(ctx context.Context, client aegistestv1aegis.ProbeServiceClient) {
		_, _ = client.Do(ctx, &testv1.DoRequest{})
	}, aegis.WithInterceptors(timing))
	if err != nil {
		fmt.Println(err)
	}
	// Output: Do NOT_FOUND true
}
