package aegistest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// The tests of this file run over NATS and over a Memory: what a unit test sees must be
// what a program sees.

// worlds are ways to connect.
func worlds() map[string]func(tb testing.TB) *aegis.Conn {
	return map[string]func(tb testing.TB) *aegis.Conn{
		"NATS":   func(tb testing.TB) *aegis.Conn { tb.Helper(); return aegistest.Connect(tb) },
		"memory": func(tb testing.TB) *aegis.Conn { tb.Helper(); return aegistest.NewMemory(tb).Conn() },
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// probe is a server of ProbeService whose Do is a function.
type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer

	do    func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error)
	quick func(ctx context.Context) error
}

func (p probe) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return p.do(ctx, req)
}

func (p probe) Quick(ctx context.Context, _ *testv1.QuickRequest) (*testv1.QuickResponse, error) {
	if err := p.quick(ctx); err != nil {
		return nil, err
	}
	return &testv1.QuickResponse{}, nil
}

func serveProbe(t *testing.T, conn *aegis.Conn, p probe, opts ...aegis.ServerOption) aegistestv1aegis.ProbeServiceClient {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, p)
	}, opts...)
	client, err := aegistestv1aegis.NewProbeServiceClient(conn)
	require.NoError(t, err)
	return client
}

type userKey struct{}

func TestACallHasItsMetadataAndNoValuesOfItsCaller(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client := serveProbe(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
				call, ok := aegis.CallFromContext(ctx)
				if !ok || ctx.Value(userKey{}) != nil {
					return nil, errors.New("the context is not that of a handler")
				}
				call.ResponseHeader().Set("seen", call.RequestHeader().Get("tenant"))
				req.Text += "!" // a copy
				return &testv1.DoResponse{Text: req.GetText(), InstanceName: fmt.Sprint(call.Instance(), call.Attempt(), call.Method().FullName())}, nil
			}}, aegis.WithInstance("one"))
			ctx, call := aegis.NewCall(context.WithValue(deadline(t), userKey{}, 1))
			call.RequestHeader().Set("Tenant", "a")
			req := &testv1.DoRequest{Text: "hi"}
			res, err := client.Do(ctx, req)
			require.NoError(t, err)
			assert.Equal(t, "hi!", res.GetText())
			assert.Equal(t, "hi", req.GetText())
			assert.Equal(t, "one1"+aegistestv1aegis.ProbeServiceDoFullName, res.GetInstanceName())
			assert.Equal(t, "a", call.ResponseHeader().Get("seen"))

			call.RequestHeader().Set("nats-is-not-mine", "x")
			_, err = client.Do(ctx, req)
			assert.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
		})
	}
}

func TestAnErrorTravelsWithCodeMessageAndDetails(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client := serveProbe(t, conn, probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
				switch req.GetText() {
				case "panic":
					panic("a bug")
				case "refused": // by another service
					return nil, aegistest.NewRefusal(aegis.ReasonStopping)
				case "plain":
					return nil, fmt.Errorf("file %d: %w", 7, io.ErrUnexpectedEOF)
				}
				return nil, aegis.NewError(aegis.CodeNotFound, "no such thing").WithDetails(durationpb.New(time.Second))
			}})
			_, err := client.Do(deadline(t), &testv1.DoRequest{})
			e, ok := errors.AsType[*aegis.Error](err)
			require.True(t, ok)
			assert.Equal(t, "NOT_FOUND: no such thing", e.Error())
			require.Len(t, e.Details(), 1)
			detail, err := e.Details()[0].UnmarshalNew()
			require.NoError(t, err)
			assert.Equal(t, time.Second, detail.(*durationpb.Duration).AsDuration())
			assert.True(t, aegis.IsWireError(e))
			assert.True(t, aegis.MayHaveRun(e))

			_, err = client.Do(deadline(t), &testv1.DoRequest{Text: "panic"})
			assert.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
			assert.NotContains(t, err.Error(), "a bug")

			_, err = client.Do(deadline(t), &testv1.DoRequest{Text: "refused"})
			assert.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
			assert.True(t, aegis.MayHaveRun(err), "this handler has run")

			_, err = client.Do(deadline(t), &testv1.DoRequest{Text: "plain"})
			assert.Equal(t, "UNKNOWN: file 7: unexpected EOF", err.Error())
			assert.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		})
	}
}

func TestACallThatNobodyTakesHasNotRun(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, err := aegistestv1aegis.NewProbeServiceClient(conn)
			require.NoError(t, err)
			_, err = client.Do(deadline(t), &testv1.DoRequest{})
			require.ErrorIs(t, err, aegis.ErrNoResponders)
			assert.False(t, aegis.MayHaveRun(err))
			assert.False(t, aegis.IsWireError(err))

			ready := make(chan error, 1)
			go func() {
				_, err := client.Do(deadline(t), &testv1.DoRequest{}, aegis.WaitForReady())
				ready <- err
			}()
			serveProbe(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
				return &testv1.DoResponse{}, nil
			}})
			require.NoError(t, <-ready)
			_, err = client.Do(deadline(t), &testv1.DoRequest{}, aegis.ToInstance("other"))
			require.ErrorIs(t, err, aegis.ErrNoResponders)
			_, err = client.Get(deadline(t), &testv1.GetRequest{}) // which the implementation lacks
			require.ErrorIs(t, err, aegis.ErrNoResponders)
		})
	}
}

func TestACallEndsAtTheTimeoutOfItsMethodAndItsHandlerWithIt(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			ended := make(chan error, 1)
			answered := make(chan struct{})
			client := serveProbe(t, conn, probe{quick: func(ctx context.Context) error {
				<-ctx.Done()
				ended <- ctx.Err()
				<-answered // by the client itself
				return nil
			}})
			_, err := client.Quick(t.Context(), &testv1.QuickRequest{})
			close(answered)
			assert.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.True(t, aegis.MayHaveRun(err))
			assert.False(t, aegis.IsWireError(err))
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)

			ctx, cancel := context.WithCancel(deadline(t))
			cancel()
			_, err = client.Quick(ctx, &testv1.QuickRequest{})
			assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
			assert.False(t, aegis.MayHaveRun(err))
		})
	}
}

func TestInterceptorsOfBothSidesSeeACallOnce(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			var mu sync.Mutex
			var seen []string
			note := func(where string) aegis.Interceptor {
				return aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc { return noting(&mu, &seen, where, next) })
			}
			aegistest.Serve(t, conn, func(srv *aegis.Server) error {
				return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
					return nil, aegis.NewError(aegis.CodeAborted, "again")
				}}, aegis.WithInterceptors(note("service")))
			}, aegis.WithInterceptors(note("server")))
			client, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.WithInterceptors(note("outer"), note("inner")))
			require.NoError(t, err)
			_, err = client.Do(deadline(t), &testv1.DoRequest{})
			require.Error(t, err)
			mu.Lock()
			defer mu.Unlock()
			assert.Equal(t, []string{
				"outer Do", "inner Do", "server Do", "service Do", "service ABORTED", "server ABORTED", "inner ABORTED", "outer ABORTED",
			}, seen)
		})
	}
}

// streams is a server of StreamService.
type streams struct {
	aegistestv1aegis.UnimplementedStreamServiceServer

	gone chan error // gets why Count ended, which counts for ever
}

func (s streams) Count(ctx context.Context, req *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	out.Header().Set("first", "1")
	out.Trailer().Set("last", "2")
	for i := uint64(1); req.GetNumbers() == 0 || i <= req.GetNumbers(); i++ {
		if err := out.Send(&testv1.CountResponse{Number: i}); err != nil {
			s.gone <- ctx.Err()
			return err
		}
	}
	if req.GetText() != "" {
		return aegis.NewError(aegis.CodeDataLoss, req.GetText())
	}
	return nil
}

func (streams) Sum(_ context.Context, in aegis.Receiver[testv1.SumRequest]) (*testv1.SumResponse, error) {
	res := &testv1.SumResponse{}
	for m, err := range in.All() {
		if err != nil {
			return nil, err
		}
		res.Sum += m.GetNumber()
		res.Numbers++
	}
	return res, nil
}

func (streams) Chat(_ context.Context, in aegis.Receiver[testv1.ChatRequest], out aegis.Sender[testv1.ChatResponse]) error {
	for m, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(&testv1.ChatResponse{Text: in.Header().Get("who") + ": " + m.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func serveStreams(t *testing.T, conn *aegis.Conn) (aegistestv1aegis.StreamServiceClient, streams) {
	t.Helper()
	s := streams{gone: make(chan error, 1)}
	aegistest.Serve(t, conn, func(srv *aegis.Server) error { return aegistestv1aegis.RegisterStreamServiceServer(srv, s) })
	client, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	return client, s
}

func TestAStreamEndsWithItsErrorAndItsMetadata(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, _ := serveStreams(t, conn)
			in, err := client.Count(deadline(t), &testv1.CountRequest{Numbers: 3, Text: "gone"})
			require.NoError(t, err)
			var numbers []uint64
			var last error
			for m, err := range in.All() {
				if last = err; err == nil {
					numbers = append(numbers, m.GetNumber())
				}
			}
			assert.Equal(t, []uint64{1, 2, 3}, numbers)
			require.EqualError(t, last, "DATA_LOSS: gone")
			assert.True(t, aegis.IsWireError(last))
			assert.Equal(t, "1", in.Header().Get("first"))
			assert.Equal(t, "2", in.Trailer().Get("last"))
		})
	}
}

func TestAStreamThatIsClosedEndsItsHandler(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, server := serveStreams(t, conn)
			in, err := client.Count(deadline(t), &testv1.CountRequest{})
			require.NoError(t, err)
			_, err = in.Recv()
			require.NoError(t, err)
			require.NoError(t, in.Close())
			require.ErrorIs(t, <-server.gone, context.Canceled)
			for err == nil {
				_, err = in.Recv()
			}
			assert.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
		})
	}
}

func TestStreamsOfRequests(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			client, _ := serveStreams(t, conn)
			up, err := client.Sum(deadline(t))
			require.NoError(t, err)
			for i := range uint64(5) {
				require.NoError(t, up.Send(&testv1.SumRequest{Number: i}))
			}
			sum, err := up.CloseAndRecv()
			require.NoError(t, err)
			assert.Equal(t, uint64(10), sum.GetSum())

			ctx, call := aegis.NewCall(deadline(t))
			call.RequestHeader().Set("who", "bob")
			chat, err := client.Chat(ctx)
			require.NoError(t, err)
			require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "hi"}))
			res, err := chat.Recv()
			require.NoError(t, err)
			assert.Equal(t, "bob: hi", res.GetText())
			require.NoError(t, chat.CloseSend())
			_, err = chat.Recv()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

type teller struct{ name string }

func (b teller) Tell(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
	if b.name == "bad" {
		return nil, aegis.NewError(aegis.CodeInternal, "broken")
	}
	return &testv1.TellResponse{InstanceName: b.name}, nil
}

func TestABroadcastHasAReplyOfEachInstance(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			for _, name := range []string{"a", "b", "bad"} {
				aegistest.Serve(t, conn, func(srv *aegis.Server) error {
					return aegistestv1aegis.RegisterBroadcastServiceServer(srv, teller{name})
				}, aegis.WithInstance(name))
			}
			client, err := aegistestv1aegis.NewBroadcastServiceClient(conn)
			require.NoError(t, err)
			got := map[string]string{}
			for r := range client.Tell(deadline(t), &testv1.TellRequest{}) {
				got[r.Instance] = fmt.Sprint(r.Msg.GetInstanceName(), " ", aegis.CodeOf(r.Err), " ", aegis.IsWireError(r.Err))
			}
			ok := fmt.Sprint(" ", aegis.Code(0), " false")
			assert.Equal(t, map[string]string{"a": "a" + ok, "b": "b" + ok, "bad": " INTERNAL true"}, got)
			replies, err := aegis.CollectReplies(client.Tell(deadline(t), &testv1.TellRequest{}, aegis.UntilReplies(1)))
			assert.Len(t, replies, 1, "%v", err)
		})
	}
}

type led struct {
	aegistestv1aegis.UnimplementedLeaderServiceServer

	loads *atomic.Int64
}

func (l led) OnLeading(ctx context.Context, term aegis.Term) error {
	if t, ok := aegis.TermFromContext(ctx); !ok || t != term {
		return errors.New("the context has no term")
	}
	l.loads.Add(1)
	return nil
}

func (led) Lead(ctx context.Context, _ *testv1.CountRequest) (*testv1.CountResponse, error) {
	term, _ := aegis.TermFromContext(ctx)
	return &testv1.CountResponse{Number: term.Token}, nil
}

func TestALeaderServesInATerm(t *testing.T) {
	t.Parallel()
	for name, connect := range worlds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			loads := new(atomic.Int64)
			serve := func(ctx context.Context, name string) (stopped <-chan error) {
				srv, err := aegis.NewServer(conn, aegis.WithInstance(name))
				require.NoError(t, err)
				require.NoError(t, aegistestv1aegis.RegisterLeaderServiceServer(srv, led{loads: loads}))
				done := make(chan error, 1)
				go func() { done <- srv.Run(ctx) }()
				return done
			}
			first, stopFirst := context.WithCancel(t.Context())
			defer stopFirst()
			firstDone := serve(first, "a")
			client, err := aegistestv1aegis.NewLeaderServiceClient(conn)
			require.NoError(t, err)
			ctx, call := aegis.NewCall(deadline(t))
			res, err := client.Lead(ctx, &testv1.CountRequest{}, aegis.WaitForReady())
			require.NoError(t, err)
			assert.Positive(t, res.GetNumber())
			assert.Equal(t, res.GetNumber(), call.Term().Token)
			assert.Equal(t, aegistestv1aegis.LeaderServiceName, call.Term().Service)
			assert.Equal(t, int64(1), loads.Load())

			second, stopSecond := context.WithCancel(t.Context())
			secondDone := serve(second, "b")
			stopFirst()
			require.NoError(t, <-firstDone)
			next, err := client.Lead(deadline(t), &testv1.CountRequest{}, aegis.WaitForReady())
			require.NoError(t, err)
			assert.Greater(t, next.GetNumber(), res.GetNumber())
			assert.Equal(t, int64(2), loads.Load())
			stopSecond()
			require.NoError(t, <-secondDone)
		})
	}
}

// noting is a unary function that notes what passes it.
func noting(mu *sync.Mutex, seen *[]string, where string, next aegis.UnaryFunc) aegis.UnaryFunc {
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		*seen = append(*seen, where+" "+what)
	}
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		call, _ := aegis.CallFromContext(ctx)
		note(call.Method().Name)
		res, err := next(ctx, req)
		note(aegis.CodeOf(err).String())
		return res, err
	}
}
