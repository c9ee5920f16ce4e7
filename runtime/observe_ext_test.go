package aegis_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// usageKnown is whether health knows what a process uses.
const usageKnown = runtime.GOOS == "linux"

// codes fails as its request says.
func codes() probe {
	return probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		switch req.GetText() {
		case "":
			return &testv1.DoResponse{}, nil
		case "panic":
			panic("as asked")
		default:
			return nil, aegis.NewError(aegis.CodeNotFound, req.GetText())
		}
	}}
}

// makeCalls makes 20 calls: 17 are well, 2 are not found, 1 panics.
func makeCalls(t *testing.T, conn *aegis.Conn) {
	t.Helper()
	client := newClient(t, conn)
	for i := range 20 {
		text := map[int]string{3: "gone", 7: "gone", 11: "panic"}[i]
		_, err := client.Do(t.Context(), doRequest(text))
		require.Equal(t, text != "", err != nil)
	}
}

func checkFigures(t *testing.T, s health.Stats) {
	t.Helper()
	require.EqualValues(t, 20, s.Requests)
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeNotFound): 2, health.Code(aegis.CodeInternal): 1}, s.Errors)
	require.InDelta(t, 15, s.ErrorPercent(), 0)
	require.Positive(t, s.PerMinute)
	require.Zero(t, s.InFlight)
	l := s.Latency
	require.NotNil(t, l)
	require.Positive(t, l.Min)
	require.True(t, l.Min <= l.P50 && l.P50 <= l.P90 && l.P90 <= l.P99 && l.P99 <= l.Max, l)
}

func TestFiguresAreInTheRegistryAndInMicro(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serve(t, conn, codes(), aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	makeCalls(t, another(t, conn))

	var report health.Report
	eventually(t, "a heartbeat tells", func() bool {
		instances, err := conn.Instances(t.Context(), probeName)
		require.NoError(t, err)
		require.Len(t, instances, 1)
		var ok bool
		report, ok = instances[0].Health()
		return ok && report.Requests == 20 && (report.Usage.CPUPercent != nil || !usageKnown)
	})
	checkFigures(t, report.Stats)
	require.Nil(t, report.Methods, "heartbeats are small")
	require.Nil(t, report.Spread)
	require.Equal(t, usageKnown, report.Usage.MemoryBytes > 0)
	require.LessOrEqual(t, report.Score, 70.0, "15 % errors cost 30")
	require.NotEmpty(t, report.Grade)

	stats := askMicro[micro.Stats](t, plain(t, conn), micro.StatsVerb, microProbe, "", 1)[0]
	one, err := health.DecodeReport(stats.Endpoints[0].Data)
	require.NoError(t, err)
	checkFigures(t, one.Stats)
	require.Equal(t, report.Grade, one.Grade)
	require.EqualValues(t, 20, one.Spread.Requests())
	require.Equal(t, 20, stats.Endpoints[0].NumRequests)
	require.Equal(t, 3, stats.Endpoints[0].NumErrors)
	two, err := health.DecodeReport(stats.Endpoints[1].Data)
	require.NoError(t, err)
	require.Zero(t, two.Requests, "of a method that was not called")
	require.Equal(t, health.GradeAPlus, two.Grade)

	own, ok := srv.Report(probeName)
	require.True(t, ok)
	checkFigures(t, own.Methods["Do"])
	require.Len(t, own.Methods, 1)
	_, ok = srv.Report("nobody.Service")
	require.False(t, ok)
	for name, recorder := range srv.Recorders() {
		require.Equal(t, probeName, name)
		require.EqualValues(t, 20, recorder.Totals().Requests)
		require.Len(t, recorder.Methods(), 3)
	}
	instances, err := conn.Instances(t.Context(), "nobody.Service")
	require.NoError(t, err)
	require.Empty(t, instances)
	_, ok = aegis.Instance{}.Health()
	require.False(t, ok)
}

// Events are counted by the server that handles them, whosever they are. A failed
// delivery is one that is repeated, and nothing that makes the instance look ill.
func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var failed atomic.Bool
	srv := subscribe(t, conn, handlers{
		Core: func(_ context.Context, ev *testv1.CoreRequest) error {
			if ev.GetText() == "bad" {
				return aegis.NewError(aegis.CodeNotFound, "gone")
			}
			return nil
		},
		Stored: func(context.Context, *testv1.StoredRequest) error {
			if failed.CompareAndSwap(false, true) {
				panic("oops")
			}
			return nil
		},
	}, nil, aegis.EachInstance())
	pub := newPublisher(t, conn)
	for _, text := range []string{"bad", "good"} {
		require.NoError(t, pub.Core(t.Context(), &testv1.CoreRequest{Text: text}))
	}
	require.NoError(t, conn.NATS().Publish("aegis.evt.aegistest.v1.EventService.Core", []byte("not protobuf")))
	mustStore(t, pub, "x")
	recorders := maps.Collect(srv.EventRecorders())
	require.Len(t, recorders, 1)
	events := recorders["aegistest.v1.EventService"]
	require.Len(t, events.Methods(), 2)
	eventually(t, "they are counted", func() bool { return events.Totals().Requests == 5 })
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeNotFound): 1, health.Code(aegis.CodeInvalidArgument): 1},
		events.Method("Core").Totals().Errors)
	require.EqualValues(t, 3, events.Method("Core").Totals().Requests)
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeInternal): 1}, events.Method("Stored").Totals().Errors)
	require.Zero(t, events.Method("Stored").InFlight())
	_, ok := srv.Report("aegistest.v1.EventService")
	require.False(t, ok, "it is not served here")
}

// Each attempt of a command is a request of the instance that works it.
func TestCommandsAreCounted(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var d diary
	srv := worker(t, conn, jobs{work: func(ctx context.Context, _ *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if d.notef("tried"); attemptOf(ctx) == 1 {
			return nil, errWrong
		}
		return &testv1.WorkResponse{}, nil
	}})
	mustResult(t, send(t, newJobClient(t, conn), "x"))
	eventually(t, "both attempts are counted", func() bool { return statsOf(t, srv, jobService, "Work").Requests == 2 })
	work := statsOf(t, srv, jobService, "Work")
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeUnknown): 1}, work.Errors)
	require.Zero(t, work.InFlight)
	require.Equal(t, 2, d.count("tried"))
	require.Empty(t, maps.Collect(srv.EventRecorders()))
}

// statsOf returns the figures of a method of the one service of srv.
func statsOf(t *testing.T, srv *aegis.Server, service, method string) health.Stats {
	t.Helper()
	report, ok := srv.Report(service)
	require.True(t, ok)
	return report.Methods[method]
}

func TestWhatIsRefusedIsNoError(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serve(t, conn, probe{})
	client := newClient(t, conn)
	srv.Suspect(true)
	_, err := client.Do(t.Context(), doRequest(""), aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonStale, asError(t, err).Reason())
	srv.Suspect(false)
	require.Equal(t, health.Stats{Refused: map[string]uint64{"STALE": 1}}, statsOf(t, srv, probeName, "Do"))

	nc := plain(t, conn)
	_, err = nc.Request(doSubject, []byte("\xff"), patience)
	require.NoError(t, err)
	eventually(t, "it is counted", func() bool { return statsOf(t, srv, probeName, "Do").Requests == 1 })
	s := statsOf(t, srv, probeName, "Do")
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeInvalidArgument): 1}, s.Errors, "one that cannot be read")
	require.Zero(t, s.InFlight)

	srv.Expire()
	_, err = client.Get(t.Context(), getRequest(""), aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonStopping, asError(t, err).Reason())
	require.Equal(t, map[string]uint64{"STOPPING": 1}, statsOf(t, srv, probeName, "Get").Refused)
}

func TestOverloadAndInFlightAreCounted(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	h := &holder{release: make(chan struct{})}
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBoundedServiceServer(srv, bounded{h.hold})
	})
	client := newBoundedClient(t, conn)
	var held []<-chan result[*testv1.HoldResponse]
	for range 4 {
		held = append(held, async(func() (*testv1.HoldResponse, error) { return client.Hold(t.Context(), &testv1.HoldRequest{}) }))
	}
	eventually(t, "four run", func() bool { return h.running.Load() == 4 })
	_, err := client.Hold(t.Context(), &testv1.HoldRequest{}, aegis.MaxAttempts(1))
	require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
	const boundedName = "aegistest.v1.BoundedService"
	s := statsOf(t, srv, boundedName, "Hold")
	require.EqualValues(t, 4, s.InFlight)
	require.Zero(t, s.Requests)
	require.Equal(t, map[string]uint64{"OVERLOADED": 1}, s.Refused)
	close(h.release)
	for _, c := range held {
		require.NoError(t, receive(t, "a reply", c).err)
	}
	eventually(t, "all are counted", func() bool { return statsOf(t, srv, boundedName, "Hold").Requests == 4 })
	require.Zero(t, statsOf(t, srv, boundedName, "Hold").InFlight)
}

// A standby refuses what only the leader does.
func TestNotActiveIsCounted(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	b := stand(t, n, &desk{name: "b"})
	_, err := plain(t, b.conn).Request("aegis.inst.b."+orderName+".PlaceOrder", nil, patience)
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"NOT_ACTIVE": 1}, statsOf(t, b.srv, orderName, "PlaceOrder").Refused)
}

// Somebody listens to everything: the record says so.
func TestHiddenNoRespondersShowInTheRegistry(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	spy := spyOn(t, conn)
	srv := serve(t, conn, probe{}, aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat))
	eventually(t, "the record says so", func() bool { return recordOf(t, conn, "a").NoRespondersHidden })
	instances, err := conn.Instances(t.Context(), probeName)
	require.NoError(t, err)
	require.True(t, instances[0].NoRespondersHidden)
	require.False(t, instances[0].Unhealthy)
	spy.leave(t)
	srv.ProbeVoid()
	eventually(t, "the record says that it is over", func() bool { return !recordOf(t, conn, "a").NoRespondersHidden })
}

// However many methods, codes and findings there are.
func TestHeartbeatsAreSmall(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	beats := standInFor(t, conn, "aegis.beat."+probeName+".a", unanswered)
	opts := []aegis.ServerOption{aegis.WithInstance("a"), aegis.WithHeartbeat(quickBeat)}
	for n := range 50 {
		opts = append(opts, aegis.WithCheck(fmt.Sprint("check", n), func(context.Context) health.Result {
			return health.Result{Unhealthy: true, Reason: strings.Repeat("<\x00>", 10_000)}
		}))
	}
	serve(t, conn, codes(), opts...)
	makeCalls(t, another(t, conn))
	eventually(t, "a heartbeat with the calls", func() bool {
		for _, msg := range beats.all() {
			b, err := registry.DecodeBeat(probeName, "a", msg.Data)
			require.NoError(t, err)
			require.NotNil(t, b.Metrics)
			require.LessOrEqual(t, len(b.Metrics), health.MaxReport)
			r, err := health.DecodeReport(b.Metrics)
			require.NoError(t, err)
			require.True(t, r.Unhealthy)
			if r.Requests == 20 {
				require.NotEmpty(t, r.Findings)
				return true
			}
		}
		return false
	})
}

// What is kept does not grow with the calls, and counting allocates nothing.
func TestCountingTakesConstantMemory(t *testing.T) {
	conn := connect(t)
	srv := serve(t, conn, codes())
	makeCalls(t, conn)
	for _, recorder := range srv.Recorders() {
		m := recorder.Method("Do")
		now := time.Now()
		require.Zero(t, testing.AllocsPerRun(100_000, func() {
			m.Begin()
			m.End(now, time.Millisecond, 5)
			m.Refuse(now, health.RefusedOverloaded)
		}))
		require.Len(t, recorder.Methods(), 3, "names come from the proto alone")
	}
	_, err := plain(t, conn).Request("aegis.inst."+srv.Instance()+"."+probeName+".Invented", nil, patience)
	require.NoError(t, err)
	for _, recorder := range srv.Recorders() {
		require.Len(t, recorder.Methods(), 3)
	}
}
