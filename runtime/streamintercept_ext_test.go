package aegis_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// streamTap notes what passes a stream of either side.
type streamTap struct {
	mu    sync.Mutex
	steps []string
}

func (r *streamTap) stepf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, fmt.Sprintf(format, args...))
}

func (r *streamTap) as(name string) aegis.InterceptorsOption {
	return aegis.WithInterceptors(tapped{aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc { return next }), r, name})
}

type tapped struct {
	aegis.InterceptorFunc
	tap  *streamTap
	name string
}

func (i tapped) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc {
	return func(ctx context.Context) (aegis.AnyStream, error) {
		call, _ := aegis.CallFromContext(ctx)
		i.tap.stepf("%s opens %s", i.name, call.Method().Name)
		call.RequestHeader().Add("via", i.name)
		s, err := next(ctx)
		return tappedStream{s, i}, err
	}
}

func (i tapped) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc {
	return func(ctx context.Context, s aegis.AnyStream) error {
		call, _ := aegis.CallFromContext(ctx)
		i.tap.stepf("%s serves %s via %v", i.name, call.Method().Name, call.RequestHeader().Values("via"))
		err := next(context.WithValue(ctx, seenBy{}, i.name), tappedStream{s, i})
		i.tap.stepf("%s served: %v", i.name, err)
		return err
	}
}

type tappedStream struct {
	aegis.AnyStream
	by tapped
}

func (s tappedStream) Send(m proto.Message) error {
	s.by.tap.stepf("%s sends %s", s.by.name, m.ProtoReflect().Descriptor().Name())
	return s.AnyStream.Send(m)
}

func (s tappedStream) Recv(m proto.Message) error {
	err := s.AnyStream.Recv(m)
	s.by.tap.stepf("%s receives %s: %v", s.by.name, m.ProtoReflect().Descriptor().Name(), err)
	return err
}

func TestInterceptorsOfStreams(t *testing.T) {
	t.Parallel()
	var atClient, atServer streamTap
	conn := connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterStreamServiceServer(srv, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
			out.Header().Set("seen", ctx.Value(seenBy{}).(string))
			return countUp(ctx, req, out)
		}}, atServer.as("service"))
	}, atServer.as("server"))
	client := newStreamClient(t, conn, atClient.as("first"), atClient.as("second"))
	in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 1})
	require.NoError(t, err)
	_, err = readNumbers(t, in)
	require.NoError(t, err)
	require.Equal(t, "service", in.Header().Get("seen"))
	require.Equal(t, []string{
		"first opens Count", "second opens Count", "first sends CountRequest", "second sends CountRequest",
		"second receives CountResponse: <nil>", "first receives CountResponse: <nil>",
		"second receives CountResponse: EOF", "first receives CountResponse: EOF",
	}, atClient.steps)
	eventually(t, "the server's interceptors return", func() bool {
		atServer.mu.Lock()
		defer atServer.mu.Unlock()
		return slices.Contains(atServer.steps, "server served: <nil>")
	})
	require.Equal(t, []string{
		"server serves Count via [first second]", "service serves Count via [first second]",
		"server receives CountRequest: <nil>", "service receives CountRequest: <nil>",
		"service sends CountResponse", "server sends CountResponse",
		"service served: <nil>", "server served: <nil>",
	}, atServer.steps)

	atClient.steps = nil
	out, err := client.Sum(t.Context())
	require.NoError(t, err)
	require.NoError(t, out.Send(&testv1.SumRequest{Number: 2}))
	res, err := out.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 2, res.GetSum())
	require.Contains(t, atClient.steps, "second receives SumResponse: <nil>")
	require.Contains(t, atClient.steps, "first receives SumResponse: EOF")
}
