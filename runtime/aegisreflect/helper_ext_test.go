package aegisreflect_test

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/internal/descset"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
)

// patience is for what should come at once, on a machine that has other things to do.
const patience = 20 * time.Second

const (
	probeService   = "aegistest.v1.ProbeService"
	streamService  = "aegistest.v1.StreamService"
	eventService   = "aegistest.v1.EventService"
	jobService     = "aegistest.v1.JobService"
	accountService = "aegistest.v1.AccountService"
)

func silent() aegis.LoggerOption { return aegis.WithLogger(slog.New(slog.DiscardHandler)) }

// connect starts a NATS server and returns a connection that logs nothing.
func connect(t testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	return aegistest.Connect(t, append([]aegis.ConnOption{silent()}, opts...)...)
}

// another returns a further connection to the NATS server of conn.
func another(t testing.TB, conn *aegis.Conn, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	other, err := aegis.Connect(t.Context(), conn.NATS().ConnectedUrl(), append([]aegis.ConnOption{silent()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close(context.Background())) })
	return other
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a server until the test ends.
func serve(t testing.TB, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, register, opts...)
}

// run runs a server until stop is called.
func run(t testing.TB, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) (stop func()) {
	t.Helper()
	srv, err := aegis.NewServer(conn, opts...)
	require.NoError(t, err)
	require.NoError(t, register(srv))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	eventually(t, "the server runs", func() bool { return srv.State() == aegis.StateRunning })
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-done)
		})
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits until something is the case.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}

// find returns a service, and the method that is asked for.
func find(t testing.TB, r *aegisreflect.Resolver, service, method string) *aegisreflect.Method {
	t.Helper()
	s, err := r.Service(within(t), service)
	require.NoError(t, err)
	m, err := s.Method(method)
	require.NoError(t, err)
	return m
}

// request makes a request of JSON.
func request(t testing.TB, m *aegisreflect.Method, text string) *dynamicpb.Message {
	t.Helper()
	req, err := m.Request([]byte(text))
	require.NoError(t, err)
	return req
}

// text returns a message as JSON.
func text(t testing.TB, m *aegisreflect.Method, msg proto.Message) string {
	t.Helper()
	line, err := m.Service().JSON(msg)
	require.NoError(t, err)
	return string(line)
}

func aegisError(t testing.TB, err error) *aegis.Error {
	t.Helper()
	var e *aegis.Error
	require.ErrorAs(t, err, &e)
	return e
}

// encoded returns the descriptors of a service of the test's proto.
func encoded(t testing.TB, service protoreflect.ServiceDescriptor, comments ...descset.Comment) *descset.Set {
	t.Helper()
	set, err := descset.Of(service, comments...)
	require.NoError(t, err)
	return set
}

func probeDescriptor() protoreflect.ServiceDescriptor {
	return testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService")
}

// liar answers requests for descriptors in place of a server. All fields may change while it
// does, under its lock.
type liar struct {
	mu      sync.Mutex
	data    []byte
	hash    string // in its answers; that of the data if ""
	size    string // in its answers; that of the data if ""
	slice   int    // the most that an answer has; 0: all
	answer  func(offset int) *nats.Msg
	asked   []string // the last tokens of the subjects, and the offsets
	stopped func()
}

// lie answers requests for the descriptors of a service.
func lie(t testing.TB, conn *aegis.Conn, service string, l *liar) {
	t.Helper()
	subject := wire.NewSubjects(conn.Namespace()).Descriptors(service, "*")
	sub, err := conn.NATS().QueueSubscribe(subject, wire.Queue, l.handle)
	require.NoError(t, err)
	require.NoError(t, conn.NATS().Flush())
	l.stopped = func() { _ = sub.Unsubscribe(); _ = conn.NATS().Flush() }
	t.Cleanup(l.stopped)
}

func (l *liar) handle(msg *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	req, _ := wire.DecodeDescriptorsRequest(msg.Data)
	offset := int(req.Offset)
	token := msg.Subject[len(msg.Subject)-min(len(msg.Subject), 3):]
	if token != wire.AnyDescriptors {
		token = "hash"
	}
	l.asked = append(l.asked, token+" "+strconv.Itoa(offset))
	if l.answer != nil {
		if a := l.answer(offset); a != nil {
			_ = msg.RespondMsg(a)
		}
		return
	}
	hash, size := l.hash, l.size
	if hash == "" {
		set, err := descset.Decode(l.data, "")
		if err == nil {
			hash = set.Hash()
		}
	}
	if size == "" {
		size = strconv.Itoa(len(l.data))
	}
	part := l.data[min(offset, len(l.data)):]
	if l.slice > 0 {
		part = part[:min(len(part), l.slice)]
	}
	_ = msg.RespondMsg(&nats.Msg{Data: part, Header: nats.Header{wire.HeaderDescriptors: {hash}, wire.HeaderDescriptorsSize: {size}}})
}

func (l *liar) requests() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.asked...)
}

func (l *liar) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

type natsMsg = nats.Msg
