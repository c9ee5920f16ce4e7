package aegis_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// errSecret is what no caller may read.
var errSecret = errors.New("db-7.internal refuses the password of payments")

// onlyMeant lets through what is meant for callers.
func onlyMeant(_ context.Context, err error) error {
	if e, ok := errors.AsType[*aegis.Error](err); ok {
		return e
	}
	return aegis.NewError(aegis.CodeInternal, "ask us, with the time")
}

func redacted(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	require.Equal(t, "ask us, with the time", asError(t, err).Message())
	require.True(t, aegis.IsWireError(err))
}

// Each kind of method has a way of its own for errors.
func TestRedactorDecidesWhatLeavesTheServerOfCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	meant := aegis.NewError(aegis.CodeNotFound, "no such order")
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
				if req.GetText() == "meant" {
					return nil, fmt.Errorf("%w: %w", errSecret, meant)
				}
				return nil, errSecret
			}}),
			aegistestv1aegis.RegisterStreamServiceServer(srv, streams{
				count: func(context.Context, *testv1.CountRequest, countOut) error { return errSecret },
				sum:   func(context.Context, sumIn) (*testv1.SumResponse, error) { return nil, errSecret },
				chat:  func(context.Context, chatIn, chatOut) error { return errSecret },
			}),
			aegistestv1aegis.RegisterLargeServiceServer(srv, large{bounce: func(context.Context, *testv1.LargeRequest) (*testv1.LargeResponse, error) {
				return nil, errSecret
			}}),
			aegistestv1aegis.RegisterBroadcastServiceServer(srv, tellFunc(func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
				return nil, errSecret
			})),
		)
	}, aegis.WithInstance("one"), aegis.WithErrorRedactor(onlyMeant))
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	redacted(t, err)
	_, err = client.Do(t.Context(), doRequest("meant"))
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	require.Equal(t, "no such order", asError(t, err).Message(), "without what wraps it")

	caller := newStreamClient(t, conn)
	in, err := caller.Count(t.Context(), &testv1.CountRequest{})
	require.NoError(t, err)
	_, err = in.Recv()
	redacted(t, err)
	sum, err := caller.Sum(t.Context())
	require.NoError(t, err)
	_, err = sum.CloseAndRecv()
	redacted(t, err)
	chat, err := caller.Chat(t.Context())
	require.NoError(t, err)
	_, err = chat.Recv()
	redacted(t, err)

	bouncer := newLargeClient(t, conn)
	for _, size := range []int{10, 2 * maxPayload} {
		_, err = bouncer.Bounce(t.Context(), &testv1.LargeRequest{Data: make([]byte, size)})
		redacted(t, err)
	}
	known(t, conn, teller, 1)
	all, err := collect(t, newTeller(t, conn))
	require.Len(t, all, 1)
	require.Error(t, err)
	redacted(t, all[0].Err)

	// The tools of NATS micro show the last error to everybody.
	res, err := plain(t, conn).Request("$SRV.STATS.aegistest-v1-ProbeService", nil, patience)
	require.NoError(t, err)
	require.NotContains(t, string(res.Data), "db-7")
	var stats micro.Stats
	require.NoError(t, json.Unmarshal(res.Data, &stats))
	require.Contains(t, string(res.Data), "no such order")
}

func TestRedactorDecidesWhatIsStored(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	var attempts atomic.Int32
	handled := func() error {
		attempts.Add(1)
		return aegis.Permanent(fmt.Errorf("it did not work: %w", errSecret))
	}
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			registerJobs(jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) { return nil, handled() }})(srv),
			subscribeTo(srv, handlers{Stored: func(context.Context, *testv1.StoredRequest) error { return handled() }}),
		)
	}, aegis.WithErrorRedactor(onlyMeant), log.option())
	cmd := send(t, newJobClient(t, conn), "x")
	_, err := outcome(t.Context(), cmd)
	redacted(t, err)
	status, err := cmd.Status(t.Context())
	require.NoError(t, err)
	redacted(t, status.Err)
	mustStore(t, newPublisher(t, conn), "x")
	for _, service := range []string{jobService, eventService} {
		eventually(t, "there is a dead letter", func() bool { return len(deadLetters(t, conn, service)) == 1 })
		require.Equal(t, "INTERNAL: ask us, with the time", deadLetters(t, conn, service)[0].Reason)
	}
	require.EqualValues(t, 2, attempts.Load(), "what is permanent stays so")
	eventually(t, "the log has it all", func() bool { return log.count("db-7.internal") == 2 })
	require.Equal(t, 1, log.count("a command went to the dead letters"))
	require.Equal(t, 1, log.count("an event went to the dead letters"))
}

func TestRedactorSeesWhatInterceptorsReturn(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	seen := make(chan error, 1)
	wrap := aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) {
			_, err := next(ctx, req)
			return nil, fmt.Errorf("intercepted: %w", err)
		}
	})
	method := make(chan string, 1)
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) { return nil, errSecret }},
		aegis.WithInterceptors(wrap), aegis.WithErrorRedactor(func(ctx context.Context, err error) error {
			seen <- err
			call, _ := aegis.CallFromContext(ctx)
			method <- call.Method().Name
			return onlyMeant(ctx, err)
		}))
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	redacted(t, err)
	err = receive(t, "the redactor is called", seen)
	require.ErrorIs(t, err, errSecret)
	require.ErrorContains(t, err, "intercepted: ")
	require.Equal(t, "Do", receive(t, "it knows the method", method))
}

func TestErrorIsNoSuccessWhateverTheRedactorDoes(t *testing.T) {
	t.Parallel()
	for name, redact := range map[string]func(context.Context, error) error{
		"nothing": func(context.Context, error) error { return nil },
		"a panic": func(context.Context, error) error { panic("oops") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			aegistest.Serve(t, conn, func(srv *aegis.Server) error {
				return errors.Join(
					aegistestv1aegis.RegisterProbeServiceServer(srv, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
						return nil, errSecret
					}}),
					registerJobs(jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
						return nil, aegis.Permanent(errSecret)
					}})(srv),
				)
			}, aegis.WithErrorRedactor(redact))
			_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
			require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
			require.NotContains(t, err.Error(), "db-7")
			_, err = outcome(t.Context(), send(t, newJobClient(t, conn), "x"))
			require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
			require.NotContains(t, err.Error(), "db-7")
		})
	}
	_, err := aegis.NewServer(connect(t), aegis.WithErrorRedactor(nil))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
}

// A method that an instance lacks is for another one, whatever the redactor says.
func TestRedactorDoesNotHideThatAMethodIsMissing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, partial{})
	}, aegis.WithErrorRedactor(func(context.Context, error) error { return errSecret }))
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""), aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonNoMethod, asError(t, err).Reason())
}

// partial passes Do on to what does not have it.
type partial struct{ probe }

func (partial) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return aegistestv1aegis.UnimplementedProbeServiceServer{}.Do(ctx, req)
}
