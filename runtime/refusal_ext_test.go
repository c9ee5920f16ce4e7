package aegis_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// refuse refuses everything with an error.
func refuse(err func() error) aegis.InterceptorsOption {
	return intercept(func(context.Context, proto.Message, aegis.UnaryFunc) (proto.Message, error) { return nil, err() })
}

func refused() error {
	return fmt.Errorf("the guard: %w", aegis.NewError(aegis.CodePermissionDenied, "not you").AsRefusal(""))
}

func TestTheCallerKnowsThatAnInterceptorHasRefused(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]aegis.CallOption{"queue group": aegis.QueueGroup(), "strategy": aegis.RoundRobin()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callRefused(t, option)
		})
	}
}

func callRefused(t *testing.T, option aegis.CallOption) {
	t.Helper()
	conn := connect(t)
	var asked atomic.Int32
	count := refuse(func() error { asked.Add(1); return refused() })
	serve(t, conn, probe{}, count)
	serve(t, another(t, conn), probe{}, count)
	_, err := newClient(t, conn, option).Get(t.Context(), getRequest(""))
	e := asError(t, err)
	require.Equal(t, aegis.CodePermissionDenied, e.Code())
	require.Equal(t, aegis.ReasonRefused, e.Reason())
	require.True(t, aegis.IsWireError(err))
	require.False(t, aegis.MayHaveRun(err))
	require.EqualValues(t, 1, asked.Load(), "such a call is not tried again, although it is idempotent")
}

func TestAnErrorOfAnInterceptorThatDoesNotSaySoIsNoRefusal(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, refuse(func() error { return aegis.NewError(aegis.CodePermissionDenied, "not you") }))
	_, err := newClient(t, conn).Get(t.Context(), getRequest(""))
	require.Empty(t, asError(t, err).Reason())
	require.True(t, aegis.MayHaveRun(err))
}

func TestAClientTriesElsewhereWhatAnInterceptorHasNoRoomFor(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var full atomic.Int32
	serve(t, conn, probe{}, aegis.WithInstance("full"), refuse(func() error {
		full.Add(1)
		return aegis.NewError(aegis.CodeResourceExhausted, "no room").AsRefusal(aegis.ReasonOverloaded)
	}))
	serve(t, another(t, conn), probe{}, aegis.WithInstance("roomy"))
	client := newClient(t, conn, aegis.MaxAttempts(10), aegis.WithRetryBudget(100, 100))
	for full.Load() == 0 {
		res, err := client.Do(t.Context(), doRequest("")) // which is not idempotent
		require.NoError(t, err)
		require.Equal(t, "roomy", res.GetInstanceName())
	}
	_, err := client.Do(t.Context(), doRequest(""), aegis.ToInstance("full"), aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
	require.False(t, aegis.MayHaveRun(err))
}

// A handler that has run passes on an error that says that another call has not.
func TestARefusalOfAnotherCallIsNone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	inner := newClient(t, conn, refuse(refused))
	var ran atomic.Int32
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		ran.Add(1)
		_, err := inner.Get(ctx, getRequest(""))
		if aegis.MayHaveRun(err) {
			t.Errorf("the client has sent nothing, but may have: %v", err)
		}
		return nil, fmt.Errorf("inside: %w", err)
	}}, intercept(func(ctx context.Context, req proto.Message, next aegis.UnaryFunc) (proto.Message, error) {
		res, err := next(ctx, req)
		if err != nil {
			err = fmt.Errorf("outside: %w", err)
		}
		return res, err
	}))
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	e := asError(t, err)
	require.Equal(t, aegis.CodePermissionDenied, e.Code())
	require.Empty(t, e.Reason())
	require.True(t, aegis.MayHaveRun(err))
	require.EqualValues(t, 1, ran.Load())
}

// refusing refuses streams at a server.
type refusing struct{ aegis.InterceptorFunc }

func (refusing) WrapServerStream(aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(context.Context, aegis.AnyStream) error { return refused() }
}

func TestARefusedStreamHasNotRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterStreamServiceServer(srv, aegistestv1aegis.UnimplementedStreamServiceServer{}, aegis.WithUnimplemented())
	}, aegis.WithInterceptors(refusing{func(next aegis.UnaryFunc) aegis.UnaryFunc { return next }}))
	client, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	stream, err := client.Chat(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	require.NotErrorIs(t, err, io.EOF)
	require.Equal(t, aegis.ReasonRefused, asError(t, err).Reason())
	require.False(t, aegis.MayHaveRun(err))
}

// Another attempt of the command may have run.
func TestACommandThatItsWorkerRefusesMayHaveRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}, refuse(func() error { return aegis.Permanent(refused()) }))
	})
	client, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	command, err := client.Work(t.Context(), &testv1.WorkRequest{})
	require.NoError(t, err)
	_, err = command.Result(t.Context())
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.Empty(t, asError(t, err).Reason())
	require.True(t, aegis.MayHaveRun(err))
}

func TestNothingIsStoredThatAnInterceptorRefuses(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client, err := aegistestv1aegis.NewJobServiceClient(conn, refuse(refused))
	require.NoError(t, err)
	_, ofCommand := client.Work(t.Context(), &testv1.WorkRequest{})
	_, ofEvent := newPublisher(t, conn, refuse(refused)).Stored(t.Context(), stored(""))
	for _, err := range []error{ofCommand, ofEvent} {
		require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
		require.False(t, aegis.MayHaveRun(err))
	}
}
