package aegis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const whoSubject = "aegis.who.order.v1.OrderService.default"

// questions are those who leads, and their answers, as they pass on the bus.
type questions struct {
	*standIn

	mu      sync.Mutex
	answers map[string]int // by reply subject
}

func watchQuestions(t *testing.T, n *aegistest.NATS) *questions {
	t.Helper()
	q := &questions{answers: make(map[string]int)}
	q.standIn = standInFor(t, n.Connect(t), whoSubject, func(int, *nats.Msg) {})
	_, err := q.nc.Subscribe("_INBOX.>", func(msg *nats.Msg) {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.answers[msg.Subject]++
	})
	require.NoError(t, err)
	require.NoError(t, q.nc.Flush())
	return q
}

// answered is how often the questions were answered so far.
func (q *questions) answered() (answers int) {
	replies := make(map[string]bool)
	for _, msg := range q.all() {
		replies[msg.Reply] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for reply := range replies {
		answers += q.answers[reply]
	}
	return answers
}

// While nobody leads, all clients wait for the same: NATS and the candidates must
// not drown in their questions, and a leader that comes serves at once.
func TestWhileNobodyLeadsItIsAskedSeldomAndAnsweredOnce(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	for _, name := range []string{"a", "b", "c"} { // that cannot stand
		stand(t, n, &desk{name: name}, silent(), aegis.WithLeaderBucket(aegis.BucketConfig{NoCreate: true}))
	}
	asked := watchQuestions(t, n)
	began := time.Now()
	client := newOrders(t, n.Connect(t))
	call := async(func() (*orderv1.PlaceOrderResponse, error) { return place(t, client) })
	const wanted, least = 6, (50 + 100 + 200 + 400 + 800) * time.Millisecond // the shortest pauses
	eventually(t, "it is asked again and again", func() bool { return asked.count() >= wanted })
	require.GreaterOrEqual(t, time.Since(began), least, "%d questions", wanted)
	eventually(t, "candidates answer", func() bool { return asked.answered() > 0 })
	require.LessOrEqual(t, asked.answered(), asked.count(), "not all three answer each of the questions")

	leaderStream(t, n, func(*jetstream.StreamConfig) {})
	require.NoError(t, receive(t, "the call that waits for a leader", call).err)
}

// The leader itself answers, however little the others know.
func TestLeaderIsFoundThoughOthersDoNotKnowIt(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	nc := plain(t, n.Connect(t))
	for range 20 { // candidates that are hung
		_, err := nc.QueueSubscribe(whoSubject, "aegis", func(*nats.Msg) {})
		require.NoError(t, err)
	}
	require.NoError(t, nc.Flush())
	eventually(t, "the leader has begun to hear all questions", func() bool {
		_, err := nc.Request(whoSubject, nil, 500*time.Millisecond)
		return err == nil
	})
	for range 20 {
		_, err := nc.Request(whoSubject, nil, patience)
		require.NoError(t, err)
	}
}

// The NATS connection is the program's own, and lives on.
func TestCloseLeavesNothingOnAConnectionOfTheProgram(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	nc := plain(t, n.Connect(t))
	_, err := nc.Request("nobody", nil, patience) // for replies to those nats.go keeps a subscription
	require.ErrorIs(t, err, nats.ErrNoResponders)
	before := nc.NumSubscriptions()
	conn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	client := newOrders(t, conn)
	_, err = place(t, client)
	require.NoError(t, err)
	_, err = conn.Instances(t.Context(), "order.v1.OrderService")
	require.NoError(t, err)
	_, err = client.ReconcileBook(t.Context(), &orderv1.ReconcileBookRequest{})
	require.NoError(t, err)
	pub, err := orderv1aegis.NewOrderServicePublisher(conn)
	require.NoError(t, err)
	event, err := pub.OrderPlacedAsync(t.Context(), &orderv1.OrderPlacedRequest{})
	require.NoError(t, err)
	<-event.Done()
	require.Greater(t, nc.NumSubscriptions(), before)
	require.NoError(t, conn.Close(context.Background()))
	require.Equal(t, before, nc.NumSubscriptions())
	_, err = orderv1aegis.NewOrderServiceClient(conn)
	require.ErrorIs(t, err, aegis.ErrConnClosed)
	require.Equal(t, before, nc.NumSubscriptions())
}

// What never led has nothing to release.
func TestStartThatFailsWarnsOfNoLeadership(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	var log logs
	srv, err := aegis.NewServer(n.Connect(t), aegis.WithInstance("a"), log.option())
	require.NoError(t, err)
	require.NoError(t, orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast))
	require.ErrorIs(t, srv.Run(t.Context()), aegis.ErrInstanceTaken)
	require.NotContains(t, log.String(), "could not be released")
}

// Nor has a standby, nor what is stopped while it starts.
func TestStopOfAServerThatNeverLedWarnsOfNoLeadership(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	stand(t, n, &desk{name: "a"}).leads(t)
	var log logs
	standby := stand(t, n, &desk{name: "b"}, log.option())
	require.NoError(t, standby.stop())
	srv, err := aegis.NewServer(n.Connect(t), aegis.WithInstance("c"), log.option())
	require.NoError(t, err)
	require.NoError(t, orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "c"}, fast))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, srv.Run(ctx))
	require.NotContains(t, log.String(), "could not be released")
}
