package aegis_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestServerRefusesWhatItCannotRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{}, aegis.WithInstance("one"))
	nc := plain(t, conn)
	timeout := func(v string) nats.Header { return nats.Header{wire.HeaderTimeout: {v}} }
	const noTimeout = "is not a number of milliseconds from 1 to 86400000"
	for name, c := range map[string]struct {
		subject string
		header  nats.Header
		body    string
		code    string
		want    string
	}{
		"rubbish bytes":    {doSubject, nil, "\xff\xff\xff", "3", "the request of aegistest.v1.ProbeService.Do is no valid aegistest.v1.DoRequest: "},
		"text for a proto": {doSubject, nil, `{"text":"hi"}`, "3", "is no valid aegistest.v1.DoRequest"},
		"unknown method":   {"aegis.inst.one.aegistest.v1.ProbeService.Nothing", nil, "", "12", "aegis.inst.one.aegistest.v1.ProbeService.Nothing has no such method"},
		"case of a method": {"aegis.inst.one.aegistest.v1.ProbeService.do", nil, "", "12", "has no such method"},
		"timeout 0":        {doSubject, timeout("0"), "", "3", noTimeout},
		"timeout below 0":  {doSubject, timeout("-1"), "", "3", noTimeout},
		"timeout in words": {doSubject, timeout("5s"), "", "3", noTimeout},
		"timeout too long": {doSubject, timeout("86400001"), "", "3", noTimeout},
		"timeout absurd":   {doSubject, timeout(strings.Repeat("9", 5000)), "", "3", `Aegis-Timeout "` + strings.Repeat("9", 64) + `"... ` + noTimeout},
		"timeout with +":   {doSubject, timeout("+5"), "", "3", noTimeout},
		"timeout fraction": {doSubject, timeout("1.5"), "", "3", noTimeout},
	} {
		res, err := nc.RequestMsg(&nats.Msg{Subject: c.subject, Header: c.header, Data: []byte(c.body)}, patience)
		require.NoError(t, err, name)
		require.Equal(t, c.code, res.Header.Get(wire.HeaderServiceErrorCode), name)
		require.Contains(t, res.Header.Get(wire.HeaderServiceError), c.want, name)
		reason := ""
		if c.code == "12" {
			reason = aegis.ReasonNoMethod
		}
		require.Equal(t, reason, res.Header.Get(wire.HeaderReason), name)
	}
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err, "the server goes on serving")
}

func TestAttemptHeaderThatIsNoNumberIsTheFirst(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	attempts := make(chan int, 1)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		attempts <- call.Attempt()
		return &testv1.DoResponse{}, nil
	}})
	nc := plain(t, conn)
	for value, want := range map[string]int{"x": 1, "-3": 1, "0": 1, "99999999999999999999": 1, "7": 7} {
		_, err := nc.RequestMsg(&nats.Msg{Subject: doSubject, Header: nats.Header{wire.HeaderAttempt: {value}}}, patience)
		require.NoError(t, err)
		require.Equal(t, want, <-attempts, value)
	}
}

func TestRequestWithoutAReplySubjectIsDropped(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		t.Error("it must not run")
		return &testv1.DoResponse{}, nil
	}}, log.option(), aegis.WithInstance("one"))
	nc := plain(t, conn)
	require.NoError(t, nc.Publish(doSubject, nil))
	require.NoError(t, nc.Publish("aegis.inst.one.aegistest.v1.ProbeService.Nothing", nil))
	eventually(t, "it is logged", func() bool {
		return log.count("a request without a reply subject is dropped; use nats req, not nats pub") == 2
	})
	_, err := newClient(t, conn).Get(t.Context(), getRequest(""))
	require.NoError(t, err)
}

func TestTooLargeMessagesNameBothSizes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		return &testv1.DoResponse{Data: make([]byte, req.GetWait().AsDuration())}, nil
	}})
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), &testv1.DoRequest{Data: make([]byte, 2_000_000)})
	e := asError(t, err)
	require.Equal(t, aegis.CodeResourceExhausted, e.Code())
	require.Equal(t, aegis.ReasonTooLarge, e.Reason())
	require.Contains(t, e.Message(), "the request takes 2000004 bytes")
	require.Contains(t, e.Message(), "max_payload is 1048576")
	require.False(t, aegis.IsWireError(err))

	req := doRequest("")
	req.Wait = durationOf(1_500_000)
	_, err = client.Do(t.Context(), req)
	e = asError(t, err)
	require.Equal(t, aegis.CodeResourceExhausted, e.Code())
	require.Equal(t, aegis.ReasonTooLarge, e.Reason())
	require.Contains(t, e.Message(), "the response takes 1500004 bytes")
	require.Contains(t, e.Message(), "max_payload is 1048576")
	require.True(t, aegis.IsWireError(err))
}

func TestErrorThatIsTooLargeStillArrives(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		return nil, aegis.NewError(aegis.CodeDataLoss, strings.Repeat("x", 2_000_000))
	}})
	_, err := newClient(t, conn).Do(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err))
	require.Equal(t, strings.Repeat("x", 1024), asError(t, err).Message(), "its beginning")
}

func TestMessagesThatCannotBeMarshalled(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	serve(t, conn, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		return &testv1.DoResponse{Text: "\xff"}, nil
	}}, log.option())
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest("\xff"))
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the request of aegistest.v1.ProbeService.Do cannot be marshalled")
	_, err = client.Do(t.Context(), doRequest(""))
	require.EqualError(t, err, "INTERNAL: the response of aegistest.v1.ProbeService.Do cannot be marshalled")
	require.Equal(t, 1, log.count("a response cannot be marshalled"))
	_, err = client.Get(t.Context(), nil)
	require.NoError(t, err, "a nil request is an empty one")
}

func TestConnectToNobodyFailsFastAndKeepsSecrets(t *testing.T) {
	t.Parallel()
	nats := startRestartable(t)
	host := strings.TrimPrefix(nats.url, "nats://")
	nats.Stop()
	for _, url := range []string{
		"nats://" + host,
		"nats://user:secret@" + host,
		"nats://secret@" + host,
		"user:secret@" + host,
		"nats://user:se%40cret@" + host + ", tls://user:secret@" + host,
		"nats://user:secret@127.0.0.1:notaport",
		"nats://user:a@secret@127.0.0.1:notaport",
		"nats://user:sec/secret@127.0.0.1:1",
		"nats://user:%zzsecret@127.0.0.1:1",
	} {
		start := time.Now()
		_, err := aegis.Connect(t.Context(), url)
		require.Error(t, err, url)
		require.Less(t, time.Since(start), 5*time.Second)
		require.Contains(t, err.Error(), "aegis: connect to NATS at ")
		require.Contains(t, err.Error(), "127.0.0.1:")
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "cret@")
	}
	_, err := aegis.Connect(t.Context(), "nats://"+host)
	require.ErrorContains(t, err, "aegis: connect to NATS at nats://"+host+": no NATS server listens there (connection refused); start one, or give the URL of one")
	require.ErrorContains(t, err, "no servers available for connection", "whoever looks for nats.go's words finds them")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = aegis.Connect(ctx, "nats://"+host)
	require.Error(t, err)
}

func TestNoEchoIsRefusedForServers(t *testing.T) {
	t.Parallel()
	conn := connect(t, aegis.WithNATSOptions(nats.NoEcho()))
	_, err := aegis.NewServer(conn)
	require.ErrorContains(t, err, "NoEcho")
	newClient(t, conn)
}

func TestNothingToWorkOnIsAnError(t *testing.T) {
	t.Parallel()
	_, err := aegis.NewConn(nil)
	require.EqualError(t, err, "aegis: the NATS connection is nil; pass the one that nats.Connect returned, or use aegis.Connect")
	_, err = aegis.NewServer(nil)
	require.EqualError(t, err, "aegis: the connection of a server is nil")
	_, err = aegistestv1aegis.NewProbeServiceClient(nil)
	require.EqualError(t, err, "aegis: the connection of a client is nil")
	err = aegistestv1aegis.RegisterProbeServiceServer(nil, probe{})
	require.EqualError(t, err, "aegis: the server to register with is nil")

	conn := connect(t)
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	err = aegistestv1aegis.RegisterProbeServiceServer(srv, nil)
	require.EqualError(t, err, "aegis: the implementation of aegistest.v1.ProbeService is nil")
	_, err = aegis.NewClient(conn, nil)
	require.ErrorContains(t, err, "descriptor is missing")
	err = aegis.RegisterService(srv, nil, probe{}, nil)
	require.ErrorContains(t, err, "descriptor is missing")

	service := testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService")
	err = aegis.RegisterService[probe](srv, service, probe{}, nil)
	require.EqualError(t, err, "aegis: aegistest.v1.ProbeService has no handler for Do, Get, Quick: "+
		"the generated files of messages and services are of different versions; run buf generate")
	client, err := aegis.NewClient(conn, service)
	require.NoError(t, err)
	_, err = aegis.NewUnaryMethod[testv1.DoRequest, testv1.DoResponse](client, "Removed").Call(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeUnimplemented, aegis.CodeOf(err))
	require.ErrorContains(t, err, "aegistest.v1.ProbeService.Removed is not in the descriptor of the service")
}

func TestUsersConnectionIsLeftAlone(t *testing.T) {
	t.Parallel()
	var log logs
	nc := plain(t, connect(t))
	before := nc.Opts
	conn, err := aegis.NewConn(nc, log.option())
	require.NoError(t, err)
	require.Contains(t, log.String(), "use nats.MaxReconnects(-1)")
	serve(t, conn, probe{})
	_, err = newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Same(t, nc, conn.NATS())
	pointer := func(f any) uintptr { return reflect.ValueOf(f).Pointer() }
	require.Equal(t, pointer(before.AsyncErrorCB), pointer(nc.Opts.AsyncErrorCB))
	require.Equal(t, pointer(before.DisconnectedErrCB), pointer(nc.Opts.DisconnectedErrCB))
	require.Equal(t, pointer(before.ReconnectedCB), pointer(nc.Opts.ReconnectedCB))
	require.Equal(t, pointer(before.ClosedCB), pointer(nc.Opts.ClosedCB))
	subscriptions := nc.NumSubscriptions()
	require.NoError(t, conn.Close(t.Context()))
	require.True(t, nc.IsConnected())
	require.Less(t, nc.NumSubscriptions(), subscriptions)
	closed := plain(t, connect(t))
	closed.Close()
	_, err = aegis.NewConn(closed)
	require.ErrorIs(t, err, aegis.ErrConnClosed)
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	long := strings.Repeat("x", 65)
	connOpts := map[string]aegis.ConnOption{
		`namespace "": use 1 to 32 characters of A-Z a-z 0-9 _`: aegis.WithNamespace(""),
		`namespace "a.b": use`:                                     aegis.WithNamespace("a.b"),
		`namespace "a-b": use`:                                     aegis.WithNamespace("a-b"),
		`namespace ">": use`:                                       aegis.WithNamespace(">"),
		`namespace "` + strings.Repeat("x", 33) + `"`:              aegis.WithNamespace(strings.Repeat("x", 33)),
		"the logger is nil; use slog.New(slog.DiscardHandler)":     aegis.WithLogger((*slog.Logger)(nil)),
		"a NATS option of nil is no option, but this one is wrong": aegis.WithNATSOptions(nil, func(*nats.Options) error { return errWrong }),
	}
	for want, o := range connOpts {
		_, err := aegis.Connect(t.Context(), conn.NATS().ConnectedUrl(), o)
		requireInvalid(t, err, want)
	}
	_, err := aegis.NewConn(conn.NATS(), aegis.WithNATSOptions(nats.Name("x")))
	requireInvalid(t, err, "WithNATSOptions has no effect on a connection that exists; use Connect")
	for want, o := range map[string]aegis.ServerOption{
		`instance "a.b": use 1 to 64 characters of A-Z a-z 0-9 _ -`: aegis.WithInstance("a.b"),
		`instance "a b"`:                       aegis.WithInstance("a b"),
		`instance "*"`:                         aegis.WithInstance("*"),
		`instance "` + long + `"`:              aegis.WithInstance(long),
		"grace period -1ns":                    aegis.WithGracePeriod(-1),
		"the state hook is nil":                aegis.WithStateHook(nil),
		"interceptor 1 is nil":                 aegis.WithInterceptors(aegis.InterceptorFunc(nil), nil),
		"the logger is nil; use slog.New(slog": aegis.WithLogger(nil),
	} {
		_, err := aegis.NewServer(conn, o)
		requireInvalid(t, err, want)
	}
	for want, o := range map[string]aegis.ClientOption{
		"max attempts 0: use 1 to 100":   aegis.MaxAttempts(0),
		"max attempts 101":               aegis.MaxAttempts(101),
		`instance "": use`:               aegis.ToInstance(""),
		`instance "a>"`:                  aegis.ToInstance("a>"),
		"interceptor 0 is nil":           aegis.WithInterceptors(nil...),
		"retry budget -0.1, 0: use":      aegis.WithRetryBudget(-0.1, 0),
		"retry budget NaN, 0":            aegis.WithRetryBudget(nan(), 0),
		"retry budget 101, 0":            aegis.WithRetryBudget(101, 0),
		"retry budget 0, -1":             aegis.WithRetryBudget(0, -1),
		"interceptor 0 is nil, not none": aegis.WithInterceptors(aegis.Interceptor(nil)),
	} {
		_, err := aegistestv1aegis.NewProbeServiceClient(conn, o)
		if want == "interceptor 0 is nil" {
			require.NoError(t, err, "no interceptor is fine")
			continue
		}
		requireInvalid(t, err, strings.TrimSuffix(want, ", not none"))
	}
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	for _, n := range []int{0, -1, 1_000_001} {
		requireInvalid(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, aegis.WithMaxConcurrency(n)), "use 1 to 1000000")
	}
	_, err = newClient(t, conn).Do(t.Context(), doRequest(""), aegis.MaxAttempts(-5))
	requireInvalid(t, err, "max attempts -5")
	require.Equal(t, aegis.CodeInvalidArgument, aegis.CodeOf(err))
}

func requireInvalid(t *testing.T, err error, want string) {
	t.Helper()
	require.ErrorIs(t, err, aegis.ErrInvalidOption, want)
	if want != "a NATS option of nil is no option, but this one is wrong" {
		require.ErrorContains(t, err, want)
	}
}

// publishRaw publishes a message with a header block that nats.go would not write.
func publishRaw(t testing.TB, conn *aegis.Conn, subject, reply, header string, data []byte) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(conn.NATS().ConnectedUrl(), "nats://"))
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB %s %s %d %d\r\n%s%s\r\nPING\r\n",
		subject, reply, len(header), len(header)+len(data), header, data)
	require.NoError(t, err)
	for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "PONG"; {
		require.NotContains(t, lines.Text(), "-ERR")
	}
}

// brokenHeader is that of an error whose text has a line break, as servers in other
// languages may write it.
const brokenHeader = "NATS/1.0\r\nNats-Service-Error: it\nfailed\r\nNats-Service-Error-Code: 13\r\n\r\n"

func TestReplyWhoseHeaderCannotBeReadIsNoSuccess(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	standInFor(t, conn, doSubject, func(_ int, msg *natsMsg) { publishRaw(t, conn, msg.Reply, "", brokenHeader, nil) })
	clientConn := connectTo(t, conn.NATS().ConnectedUrl(), silent())
	_, err := newClient(t, clientConn).Do(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeInternal, aegis.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "the header of the reply cannot be read")
}

func TestRequestWhoseHeaderCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, connectTo(t, conn.NATS().ConnectedUrl(), silent()), probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
		t.Error("it must not run")
		return &testv1.DoResponse{}, nil
	}})
	nc := plain(t, conn)
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	publishRaw(t, conn, doSubject, inbox, brokenHeader, nil)
	msg, err := sub.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(int(aegis.CodeInvalidArgument)), msg.Header.Get(wire.HeaderServiceErrorCode))
	require.Equal(t, "the header of the message cannot be read", msg.Header.Get(wire.HeaderServiceError))
}

// What is stored with such a header is dead: it would run without its metadata.
func TestStoredMessageWhoseHeaderCannotBeReadIsDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	own := connectTo(t, conn.NATS().ConnectedUrl(), silent())
	var d diary
	subscribe(t, own, handlers{
		Stored: d.stored,
		Core:   func(_ context.Context, ev *testv1.CoreRequest) error { d.notef("core %s", ev.GetText()); return nil },
	}, nil, aegis.Compete("g"))
	worker(t, own, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		d.notef("work")
		return &testv1.WorkResponse{}, nil
	}})
	publishRaw(t, conn, "aegis.log.aegistest.v1.EventService.Stored.0", "", brokenHeader, nil)
	publishRaw(t, conn, "aegis.evt.aegistest.v1.EventService.Core", "", brokenHeader, nil)
	publishRaw(t, conn, "aegis.cmd.aegistest.v1.JobService.Work.n.hand.1", "", brokenHeader, nil)
	require.Contains(t, deadOf(t, conn, eventService).Reason, "the header of the message cannot be read")
	require.Contains(t, deadOf(t, conn, jobService).Reason, "the header of the message cannot be read")
	eventually(t, "its result", func() bool {
		_, err := outcome(t.Context(), aegistestv1aegis.JobServiceWorkCommand(conn, "hand.1"))
		return aegis.CodeOf(err) == aegis.CodeInvalidArgument
	})
	mustStore(t, newPublisher(t, conn), "read")
	require.NoError(t, newPublisher(t, conn).Core(t.Context(), &testv1.CoreRequest{Text: "read"}))
	eventually(t, "what can be read is handled", func() bool { return d.count("read") == 1 && d.count("core read") == 1 })
	require.Len(t, d.all(), 2)
}

// An error arrives whatever its metadata, details and text take.
func TestErrorThatIsTooLargeArrivesWithoutAllItHas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte("max_payload: 4096\n"), 0o600))
	conn := aegistest.StartNATSWithConfig(t, path).Connect(t, silent())
	var log logs
	fail := func(ctx context.Context, text, keys int) error {
		call, _ := aegis.CallFromContext(ctx)
		for i := range keys {
			call.ResponseHeader().Set("h"+strconv.Itoa(i), "x")
			call.ResponseTrailer().Set("t"+strconv.Itoa(i), "x")
		}
		return aegis.NewError(aegis.CodeFailedPrecondition, strings.Repeat("w", text))
	}
	serve(t, conn, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		return nil, fail(ctx, len(req.GetText()), int(req.GetWait().AsDuration()))
	}}, log.option())
	serveStreams(t, conn, streams{count: func(ctx context.Context, req *testv1.CountRequest, _ countOut) error {
		return fail(ctx, int(req.GetNumbers()), len(req.GetData()))
	}}, log.option())
	client, stream := newClient(t, conn), newStreamClient(t, conn)
	for _, c := range []struct{ text, keys int }{{10, 10}, {10, 600}, {3500, 0}, {3500, 100}, {100_000, 600}} {
		req := doRequest(strings.Repeat("t", min(c.text, 3500)))
		req.Wait = durationpb.New(time.Duration(c.keys))
		_, err := client.Do(t.Context(), req)
		require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err), "%v: %v", c, err)
		require.True(t, aegis.IsWireError(err))
		in, err := stream.Count(t.Context(), &testv1.CountRequest{Numbers: uint64(c.text), Data: make([]byte, c.keys)})
		require.NoError(t, err)
		_, err = in.Recv()
		if c.keys < 600 { // else the header, which comes first, is too large
			require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err), "%v: %v", c, err)
		}
		require.True(t, aegis.IsWireError(err), "%v: %v", c, err)
	}
	require.Positive(t, log.count("an error was too large for a message of NATS"))
}
