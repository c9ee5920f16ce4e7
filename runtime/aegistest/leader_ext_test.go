package aegistest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	"github.com/aegisrpc/aegis/internal/codegen/golden/singleactive/singleactivev1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const leaderBucket = "KV_aegis-leaders"

// The lease is a minute, and the test would be over before its end.
func TestFirstLeaderLeadsAtOnce(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := aegistest.Start(t, n.Connect(t), orders(desk{}, lease), aegis.WithInstance("a"))
	running := time.Now()
	leader(t, a)
	t.Logf("it leads %v after it has started", time.Since(running))
	aegistest.Serve(t, n.Connect(t), orders(desk{}, lease), aegis.WithInstance("b"))
	first := leader(t, a)
	require.Equal(t, "a", first.Instance())
	require.Equal(t, "a", place(t, newOrders(t, n.Connect(t))))

	// A namespace of its own, and a server through a link, are first ones too.
	ns := aegis.WithNamespace("other")
	leader(t, aegistest.Start(t, n.Link(t).Connect(t, ns), orders(desk{}, lease)))
}

func TestBucketIsMadeAsTheServerWouldMakeIt(t *testing.T) {
	t.Parallel()
	config := func(serve func(n *aegistest.NATS, conn *aegis.Conn, opts aegis.ServerOption)) jetstream.StreamConfig {
		n := aegistest.StartNATS(t)
		conn := n.Connect(t)
		serve(n, conn, aegis.WithLeaderBucket(aegis.BucketConfig{MaxBytes: 1 << 20}))
		var c jetstream.StreamConfig
		eventually(t, "there is the bucket", func() bool {
			s, err := conn.JetStream().Stream(t.Context(), leaderBucket)
			if err == nil {
				c = s.CachedInfo().Config
			}
			return err == nil
		})
		return c
	}
	made := config(func(_ *aegistest.NATS, conn *aegis.Conn, o aegis.ServerOption) {
		aegistest.Serve(t, conn, orders(desk{}, 0), o)
	})
	want := config(func(_ *aegistest.NATS, conn *aegis.Conn, o aegis.ServerOption) {
		run(t, conn, orders(desk{}, 0), o)
	})
	require.Equal(t, want, made)
	require.EqualValues(t, 1<<20, made.MaxBytes)
}

// Wherever another leader could act yet, the first one waits as it does in production.
func TestLeaderThatIsNotTheFirstOneWaits(t *testing.T) {
	t.Parallel()
	records := func(t *testing.T, conn *aegis.Conn) uint64 {
		t.Helper()
		s, err := conn.JetStream().Stream(t.Context(), leaderBucket)
		if err != nil {
			return 0
		}
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		return info.State.LastSeq
	}
	waits := func(t *testing.T, conn *aegis.Conn, i *aegistest.Instance) {
		t.Helper()
		eventually(t, "the vacant record is written, which is waited out", func() bool { return records(t, conn) > 0 })
		for range i.Leading() {
			t.Fatal("it leads")
		}
		record, err := conn.JetStream().Stream(t.Context(), leaderBucket)
		require.NoError(t, err)
		msg, err := record.GetLastMsgForSubject(t.Context(), "$KV.aegis-leaders.>")
		require.NoError(t, err)
		require.Contains(t, string(msg.Data), `"server_id":""`)
		require.Contains(t, string(msg.Data), `"released":false`)
	}
	t.Run("the bucket was deleted", func(t *testing.T) {
		t.Parallel()
		n := aegistest.StartNATS(t)
		conn := n.Connect(t)
		aegistest.Start(t, n.Connect(t), orders(desk{}, lease)).Stop()
		require.NoError(t, conn.JetStream().DeleteStream(t.Context(), leaderBucket))
		waits(t, conn, aegistest.Start(t, conn, orders(desk{}, lease)))
	})
	t.Run("the bucket was deleted, and the group was another program's", func(t *testing.T) {
		t.Parallel()
		n := aegistest.StartNATS(t)
		conn := n.Connect(t)
		aegistest.Start(t, n.Connect(t), func(srv *aegis.Server) error {
			return singleactivev1aegis.RegisterBookServiceServer(srv, book{}, aegis.WithUnimplemented())
		}).Stop()
		require.NoError(t, conn.JetStream().DeleteStream(t.Context(), leaderBucket))
		waits(t, conn, aegistest.Start(t, conn, orders(desk{}, lease)))
		require.EqualValues(t, 1, records(t, conn), "nothing is written in the name of the bucket before")
	})
	t.Run("another program has made the bucket", func(t *testing.T) {
		t.Parallel()
		n := aegistest.StartNATS(t)
		conn := n.Connect(t)
		stop := run(t, conn, orders(desk{}, lease))
		eventually(t, "there is the bucket", func() bool { return records(t, conn) > 0 })
		stop()
		require.NoError(t, conn.JetStream().DeleteStream(t.Context(), leaderBucket))
		_, err := conn.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{
			Name: leaderBucket, Subjects: []string{"$KV.aegis-leaders.>"}, MaxMsgsPerSubject: 1, DenyDelete: true, AllowRollup: true,
		})
		require.NoError(t, err)
		waits(t, conn, aegistest.Start(t, conn, orders(desk{}, lease)))
	})
	t.Run("the record was purged", func(t *testing.T) {
		t.Parallel()
		n := aegistest.StartNATS(t)
		conn := n.Connect(t)
		first := aegistest.Start(t, n.Connect(t), orders(desk{}, lease))
		leader(t, first)
		first.Kill()
		s, err := conn.JetStream().Stream(t.Context(), leaderBucket)
		require.NoError(t, err)
		require.NoError(t, s.Purge(t.Context()))
		before := records(t, conn)
		i := aegistest.Start(t, conn, orders(desk{}, lease))
		eventually(t, "the vacant record is written", func() bool { return records(t, conn) > before })
		waits(t, conn, i)
	})
}

func TestKilledLeaderIsFollowed(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	inside, ended := make(chan struct{}), make(chan struct{})
	all := []*aegistest.Instance{
		aegistest.Start(t, n.Connect(t), orders(desk{inside: inside, ended: ended}, 0), aegis.WithInstance("a")),
	}
	first := leader(t, all...)
	all = append(all, aegistest.Start(t, n.Connect(t), orders(desk{}, 0), aegis.WithInstance("b")))
	client := newOrders(t, n.Connect(t))
	go func() { _, _ = client.PlaceOrder(t.Context(), held()) }()
	closes(t, "the handler runs", inside)
	first.Kill()
	closes(t, "the handler's context ends", ended)
	second := leader(t, all[1])
	require.Equal(t, "b", second.Instance())
	require.Equal(t, "b", place(t, client))
	first.Kill()
	first.Stop() // it has ended, and that is no error
}

func TestKilledLeaderReleasesNothing(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t)
	first := aegistest.Start(t, n.Connect(t), orders(desk{}, lease))
	leader(t, first)
	first.Kill()
	first.Stop()
	s, err := conn.JetStream().Stream(t.Context(), leaderBucket)
	require.NoError(t, err)
	msg, err := s.GetLastMsgForSubject(t.Context(), "$KV.aegis-leaders."+orderv1aegis.OrderServiceName+".>")
	require.NoError(t, err)
	require.Contains(t, string(msg.Data), `"released":false`)
	require.Contains(t, string(msg.Data), first.Instance())

	second := aegistest.Start(t, n.Connect(t), orders(desk{}, 0))
	second.Stop() // and this one has never led, and says so
	for range second.Leading() {
		t.Fatal("it leads")
	}
}

// book is a service with a leader of its own.
type book struct {
	singleactivev1aegis.UnimplementedBookServiceServer
}

func (book) OnLeading(context.Context, aegis.Term) error { return nil }
