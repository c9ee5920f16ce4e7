package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// lookout notes for which methods it is asked, and what it sees of calls.
type lookout struct {
	aegis.InterceptorFunc
	diary

	mu      sync.Mutex
	methods map[string]aegis.Method
	err     error
}

func newLookout() *lookout {
	l := &lookout{methods: map[string]aegis.Method{}}
	l.InterceptorFunc = func(next aegis.UnaryFunc) aegis.UnaryFunc {
		return func(ctx context.Context, req proto.Message) (proto.Message, error) {
			call, _ := aegis.CallFromContext(ctx)
			l.notef("%s %s %s", call.Side(), call.Method().Pattern(), call.Method().Name)
			return next(ctx, req)
		}
	}
	return l
}

func (l *lookout) ForMethod(m aegis.Method, side aegis.Side) (aegis.Interceptor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.methods[side.String()+" "+m.Name] = m
	if m.Name == "Quick" {
		return nil, nil
	}
	return l.InterceptorFunc, l.err
}

func (l *lookout) asked() (names []string) {
	for name := range l.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestAnInterceptorKnowsSideAndPattern(t *testing.T) {
	t.Parallel()
	l := newLookout()
	conn := connect(t)
	var events diary
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}),
			subscribeTo(srv, handlers{Stored: events.stored}, aegis.EachInstance()),
		)
	}, aegis.WithInterceptors(l))
	client := newClient(t, conn, aegis.WithInterceptors(l))
	_, err := client.Get(t.Context(), getRequest(""))
	require.NoError(t, err)
	_, err = client.Quick(t.Context(), quickRequest(""))
	require.NoError(t, err)
	mustStore(t, newPublisher(t, conn, aegis.WithInterceptors(l)), "e")
	sender, err := aegistestv1aegis.NewJobServiceClient(conn, aegis.WithInterceptors(l))
	require.NoError(t, err)
	command, err := sender.Work(t.Context(), &testv1.WorkRequest{})
	require.NoError(t, err)
	_, err = command.Result(t.Context())
	require.NoError(t, err)
	eventually(t, "the subscriber has the event", func() bool { return len(events.all()) > 0 })

	seen := l.all()
	slices.Sort(seen)
	require.Equal(t, []string{
		"client command Work", "client load_balanced Get", "publisher event Stored",
		"server load_balanced Get", "subscriber event Stored", "worker command Work",
	}, seen, "Quick is not intercepted")
	require.Subset(t, l.asked(), []string{"client Do", "client Once", "publisher Core", "server Do", "subscriber Stored", "worker Once"})
	require.NotContains(t, l.asked(), "client Stored", "a client publishes nothing")
}

func TestAMethodSaysWhatTheProtoSays(t *testing.T) {
	t.Parallel()
	l := newLookout()
	conn := connect(t)
	with := aegis.WithInterceptors(l)
	newClient(t, conn, with)
	newPublisher(t, conn, with)
	_, err := aegistestv1aegis.NewJobServiceClient(conn, with)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewLeaderServiceClient(conn, with)
	require.NoError(t, err)
	_, err = aegistestv1aegis.NewBroadcastServiceClient(conn, with)
	require.NoError(t, err)

	get := l.methods["client Get"]
	require.Equal(t, "aegistest.v1.ProbeService.Get", get.FullName())
	require.Equal(t, aegis.PatternLoadBalanced, get.Pattern())
	require.Equal(t, descriptorpb.MethodOptions_NO_SIDE_EFFECTS, get.IdempotencyLevel())
	require.True(t, get.Idempotent)
	require.False(t, get.Durable())
	do := l.methods["client Do"]
	require.Equal(t, descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN, do.IdempotencyLevel())
	require.Equal(t, 5*time.Second, do.Timeout(), "the default")
	method, service := do.Options()
	require.Nil(t, method.GetTimeout(), "as it is written")
	require.Equal(t, "1.2.3", service.GetVersion())

	require.Equal(t, aegis.PatternSingleActive, l.methods["client Lead"].Pattern())
	require.Equal(t, "default", l.methods["client Lead"].Group())
	require.Equal(t, aegis.PatternBroadcast, l.methods["client Tell"].Pattern())
	require.Equal(t, 20*time.Second, l.methods["client Tell"].Timeout())
	require.Equal(t, aegis.PatternEvent, l.methods["publisher Core"].Pattern())
	require.False(t, l.methods["publisher Core"].Durable())
	require.True(t, l.methods["publisher Stored"].Durable())
	require.Equal(t, aegis.PatternCommand, l.methods["client Work"].Pattern())
	require.True(t, l.methods["client Work"].Durable())
	require.Zero(t, l.methods["client Work"].Timeout())

	for want, p := range map[string]aegis.Pattern{
		"load_balanced": aegis.PatternLoadBalanced, "single_active": aegis.PatternSingleActive,
		"broadcast": aegis.PatternBroadcast, "event": aegis.PatternEvent, "command": aegis.PatternCommand,
	} {
		require.Equal(t, want, p.String())
	}
}

func TestAMethodThatIsNotKnownSaysNothing(t *testing.T) {
	t.Parallel()
	_, call := aegis.NewCall(t.Context())
	m := call.Method()
	require.Zero(t, call.Side())
	require.Zero(t, m.Pattern())
	require.Zero(t, m.IdempotencyLevel())
	require.False(t, m.Durable())
	require.Empty(t, m.Group())
	method, service := m.Options()
	require.NotNil(t, method)
	require.NotNil(t, service)
}

func TestAnErrorOfForMethodIsThatOfTheConstructor(t *testing.T) {
	t.Parallel()
	l := newLookout()
	l.err = errors.New("the rules do not compile")
	conn, with := connect(t), aegis.WithInterceptors(l)
	srv, err := aegis.NewServer(conn, with)
	require.NoError(t, err)
	plain, err := aegis.NewServer(conn)
	require.NoError(t, err)
	_, ofClient := aegistestv1aegis.NewProbeServiceClient(conn, with)
	_, ofPublisher := aegistestv1aegis.NewEventServicePublisher(conn, with)
	for name, err := range map[string]error{
		"client": ofClient, "publisher": ofPublisher,
		"server":    aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
		"service":   aegistestv1aegis.RegisterProbeServiceServer(plain, probe{}, with),
		"subscribe": subscribeTo(plain, handlers{Stored: new(diary).stored}, with, aegis.EachInstance()),
	} {
		require.ErrorIs(t, err, l.err, name)
		require.ErrorContains(t, err, "aegis: an interceptor of aegistest.v1.", name)
	}
}

func TestInterceptorsOfSomeMethods(t *testing.T) {
	t.Parallel()
	var r tracer
	conn := connect(t)
	serveWith(t, conn, probe{}, []aegis.ServiceOption{
		r.as("do").ForMethods(aegistestv1aegis.ProbeServiceDoFullName),
		r.as("all"),
		r.as("idempotent").Where(func(m aegis.Method) bool { return m.Idempotent }),
	}, r.as("both").ForMethods(aegistestv1aegis.ProbeServiceDoFullName, aegistestv1aegis.ProbeServiceGetFullName).
		Where(func(m aegis.Method) bool { return !m.Idempotent }))
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.Equal(t, []string{"+both", "+do", "+all", "-all", "-do", "-both"}, r.steps)
	r.steps = nil
	_, err = client.Get(t.Context(), getRequest(""))
	require.NoError(t, err)
	require.Equal(t, []string{"+all", "+idempotent", "-idempotent", "-all"}, r.steps)
}

// A misspelled name would switch an interceptor off, such as one that authenticates.
func TestNamesOfNoMethodAreErrors(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pass := aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc { return next }))
	misspelled := pass.ForMethods(aegistestv1aegis.ProbeServiceDoFullName, "aegistest.v1.ProbeService.Dot")
	event := pass.ForMethods(aegistestv1aegis.EventServiceStoredFullName)
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	_, ofClient := aegistestv1aegis.NewProbeServiceClient(conn, misspelled)
	_, ofPublisher := aegistestv1aegis.NewEventServicePublisher(conn, misspelled)
	_, ofEvents := aegistestv1aegis.NewEventServiceClient(conn, event)
	_, ofNone := aegistestv1aegis.NewProbeServiceClient(conn, pass.ForMethods())
	_, ofNil := aegistestv1aegis.NewProbeServiceClient(conn, pass.Where(nil))
	for name, err := range map[string]error{
		"client": ofClient, "publisher": ofPublisher, "client of events": ofEvents, "no name": ofNone, "no function": ofNil,
		"service":   aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}, misspelled),
		"subscribe": subscribeTo(srv, handlers{Stored: new(diary).stored}, misspelled, aegis.EachInstance()),
	} {
		require.ErrorIs(t, err, aegis.ErrInvalidOption, name)
	}
	require.EqualError(t, ofClient, "aegis: invalid option: ForMethods: aegistest.v1.ProbeService has no method aegistest.v1.ProbeService.Dot to intercept")
	_, err = aegistestv1aegis.NewEventServicePublisher(conn, event)
	require.NoError(t, err)
}

func TestRunChecksTheNamesOfTheServer(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	pass := aegis.WithInterceptors(aegis.InterceptorFunc(func(next aegis.UnaryFunc) aegis.UnaryFunc { return next }))
	for name, known := range map[string]bool{
		"aegistest.v1.ProbeService.Do":     true,
		"aegistest.v1.EventService.Stored": true,
		"aegistest.v1.ProbeService.Dot":    false,
		"aegistest.v1.JobService.Work":     false, // not registered
	} {
		option := pass.ForMethods(name) // the same option for two servers
		for range 2 {
			srv, err := aegis.NewServer(conn, option)
			require.NoError(t, err)
			require.NoError(t, aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}))
			require.NoError(t, subscribeTo(srv, handlers{Stored: new(diary).stored}, aegis.EachInstance()))
			ctx, stop := context.WithCancel(t.Context())
			stop() // Run returns as soon as it has checked
			err = srv.Run(ctx)
			if known {
				require.NoError(t, err, name)
			} else {
				require.ErrorIs(t, err, aegis.ErrInvalidOption, name)
				require.ErrorContains(t, err, fmt.Sprintf("the server has no method %s to intercept", name))
			}
		}
	}
}
