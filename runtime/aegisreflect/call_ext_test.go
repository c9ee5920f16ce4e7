package aegisreflect_test

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

// linked returns a resolver that has the descriptors of the test program.
func linked(conn *aegis.Conn, opts ...aegis.ClientOption) *aegisreflect.Resolver {
	r := aegisreflect.New(conn, opts...)
	r.Use(protoregistry.GlobalFiles)
	return r
}

func TestUnaryCallCarriesMetadataOptionsAndErrors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn, aegis.WithInstance("one"))
	serveProbe(t, another(t, conn), aegis.WithInstance("two"))
	do := find(t, linked(another(t, conn)), probeService, "Do")
	require.Equal(t, aegisreflect.PatternLoadBalanced, do.Pattern())

	ctx, call := aegis.NewCall(within(t))
	call.RequestHeader().Set("tenant", "a")
	res, err := do.Call(ctx, request(t, do, `{"text": "hi", "data": "AQI="}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"hi","data":"AQI="}`, text(t, do, res))
	require.Equal(t, "seen a.", call.ResponseHeader().Get("tenant"))
	require.Equal(t, "Do", call.Method().Name)

	for _, name := range []string{"one", "two"} {
		res, err := do.Call(within(t), request(t, do, `{"text": "who"}`), aegis.ToInstance(name))
		require.NoError(t, err)
		require.JSONEq(t, `{"text":"who","instanceName":"`+name+`"}`, text(t, do, res))
	}
	_, err = do.Call(within(t), request(t, do, `{}`), aegis.UntilReplies(1))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))

	_, err = do.Call(within(t), request(t, do, `{"text": "fail"}`))
	require.True(t, aegis.IsWireError(err))
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	details := aegisError(t, err).Details()
	require.Len(t, details, 1)
	require.JSONEq(t, `{"@type": "type.googleapis.com/aegistest.v1.GetRequest", "text": "a detail"}`, text(t, do, details[0]))
}

func TestCallTakesMessagesOfGeneratedCodeAndNoOthers(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn)
	lie(t, conn, probeService, &liar{data: encoded(t, probeDescriptor()).Encoded()})
	do := find(t, aegisreflect.New(conn), probeService, "Do")
	res, err := do.Call(within(t), &testv1.DoRequest{Text: "generated"})
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"generated"}`, text(t, do, res))
	other := find(t, linked(conn), probeService, "Do")
	_, err = do.Call(within(t), request(t, other, `{"text": "of other descriptors"}`))
	require.NoError(t, err)
	for _, wrong := range []proto.Message{nil, (*testv1.DoRequest)(nil), (*dynamicpb.Message)(nil), &testv1.GetRequest{}} {
		_, err = do.Call(within(t), wrong)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err), "%T", wrong)
	}
	require.ErrorContains(t, err, "is a aegistest.v1.DoRequest, and not a aegistest.v1.GetRequest")
}

func TestCancelAndDeadlineReachTheHandler(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn)
	do := find(t, linked(conn), probeService, "Do")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := do.Call(ctx, request(t, do, `{"wait": "60s"}`))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = do.Call(ctx, request(t, do, `{"wait": "60s"}`))
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}

func TestServiceThatIsDownIsNotCalled(t *testing.T) {
	t.Parallel()
	do := find(t, linked(connect(t)), probeService, "Do")
	_, err := do.Call(within(t), do.NewRequest())
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	require.False(t, aegis.MayHaveRun(err))
}

func TestWrongOperationsNameTheRightOne(t *testing.T) {
	t.Parallel()
	r := linked(connect(t))
	call := func(m *aegisreflect.Method) error { _, err := m.Call(t.Context(), m.NewRequest()); return err }
	for _, c := range []struct{ service, method, use string }{
		{streamService, "Count", "use Stream"},
		{streamService, "Sum", "use Upload"},
		{streamService, "Chat", "use Bidi"},
		{"aegistest.v1.BroadcastService", "Tell", "use Broadcast"},
		{eventService, "Core", "use Publish and Observe"},
		{jobService, "Work", "use Send and Command"},
	} {
		err := call(find(t, r, c.service, c.method))
		require.ErrorIs(t, err, aegisreflect.ErrWrongPattern)
		require.ErrorContains(t, err, c.use)
		require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	}
	do := find(t, r, probeService, "Do")
	var errs []error
	note := func(_ any, err error) { errs = append(errs, err) }
	note(do.Stream(t.Context(), do.NewRequest()))
	note(do.Upload(t.Context()))
	note(do.Bidi(t.Context()))
	note(do.Send(t.Context(), do.NewRequest()))
	note(do.Publish(t.Context(), do.NewRequest()))
	note(do.Observe(t.Context(), aegis.StartNew()))
	note(do.Command("a.b").Result(t.Context()))
	note(do.Command("a.b").Status(t.Context()))
	note(nil, do.Command("a.b").Cancel(t.Context()))
	for _, err := range do.Command("a.b").Progress(t.Context()) {
		errs = append(errs, err)
	}
	for r := range do.Broadcast(t.Context(), do.NewRequest()) {
		errs = append(errs, r.Err)
	}
	require.Len(t, errs, 11)
	for _, err := range errs {
		require.ErrorIs(t, err, aegisreflect.ErrWrongPattern)
		require.ErrorContains(t, err, "use Call")
	}
	require.Equal(t, "a.b", do.Command("a.b").ID())
}

func TestSingleActiveStickyAndLargeCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveOrders(t, conn, aegis.WithInstance("a"))
	serveOrders(t, another(t, conn), aegis.WithInstance("b"))
	serve(t, conn, func(srv *aegis.Server) error { return aegistestv1aegis.RegisterLargeServiceServer(srv, large{}) })
	r := linked(another(t, conn))
	place := find(t, r, orderService, "PlaceOrder")
	require.Equal(t, aegisreflect.PatternSingleActive, place.Pattern())
	require.Equal(t, "default", place.Group())
	ctx, call := aegis.NewCall(within(t))
	res, err := place.Call(ctx, request(t, place, `{"id": "1", "symbol": "AEG", "side": "SIDE_BUY", "quantity": 5, "priceCents": "100"}`))
	require.NoError(t, err)
	require.NotZero(t, call.Term().Token)
	require.Contains(t, text(t, place, res), `{"order":{"id":"1","symbol":"AEG","side":"SIDE_BUY","quantity":"5","priceCents":"100","sequence":"1","term":"`)

	get := find(t, r, orderService, "GetOrder")
	first := ""
	for range 5 { // the key is read from the dynamic message
		res, err := get.Call(within(t), request(t, get, `{"id": "1"}`))
		require.NoError(t, err)
		var typed orderv1.GetOrderResponse
		convert(t, res, &typed)
		if first == "" {
			first = typed.GetInstance()
		}
		require.Equal(t, first, typed.GetInstance())
	}

	bounce := find(t, r, "aegistest.v1.LargeService", "Bounce")
	data := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 3<<20)))
	res, err = bounce.Call(within(t), request(t, bounce, `{"data": "`+data+`"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"data":"`+data+`"}`, text(t, bounce, res))
}

// convert reads a dynamic message into one of generated code.
func convert(t testing.TB, from, into proto.Message) {
	t.Helper()
	data, err := proto.Marshal(from)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(data, into))
}

func TestBroadcastReachesAllInstances(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveOrders(t, conn, aegis.WithInstance("a"))
	serveOrders(t, another(t, conn), aegis.WithInstance("b"))
	reload := find(t, linked(conn), orderService, "ReloadLimits")
	require.Equal(t, "broadcast", reload.Pattern().String())
	replies, err := aegis.CollectReplies(reload.Broadcast(within(t), reload.NewRequest()))
	require.NoError(t, err)
	require.Len(t, replies, 2)
	names := []string{replies[0].Instance, replies[1].Instance}
	require.ElementsMatch(t, []string{"a", "b"}, names)
	require.Equal(t, "{}", text(t, reload, replies[0].Msg))
	for r := range reload.Broadcast(within(t), &orderv1.ReloadLimitsRequest{}, aegis.UntilReplies(1)) {
		require.NoError(t, r.Err)
		break
	}
}

func TestStreamsOfAllKinds(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, registerStreams)
	r := linked(another(t, conn))

	count := find(t, r, streamService, "Count")
	in, err := count.Stream(within(t), request(t, count, `{"numbers": 3, "text": "fail"}`), aegis.WithStreamWindow(1, 1000))
	require.NoError(t, err)
	var got []string
	for msg, recvErr := range in.All() {
		if err = recvErr; err == nil {
			got = append(got, text(t, count, msg))
		}
	}
	require.Equal(t, []string{`{"number":"1"}`, `{"number":"2"}`, `{"number":"3"}`}, got)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	require.Equal(t, "h", in.Header().Get("head"))
	require.Equal(t, "t", in.Trailer().Get("tail"))
	require.NoError(t, in.Close())

	sum := find(t, r, streamService, "Sum")
	up, err := sum.Upload(within(t))
	require.NoError(t, err)
	for range 4 {
		require.NoError(t, up.Send(request(t, sum, `{"number": 10}`)))
	}
	require.ErrorContains(t, up.Send(request(t, count, `{}`)), "is a aegistest.v1.SumRequest")
	res, err := up.CloseAndRecv()
	require.NoError(t, err)
	require.JSONEq(t, `{"sum":"40","numbers":"4"}`, text(t, sum, res))

	chat := find(t, r, streamService, "Chat")
	both, err := chat.Bidi(within(t))
	require.NoError(t, err)
	for _, word := range []string{"a", "b"} {
		require.NoError(t, both.Send(request(t, chat, `{"text": "`+word+`"}`)))
		msg, err := both.Recv()
		require.NoError(t, err)
		require.JSONEq(t, `{"text":"`+word+`"}`, text(t, chat, msg))
	}
	require.Error(t, both.Send(request(t, sum, `{}`)))
	require.NoError(t, both.CloseSend())
	_, err = both.Recv()
	require.ErrorIs(t, err, io.EOF)

	ctx, cancel := context.WithCancel(within(t))
	both, err = chat.Bidi(ctx)
	require.NoError(t, err)
	cancel()
	_, err = both.Recv()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
}

// The interceptors of the resolver see calls and events by their methods.
func TestInterceptorsSeeCallsAndEvents(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, conn)
	var seen []string
	r := linked(conn, aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) {
			call, _ := aegis.CallFromContext(ctx)
			seen = append(seen, call.Method().FullName()+" "+string(req.ProtoReflect().Descriptor().FullName()))
			return next(ctx, req)
		}
	})))
	do, core := find(t, r, probeService, "Do"), find(t, r, eventService, "Core")
	res, err := do.Call(within(t), request(t, do, `{"text": "x"}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"text":"x"}`, text(t, do, res))
	_, err = core.Publish(within(t), core.NewRequest())
	require.NoError(t, err)
	require.Equal(t, []string{"aegistest.v1.ProbeService.Do aegistest.v1.DoRequest", "aegistest.v1.EventService.Core aegistest.v1.CoreRequest"}, seen)

	// An option that does not fit the service is an error of its calls.
	do = find(t, linked(conn, aegis.UntilReplies(1).(aegis.ClientOption)), probeService, "Do")
	_, err = do.Call(within(t), do.NewRequest())
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

// A response that does not fit the descriptors is an error of the call.
func TestResponseThatCannotBeRead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	_, err := conn.NATS().QueueSubscribe("aegis.call.aegistest.v1.ProbeService.Do", "aegis", func(msg *natsMsg) {
		_ = msg.Respond([]byte{0x0a, 0x02, 0xff, 0xfe}) // the text is not UTF-8
	})
	require.NoError(t, err)
	do := find(t, linked(conn), probeService, "Do")
	_, err = do.Call(within(t), do.NewRequest())
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err))
	require.ErrorContains(t, err, "is no valid aegistest.v1.DoResponse")
	require.NotErrorIs(t, err, io.EOF)
}
