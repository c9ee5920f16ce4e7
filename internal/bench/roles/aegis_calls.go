package roles

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/bench/child"
	"github.com/aegisrpc/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// The generated client and server with everything on: bounded handlers, a
// deadline for every call, and an interceptor on both sides.

// echoServer answers what it was sent.
type echoServer struct {
	echov1aegis.UnimplementedEchoServiceServer
	takes time.Duration
}

func (s echoServer) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	if s.takes > 0 {
		time.Sleep(s.takes)
	}
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

// passOn is an interceptor that does nothing.
func passOn(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) { return next(ctx, req) }
}

func interceptors() aegis.InterceptorsOption {
	return aegis.WithInterceptors(aegis.InterceptorFunc(passOn))
}

func startAegisEcho(url string) (map[string]child.Op, func(), error) {
	return startEchoServer(url, echoServer{})
}

func startEchoServer(url string, impl echoServer, opts ...aegis.ServiceOption) (map[string]child.Op, func(), error) {
	return startAegisServer(url, func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, impl, opts...)
	})
}

// connect connects a role to NATS.
func connect(url string) (*aegis.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectLimit)
	defer cancel()
	return aegis.Connect(ctx, url)
}

// closing returns what ends a role that has nothing but a connection.
func closing(conn *aegis.Conn) func() {
	return func() { _ = conn.Close(context.Background()) } // the process ends with it
}

// startAegisServer returns when the server runs.
func startAegisServer(url string, register func(*aegis.Server) error) (map[string]child.Op, func(), error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	running := make(chan struct{})
	srv, err := aegis.NewServer(conn, interceptors(), aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))
	if err != nil {
		return nil, nil, err
	}
	if err := register(srv); err != nil {
		return nil, nil, err
	}
	life, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(life) }()
	stop := func() {
		end()
		if err := <-ended; err != nil {
			fmt.Fprintln(os.Stderr, "bench: the server ended with:", err)
		}
		_ = conn.Close(context.Background())
	}
	select {
	case <-running:
		return map[string]child.Op{}, stop, nil
	case err := <-ended:
		return nil, nil, fmt.Errorf("the server ended: %w", err)
	case <-time.After(connectLimit):
		return nil, nil, fmt.Errorf("the server did not run within %v", connectLimit)
	}
}

func newAegisClient(url string, opts ...aegis.ClientOption) (*aegis.Conn, echov1aegis.EchoServiceClient, error) {
	conn, err := connect(url)
	if err != nil {
		return nil, nil, err
	}
	client, err := echov1aegis.NewEchoServiceClient(conn, append(opts, interceptors())...)
	return conn, client, err
}

func startAegisClient(url string) (map[string]child.Op, func(), error) {
	conn, client, err := newAegisClient(url)
	if err != nil {
		return nil, nil, err
	}
	call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		return client.Echo(ctx, req)
	}
	withTimeout := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, load.OtherTimeout)
		defer cancel()
		return client.Echo(ctx, req)
	}
	load := func(o load.Order) (*load.Result, error) {
		if o.Deadline == load.DeadlineOfCall {
			return load.Run(o, withTimeout)
		}
		return load.Run(o, call)
	}
	return map[string]child.Op{OpLoad: child.Typed(load)}, closing(conn), nil
}

// startSelecting is the role of a client whose calls find their instances by an
// option.
func startSelecting(by aegis.CallOption) func(url string) (map[string]child.Op, func(), error) {
	return func(url string) (map[string]child.Op, func(), error) {
		conn, client, err := newAegisClient(url, by)
		if err != nil {
			return nil, nil, err
		}
		call := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
			return client.Echo(ctx, req)
		}
		ops := loadOp(call)
		ops[OpPaced] = child.Typed(func(o load.PacedOrder) (*load.PacedResult, error) { return load.RunPaced(o, call) })
		return ops, closing(conn), nil
	}
}

func loadOp(call load.CallFunc) map[string]child.Op {
	return map[string]child.Op{OpLoad: child.Typed(func(o load.Order) (*load.Result, error) { return load.Run(o, call) })}
}

// startFloodClient is the role of the client that floods. The flood is made with
// nats.go alone: tens of thousands of calls a second by the generated client
// would take the processor that the service needs.
func startFloodClient(url string) (map[string]child.Op, func(), error) {
	conn, client, err := newAegisClient(url)
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, nil, err
	}
	stop := func() {
		nc.Close()
		_ = conn.Close(context.Background())
	}
	once := func(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
		return client.Echo(ctx, req, aegis.MaxAttempts(1))
	}
	return map[string]child.Op{
		OpFlood: child.Typed(func(o load.FloodOrder) (*load.FloodResult, error) { return load.RunFlood(o, nc, once) }),
		OpLoad:  child.Typed(func(o load.Order) (*load.Result, error) { return load.Run(o, once) }),
	}, stop, nil
}
