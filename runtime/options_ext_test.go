package aegis_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// withOptions is a service as it would be with other options. Methods that are not
// named keep theirs.
func withOptions(t testing.TB, file protoreflect.FileDescriptor, service string, opts *aegisv1.ServiceOptions, methods map[string]*aegisv1.MethodOptions) protoreflect.ServiceDescriptor {
	t.Helper()
	return nextVersion(t, file, service, func(s *descriptorpb.ServiceDescriptorProto) {
		s.Options = &descriptorpb.ServiceOptions{}
		proto.SetExtension(s.Options, aegisv1.E_Service, opts)
		for name, m := range methods {
			findMethod(t, s, name).Options = methodOptions(m)
		}
	})
}

func probeWith(t testing.TB, opts *aegisv1.ServiceOptions, methods map[string]*aegisv1.MethodOptions) protoreflect.ServiceDescriptor {
	t.Helper()
	return withOptions(t, testv1.File_aegistest_v1_testing_proto, "ProbeService", opts, methods)
}

// leadingProbe is a probe that may lead.
type leadingProbe struct{ probe }

func (leadingProbe) OnLeading(context.Context, aegis.Term) error { return nil }

// probeClient calls a ProbeService of other options.
type probeClient struct {
	do  *aegis.UnaryMethod[testv1.DoRequest, testv1.DoResponse]
	get *aegis.UnaryMethod[testv1.GetRequest, testv1.GetResponse]
}

func newProbeClient(t testing.TB, conn *aegis.Conn, desc protoreflect.ServiceDescriptor) probeClient {
	t.Helper()
	c, err := aegis.NewClient(conn, desc)
	require.NoError(t, err)
	return probeClient{
		do:  aegis.NewUnaryMethod[testv1.DoRequest, testv1.DoResponse](c, "Do"),
		get: aegis.NewUnaryMethod[testv1.GetRequest, testv1.GetResponse](c, "Get"),
	}
}

func serveProbe(t testing.TB, conn *aegis.Conn, desc protoreflect.ServiceDescriptor, name string, p probe) {
	t.Helper()
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegis.RegisterService(srv, desc, leadingProbe{p}, []aegis.Handler[leadingProbe]{
			aegis.UnaryHandler("Do", leadingProbe.Do), aegis.UnaryHandler("Get", leadingProbe.Get), aegis.UnaryHandler("Quick", leadingProbe.Quick),
			aegis.LeadingHandler(leadingProbe.OnLeading),
		})
	}, aegis.WithInstance(name))
}

func TestTimeoutOfTheServiceIsThatOfItsMethods(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := probeWith(t, &aegisv1.ServiceOptions{Timeout: durationOf(time.Hour)}, map[string]*aegisv1.MethodOptions{"Get": {Timeout: durationOf(3 * time.Hour)}})
	left := make(chan time.Duration, 1)
	tell := func(ctx context.Context) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
	}
	serveProbe(t, conn, desc, "a", probe{
		do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
			tell(ctx)
			return &testv1.DoResponse{}, nil
		},
		get: func(ctx context.Context, _ *testv1.GetRequest) (*testv1.GetResponse, error) {
			tell(ctx)
			return &testv1.GetResponse{}, nil
		},
	})
	client := newProbeClient(t, conn, desc)
	_, err := client.do.Call(t.Context(), doRequest(""))
	require.NoError(t, err)
	require.InDelta(t, 1, receive(t, "the handler's deadline", left).Hours(), 0.5)
	_, err = client.get.Call(t.Context(), getRequest(""))
	require.NoError(t, err)
	require.InDelta(t, 3, receive(t, "the handler's deadline", left).Hours(), 0.5, "a method's own")
}

func TestDefaultPatternMayBeSticky(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := probeWith(t, &aegisv1.ServiceOptions{DefaultPattern: &aegisv1.ServiceOptions_LoadBalanced{LoadBalanced: &aegisv1.LoadBalanced{StickyField: "text"}}}, nil)
	for _, name := range []string{"a", "b", "c"} {
		serveProbe(t, conn, desc, name, probe{})
	}
	shows(t, conn, probeName, "a RUNNING", "b RUNNING", "c RUNNING")
	client := newProbeClient(t, conn, desc)
	instances := map[string]bool{}
	for key := range 30 {
		of := map[string]bool{}
		for range 5 {
			res, err := client.do.Call(t.Context(), doRequest(strconv.Itoa(key)))
			require.NoError(t, err)
			of[res.GetInstanceName()], instances[res.GetInstanceName()] = true, true
		}
		require.Len(t, of, 1, "calls of a key go to one instance")
	}
	require.Greater(t, len(instances), 1, "other keys to others")
}

// leaderRecord is what the leader of a group has written.
type leaderRecord struct {
	Lease  int64 `json:"lease_ms"`
	Window int64 `json:"window_ms"`
}

func readLeaderRecord(t testing.TB, conn *aegis.Conn, service, group string) (r leaderRecord) {
	t.Helper()
	stream, err := jetStream(t, conn).Stream(t.Context(), "KV_aegis-leaders")
	require.NoError(t, err)
	msg, err := stream.GetLastMsgForSubject(t.Context(), "$KV.aegis-leaders."+service+"."+group+".*")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(msg.Data, &r))
	return r
}

func TestDefaultPatternMayBeSingleActive(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := probeWith(t, &aegisv1.ServiceOptions{
		DefaultPattern: &aegisv1.ServiceOptions_SingleActive{SingleActive: &aegisv1.SingleActive{Group: "boss"}},
		Election: &aegisv1.Election{
			Lease: durationOf(700 * time.Millisecond), ActWindow: durationOf(120 * time.Millisecond), ProbeInterval: durationOf(25 * time.Millisecond),
		},
	}, map[string]*aegisv1.MethodOptions{"Get": {Pattern: &aegisv1.MethodOptions_LoadBalanced{LoadBalanced: &aegisv1.LoadBalanced{}}}})
	serveProbe(t, conn, desc, "a", probe{})
	client := newProbeClient(t, conn, desc)
	ctx, call := aegis.NewCall(t.Context())
	_, err := client.do.Call(ctx, doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "boss", call.Term().Group)
	require.Equal(t, leaderRecord{700, 120}, readLeaderRecord(t, conn, probeName, "boss"))
	ctx, call = aegis.NewCall(t.Context())
	_, err = client.get.Call(ctx, getRequest(""))
	require.NoError(t, err)
	require.Zero(t, call.Term(), "a method that says load balanced is")
}

func TestPresetsDecideTheLease(t *testing.T) {
	t.Parallel()
	for preset, lease := range map[aegisv1.Election_Preset]int64{ // the third takes long
		aegisv1.Election_PRESET_BALANCED: 2000, aegisv1.Election_PRESET_AGGRESSIVE: 1000,
	} {
		t.Run(preset.String(), func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			desc := probeWith(t, &aegisv1.ServiceOptions{Election: &aegisv1.Election{Preset: preset}}, map[string]*aegisv1.MethodOptions{
				"Do": {Pattern: &aegisv1.MethodOptions_SingleActive{SingleActive: &aegisv1.SingleActive{}}},
			})
			serveProbe(t, conn, desc, "a", probe{})
			_, err := newProbeClient(t, conn, desc).do.Call(t.Context(), doRequest(""))
			require.NoError(t, err)
			require.Equal(t, leaderRecord{lease, 100}, readLeaderRecord(t, conn, probeName, "default"))
		})
	}
}

func eventsWith(t testing.TB, storage *aegisv1.Storage, methods map[string]*aegisv1.MethodOptions) protoreflect.ServiceDescriptor {
	t.Helper()
	return withOptions(t, testv1.File_aegistest_v1_events_proto, "EventService", &aegisv1.ServiceOptions{EventStorage: storage}, methods)
}

func jobsWith(t testing.TB, storage *aegisv1.Storage, methods map[string]*aegisv1.MethodOptions) protoreflect.ServiceDescriptor {
	t.Helper()
	return withOptions(t, testv1.File_aegistest_v1_commands_proto, "JobService", &aegisv1.ServiceOptions{CommandStorage: storage}, methods)
}

func publishStored(t testing.TB, conn *aegis.Conn, desc protoreflect.ServiceDescriptor) error {
	t.Helper()
	pub, err := aegis.NewPublisher(conn, desc)
	require.NoError(t, err)
	_, err = aegis.NewDurableEvent[testv1.StoredRequest](pub, "Stored").Publish(t.Context(), stored("x"))
	return err
}

func sendWork(t testing.TB, conn *aegis.Conn, desc protoreflect.ServiceDescriptor) (*workCommand, error) {
	t.Helper()
	c, err := aegis.NewClient(conn, desc)
	require.NoError(t, err)
	return aegis.NewCommandMethod[testv1.WorkRequest, testv1.WorkResponse](c, "Work").Send(t.Context(), &testv1.WorkRequest{})
}

func streamConfig(t testing.TB, conn *aegis.Conn, name string) jetstream.StreamConfig {
	t.Helper()
	stream, err := jetStream(t, conn).Stream(t.Context(), name)
	require.NoError(t, err)
	return stream.CachedInfo().Config
}

func TestStorageOfTheProto(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	require.NoError(t, publishStored(t, conn, eventsWith(t, &aegisv1.Storage{
		Replicas: proto.Uint32(1), MaxAge: durationOf(90 * time.Minute), MaxBytes: proto.Uint64(123456), DedupeWindow: durationOf(7 * time.Second),
	}, nil)))
	cfg := streamConfig(t, conn, eventStream)
	require.Equal(t, 90*time.Minute, cfg.MaxAge)
	require.Equal(t, int64(123456), cfg.MaxBytes)
	require.Equal(t, 7*time.Second, cfg.Duplicates)
	_, err := sendWork(t, conn, jobsWith(t, &aegisv1.Storage{DedupeWindow: durationOf(8 * time.Second)}, nil))
	require.NoError(t, err)
	require.Equal(t, 8*time.Second, streamConfig(t, conn, commandStream).Duplicates)

	conn = connect(t)
	three := &aegisv1.Storage{Replicas: proto.Uint32(3)}
	require.ErrorContains(t, publishStored(t, conn, eventsWith(t, three, nil)), "replicas > 1 not supported in non-clustered mode")
	_, err = sendWork(t, conn, jobsWith(t, three, nil))
	require.ErrorContains(t, err, "replicas > 1 not supported in non-clustered mode")
}

// retry has pauses that differ from the defaults, and are short.
func retry() *aegisv1.Retry {
	return &aegisv1.Retry{MaxAttempts: proto.Uint32(4), InitialBackoff: durationOf(20 * time.Millisecond), MaxBackoff: durationOf(30 * time.Millisecond)}
}

// pausesAsSet asserts that what was logged between four attempts fits retry: 20 ms,
// and then not 40 but 30 ms, each varied by a fifth.
func pausesAsSet(t testing.TB, log *logs) {
	t.Helper()
	said := regexp.MustCompile(`again_in=(\S+)`).FindAllStringSubmatch(log.String(), -1)
	require.Len(t, said, 3)
	for i, want := range []float64{20, 30, 30} {
		pause, err := time.ParseDuration(said[i][1])
		require.NoError(t, err)
		require.InDelta(t, want, pause.Seconds()*1000, want/5)
	}
}

func TestRedeliveryOfTheProto(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := eventsWith(t, nil, map[string]*aegisv1.MethodOptions{"Stored": {Pattern: &aegisv1.MethodOptions_Event{Event: &aegisv1.Event{
		Mode:    &aegisv1.Event_Compete_{Compete: &aegisv1.Event_Compete{Group: "slow"}},
		Durable: true, AckWait: durationOf(77 * time.Second), Redelivery: retry(),
	}}}})
	var log logs
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegis.SubscribeEvents(srv, desc, []aegis.EventHandler{
			aegis.NewEventHandler("Stored", func(context.Context, *testv1.StoredRequest) error { return errWrong }),
		})
	}, log.option())
	consumer, err := jetStream(t, conn).Consumer(t.Context(), eventStream, "g-slow-Stored")
	require.NoError(t, err)
	require.Equal(t, 77*time.Second, consumer.CachedInfo().Config.AckWait)
	require.NoError(t, publishStored(t, conn, desc))
	eventually(t, "it is dead", func() bool { return len(deadLetters(t, conn, "aegistest.v1.EventService")) == 1 })
	require.Equal(t, 4, deadLetters(t, conn, "aegistest.v1.EventService")[0].Attempts)
	pausesAsSet(t, &log)
}

func TestRetryOfCommandsOfTheProto(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := jobsWith(t, nil, map[string]*aegisv1.MethodOptions{"Work": {Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{
		AckWait: durationOf(77 * time.Second), Retry: retry(),
	}}}})
	var log logs
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegis.RegisterService(srv, desc, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) { return nil, errWrong }},
			[]aegis.Handler[jobs]{aegis.UnaryHandler("Work", jobs.Work), aegis.UnaryHandler("Once", jobs.Once)})
	}, log.option())
	stream, err := jetStream(t, conn).Stream(t.Context(), commandStream)
	require.NoError(t, err)
	waits := map[time.Duration]bool{}
	for info := range stream.ListConsumers(t.Context()).Info() {
		waits[info.Config.AckWait] = true
	}
	require.Equal(t, map[time.Duration]bool{77 * time.Second: true, time.Second: true}, waits, "of Work and of Once")
	cmd, err := sendWork(t, conn, desc)
	require.NoError(t, err)
	_, err = outcome(t.Context(), cmd)
	require.Error(t, err)
	dead := deadLetters(t, conn, jobService)
	require.Len(t, dead, 1)
	require.Equal(t, 4, dead[0].Attempts)
	pausesAsSet(t, &log)
}

func TestGroupOfASingleActiveCommand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := withOptions(t, testv1.File_aegistest_v1_commands_proto, "LeaderJobService", &aegisv1.ServiceOptions{}, map[string]*aegisv1.MethodOptions{
		"Arrange": {Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{SingleActive: &aegisv1.SingleActive{Group: "night"}}}},
	})
	var log arrangements
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegis.RegisterService(srv, desc, arranger{name: "a", log: &log}, []aegis.Handler[arranger]{
			aegis.UnaryHandler("Arrange", arranger.Arrange), aegis.UnaryHandler("Tidy", arranger.Tidy), aegis.LeadingHandler(arranger.OnLeading),
		})
	})
	eventually(t, "it leads both groups", func() bool {
		led := map[string]bool{}
		for term := range srv.Leading() {
			led[term.Group] = true
		}
		return led["night"] && led["default"]
	})
}

// What the proto may say, the program may say as well.
func TestMaxConcurrencyHasOneLimit(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	register := func(n uint32, opts ...aegis.ServiceOption) error {
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		return aegis.RegisterService(srv, probeWith(t, &aegisv1.ServiceOptions{MaxConcurrency: proto.Uint32(n)}, nil), probe{}, []aegis.Handler[probe]{
			aegis.UnaryHandler("Do", probe.Do), aegis.UnaryHandler("Get", probe.Get), aegis.UnaryHandler("Quick", probe.Quick),
		}, opts...)
	}
	const most = 1_000_000
	require.NoError(t, register(most))
	require.NoError(t, register(1, aegis.WithMaxConcurrency(most)))
	require.ErrorContains(t, register(most+1), "max_concurrency: 1000001 is out of range; write 1 to 1000000")
	requireInvalid(t, register(1, aegis.WithMaxConcurrency(most+1)), "max concurrency 1000001: use 1 to 1000000")
}
