package bench_test

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"

	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	echoMethod = "echo.v1.EchoService/Echo"
	testProto  = "aegistest.v1."
)

// echo answers, or fails with the text of the request if that is one of its errors.
type echo struct{ seen *seen }

func (e echo) Echo(ctx context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	if e.seen != nil {
		e.seen.add(req.GetText(), call.RequestHeader().Get("tenant"))
	}
	if req.GetText() == "" {
		return nil, aegis.NewError(aegis.CodeInvalidArgument, "the text is empty")
	}
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

// seen are the texts that a handler has got.
type seen struct {
	mu      sync.Mutex // guards the fields below
	texts   map[string]int
	tenants map[string]int
}

func newSeen() *seen { return &seen{texts: map[string]int{}, tenants: map[string]int{}} }

func (s *seen) add(text, tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[text]++
	s.tenants[tenant]++
}

func (s *seen) all() (texts, tenants map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.texts), maps.Clone(s.tenants)
}

func serveEcho(t *testing.T, nats *aegistest.NATS, name string) *seen {
	t.Helper()
	s := newSeen()
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{s})
	}, aegis.WithInstance(name))
	return s
}

// patterns serves a method of each pattern, and counts the messages that its handlers get.
type patterns struct {
	aegistestv1aegis.UnimplementedStreamServiceServer
	aegistestv1aegis.UnimplementedLeaderServiceServer

	handled *atomic.Int64
	keys    *seen
}

func (p patterns) Count(ctx context.Context, req *aegistestv1.CountRequest, out aegis.Sender[aegistestv1.CountResponse]) error {
	p.handled.Add(1)
	for i := range req.GetNumbers() {
		if err := out.Send(&aegistestv1.CountResponse{Number: i + 1}); err != nil {
			return err
		}
	}
	if req.GetText() == "endless" {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (p patterns) Tell(context.Context, *aegistestv1.TellRequest) (*aegistestv1.TellResponse, error) {
	p.handled.Add(1)
	return &aegistestv1.TellResponse{}, nil
}

func (p patterns) OnLeading(context.Context, aegis.Term) error { return nil }

func (p patterns) Lead(context.Context, *aegistestv1.CountRequest) (*aegistestv1.CountResponse, error) {
	p.handled.Add(1)
	return &aegistestv1.CountResponse{}, nil
}

func (p patterns) Touch(_ context.Context, req *aegistestv1.TouchRequest) (*aegistestv1.TouchResponse, error) {
	p.handled.Add(1)
	p.keys.add(req.GetAccount().GetId(), "")
	return &aegistestv1.TouchResponse{}, nil
}

func (p patterns) Work(_ context.Context, req *aegistestv1.WorkRequest) (*aegistestv1.WorkResponse, error) {
	p.handled.Add(1)
	return &aegistestv1.WorkResponse{Text: req.GetText()}, nil
}

func (p patterns) Once(context.Context, *aegistestv1.OnceRequest) (*aegistestv1.OnceResponse, error) {
	return &aegistestv1.OnceResponse{}, nil
}

func (p patterns) Core(context.Context, *aegistestv1.CoreRequest) error { p.handled.Add(1); return nil }
func (p patterns) Told(context.Context, *aegistestv1.ToldRequest) error { return nil }

func (p patterns) Stored(context.Context, *aegistestv1.StoredRequest) error {
	p.handled.Add(1)
	return nil
}

func (p patterns) Keyed(_ context.Context, req *aegistestv1.KeyedRequest) error {
	p.handled.Add(1)
	p.keys.add(req.GetKey(), "")
	return nil
}

// servePatterns starts an instance of all services of patterns.
func servePatterns(t *testing.T, nats *aegistest.NATS, name string) patterns {
	t.Helper()
	p := patterns{handled: new(atomic.Int64), keys: newSeen()}
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		for _, register := range []func() error{
			func() error { return aegistestv1aegis.RegisterStreamServiceServer(srv, p) },
			func() error { return aegistestv1aegis.RegisterBroadcastServiceServer(srv, p) },
			func() error { return aegistestv1aegis.RegisterLeaderServiceServer(srv, p) },
			func() error { return aegistestv1aegis.RegisterAccountServiceServer(srv, p) },
			func() error { return aegistestv1aegis.RegisterJobServiceServer(srv, p) },
			func() error {
				return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{Core: p.Core, Told: p.Told, Stored: p.Stored, Keyed: p.Keyed},
					aegis.Compete("bench"))
			},
		} {
			if err := register(); err != nil {
				return err
			}
		}
		return nil
	}, aegis.WithInstance(name))
	return p
}
