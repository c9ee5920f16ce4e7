package aegis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

// caller returns the figures of a method at the callers on a connection.
func caller(t testing.TB, conn *aegis.Conn, service, method string) *health.Caller {
	t.Helper()
	for name, callers := range conn.Callers() {
		if name == service {
			return callers.Method(method)
		}
	}
	t.Fatalf("there is no client of %s", service)
	return nil
}

// All clients of a service on a connection count together.
func TestConnectionCountsItsCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	late := make(chan struct{})
	defer close(late)
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	serve(t, another(t, conn), probe{
		do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
			switch req.GetText() {
			case "fails":
				return nil, aegis.NewError(aegis.CodeNotFound, "it is not there")
			case "holds":
				held <- struct{}{}
				<-hold
			case "late":
				<-late
			}
			return &testv1.DoResponse{}, nil
		},
	})
	client, other := newClient(t, conn), newClient(t, conn)
	figures := caller(t, conn, probeName, "Do")
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	_, err = other.Do(t.Context(), doRequest("fails"))
	require.Error(t, err)
	totals := figures.CallerTotals()
	require.EqualValues(t, 2, totals.Requests)
	require.Equal(t, map[health.Code]uint64{5: 1}, totals.Errors)
	require.Zero(t, totals.Unknown, "the error is the handler's own")
	require.Zero(t, totals.Retries+uint64(len(totals.Failed)))

	done := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest("holds")) })
	receive(t, "the handler runs", held)
	require.EqualValues(t, 1, figures.InFlight())
	close(hold)
	require.NoError(t, receive(t, "the reply", done).err)
	require.Zero(t, figures.InFlight())

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Do(ctx, doRequest("late"))
	require.True(t, aegis.MayHaveRun(err))
	require.EqualValues(t, 1, figures.CallerTotals().Unknown)
	require.EqualValues(t, 4, figures.CallerTotals().Requests)
}

func TestRefusedAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.ErrorIs(t, err, aegis.ErrNoResponders)
	totals := caller(t, conn, probeName, "Do").CallerTotals()
	require.EqualValues(t, 1, totals.Requests)
	require.EqualValues(t, 2, totals.Retries)
	require.Equal(t, map[string]uint64{aegis.ReasonNoResponders: 3}, totals.Failed)
	require.Zero(t, totals.Unknown, "nothing has run")
	require.GreaterOrEqual(t, totals.Waited, 25*time.Millisecond, "between the attempts")
}

// A stream is in flight while it is open, and has the code with which it has ended.
func TestStreamsCommandsAndEventsAreCountedAtTheirSender(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, another(t, conn), streams{})
	client := newStreamClient(t, conn)
	figures := caller(t, conn, "aegistest.v1.StreamService", "Chat")
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, figures.InFlight())
	require.Equal(t, 1, conn.Report().Streams)
	require.NoError(t, chat.Close())
	eventually(t, "the stream is counted", func() bool { return figures.InFlight() == 0 && conn.Report().Streams == 0 })
	require.Equal(t, map[health.Code]uint64{health.Code(aegis.CodeCanceled): 1}, figures.CallerTotals().Errors)

	serveTell(t, conn, "one", tell)
	for range newTeller(t, conn).Tell(t.Context(), &testv1.TellRequest{}, aegis.UntilReplies(1)) {
	}
	told := caller(t, conn, "aegistest.v1.BroadcastService", "Tell").Totals()
	require.EqualValues(t, 1, told.Requests)
	require.Empty(t, told.Errors)

	send(t, newJobClient(t, conn), "")
	require.EqualValues(t, 1, caller(t, conn, jobService, "Work").Totals().Requests)
	_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.NoError(t, err)
	require.EqualValues(t, 1, caller(t, conn, "aegistest.v1.EventService", "Stored").Totals().Requests)
}

func TestConnectionCountsItsOutages(t *testing.T) {
	t.Parallel()
	r := startRestartable(t)
	conn := connectTo(t, r.url)
	serve(t, conn, probe{})
	require.Equal(t, health.Connection{Up: true}, conn.Report())
	client := newClient(t, conn)
	_, err := client.Do(t.Context(), doRequest(""))
	require.NoError(t, err)
	r.blink(conn)
	eventually(t, "the outage is over", func() bool { s := conn.Report(); return s.Up && s.Outages == 1 })
	r.down(conn)
	eventually(t, "the outage is seen", func() bool { return !conn.Report().Up })
	call := async(func() (*testv1.DoResponse, error) { return client.Do(t.Context(), doRequest(""), aegis.WaitForReady()) })
	before := conn.Report().Down
	eventually(t, "the outage gets longer", func() bool { return conn.Report().Down > before })
	r.up()
	require.NoError(t, receive(t, "the reply", call).err)
	s := conn.Report()
	require.True(t, s.Up)
	require.EqualValues(t, 2, s.Outages)
	require.Positive(t, caller(t, conn, probeName, "Do").CallerTotals().Waited)
	require.Equal(t, s.Down, conn.Report().Down)
}

// A gap lasts from the first call that finds no leader to the first that one answers.
func TestConnectionCountsTheGapsOfLeaders(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t, silent())
	client := newOrders(t, conn)
	gaps := func() health.LeaderGaps {
		var orders health.LeaderGaps
		for _, g := range conn.Report().Leaders {
			if g.Service == "order.v1.OrderService" {
				orders = g
			}
		}
		return orders
	}
	a := stand(t, n, &desk{name: "a"})
	a.leads(t)
	_, err := place(t, client)
	require.NoError(t, err)
	require.Zero(t, gaps().Gaps, "the first call had to ask who leads, which is no gap")
	require.NoError(t, a.stop())
	var ended atomic.Bool
	call := async(func() (any, error) {
		res, err := place(t, client, aegis.WaitForReady())
		ended.Store(true)
		return &res, err
	})
	eventually(t, "the gap is seen", func() bool { return gaps().Gaps == 1 })
	first := gaps().Lasted
	eventually(t, "the gap gets longer", func() bool { return gaps().Lasted > first })
	require.False(t, ended.Load())
	stand(t, n, &desk{name: "b"}).leads(t)
	require.NoError(t, receive(t, "the reply", call).err)
	over := gaps()
	require.EqualValues(t, 1, over.Gaps)
	require.Equal(t, over, gaps())
}

// What counting adds to a call of 20 µs and more has to be next to nothing.
func BenchmarkCountingACallAtItsCaller(b *testing.B) {
	c := health.NewCallers(time.Now()).Method("Do")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			began := time.Now()
			c.Begin()
			took := time.Since(began)
			c.End(began.Add(took), took, 0)
		}
	})
}
