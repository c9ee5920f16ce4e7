package aegisotel_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisotel"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// echoes answers each message of a chat.
type echoes struct {
	aegistestv1aegis.UnimplementedStreamServiceServer
}

func (echoes) Chat(_ context.Context, in aegis.Receiver[testv1.ChatRequest], out aegis.Sender[testv1.ChatResponse]) error {
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(&testv1.ChatResponse{Text: req.GetText()}); err != nil {
			return err
		}
	}
	return nil
}

func (echoes) Count(context.Context, *testv1.CountRequest, aegis.Sender[testv1.CountResponse]) error {
	return nil
}

// newStreams returns a client whose spans are recorded.
func newStreams(t *testing.T) (aegistestv1aegis.StreamServiceClient, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	client, err := aegisotel.Client(
		aegisotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))),
		aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider()),
	)
	require.NoError(t, err)
	conn := aegistest.Connect(t)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterStreamServiceServer(srv, echoes{})
	})
	stub, err := aegistestv1aegis.NewStreamServiceClient(conn, aegis.WithInterceptors(client))
	require.NoError(t, err)
	return stub, spans
}

// tooLarge is more than NATS takes.
var tooLarge = strings.Repeat("x", 2<<20)

// theSpan waits for the one span.
func theSpan(t *testing.T, spans *tracetest.InMemoryExporter) tracetest.SpanStub {
	t.Helper()
	require.Eventually(t, func() bool { return len(spans.GetSpans()) == 1 }, patience, time.Millisecond)
	return spans.GetSpans()[0]
}

// Such a stream goes on, and so does its span.
func TestSpanOfAStreamOutlivesAMessageThatIsTooLarge(t *testing.T) {
	t.Parallel()
	stub, spans := newStreams(t)
	chat, err := stub.Chat(t.Context())
	require.NoError(t, err)
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(chat.Send(&testv1.ChatRequest{Text: tooLarge})))
	require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "small"}))
	res, err := chat.Recv()
	require.NoError(t, err)
	require.Equal(t, "small", res.GetText())
	require.Empty(t, spans.GetSpans())
	require.NoError(t, chat.CloseSend())
	_, err = chat.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, codes.Unset, theSpan(t, spans).Status.Code)
}

// Whoever gives up for it finds the reason in the span.
func TestSpanOfAStreamThatIsGivenUpSaysWhatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	stub, spans := newStreams(t)
	chat, err := stub.Chat(t.Context())
	require.NoError(t, err)
	require.Error(t, chat.Send(&testv1.ChatRequest{Text: tooLarge}))
	require.NoError(t, chat.Close())
	status := theSpan(t, spans).Status
	require.Equal(t, codes.Error, status.Code)
	require.Contains(t, status.Description, "max_payload")
}

// A request that cannot be sent opens no stream.
func TestSpanOfAStreamEndsWithARequestThatIsTooLarge(t *testing.T) {
	t.Parallel()
	stub, spans := newStreams(t)
	_, err := stub.Count(t.Context(), &testv1.CountRequest{Text: tooLarge})
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.Contains(t, theSpan(t, spans).Status.Description, "max_payload")
}

// stray passes a context of its own on, once.
type stray struct{ strayed bool }

func (s *stray) WrapUnary(next aegis.UnaryFunc) aegis.UnaryFunc {
	return func(ctx context.Context, req proto.Message) (proto.Message, error) {
		if !s.strayed {
			s.strayed = true
			return next(context.Background(), req)
		}
		return next(ctx, req)
	}
}

func (s *stray) WrapClientStream(next aegis.ClientStreamFunc) aegis.ClientStreamFunc { return next }

func (s *stray) WrapServerStream(next aegis.ServerStreamFunc) aegis.ServerStreamFunc { return next }

// A call of which nobody says what it is must not hide what the next ones are.
func TestSpansHaveTheirNamesAfterACallWithout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(context.Context, *testv1.GetRequest) (*testv1.GetResponse, error) {
		return &testv1.GetResponse{}, nil
	})
	client, err := aegisotel.Client(aegisotel.WithTracerProvider(f.traces), aegisotel.WithMeterProvider(sdkmetric.NewMeterProvider()))
	require.NoError(t, err)
	stub, err := aegistestv1aegis.NewProbeServiceClient(f.conn, aegis.WithInterceptors(&stray{}, client))
	require.NoError(t, err)
	_, err = stub.Get(t.Context(), &testv1.GetRequest{})
	require.Error(t, err)
	require.Equal(t, "aegis", theSpan(t, f.spans).Name)
	f.spans.Reset()
	_, err = stub.Get(t.Context(), &testv1.GetRequest{})
	require.NoError(t, err)
	for _, span := range f.ended(2) {
		require.Equal(t, "aegistest.v1.ProbeService/Get", span.Name)
	}
}
