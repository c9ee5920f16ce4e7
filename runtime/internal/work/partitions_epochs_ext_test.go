package work_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

const service = aegistestv1aegis.EventServiceName

// late returns the partitions of the group g as an instance has them that has not heard of any
// change.
func late(t *testing.T, conn *aegis.Conn) *work.Partitions {
	t.Helper()
	in := inside.Of(conn)
	log := in.Layout.EventLog(service)
	want := stores.Want{StreamConfig: jetstream.StreamConfig{Name: wire.EventStream(in.Layout.Namespace, service)}, Log: log}
	var set parts.Set
	return work.NewPartitions(&work.PartitionsConfig{
		Bus: in.Bus, Stores: in.Stores, Event: "Keyed", Count: 4, Keyed: true, Consumer: wire.GroupConsumer("g", "Keyed"), Kept: true,
		Stream: &stores.Stream{Stores: in.Stores, Want: want, Policy: stores.Policy{Create: true, Warn: func(string) {}}},
		Filter: func(epoch, p int) string { return log.Subjects.LogIn(service, "Keyed", epoch, p) },
		Causes: parts.NewCauses(set.New("a test", func() *slog.Logger { return in.Logger })), Found: func(jetstream.Stream) {},
	})
}

// consumers returns the names of the consumers of the stream.
func consumers(t *testing.T, conn *aegis.Conn) (names []string) {
	t.Helper()
	stream, err := conn.JetStream().Stream(t.Context(), wire.EventStream(conn.Namespace(), service))
	require.NoError(t, err)
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	return names
}

func TestConsumersOfFormerPartitionsAreRemovedAndNotMadeAgain(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	handled := make(chan int64, 10)
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Keyed: func(_ context.Context, ev *testv1.KeyedRequest) error {
				handled <- ev.GetNumber()
				return nil
			},
		}, aegis.Compete("g"))
	})
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	publish := func(n int64) {
		t.Helper()
		_, err := pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "a", Number: n})
		require.NoError(t, err)
		select {
		case got := <-handled:
			require.Equal(t, n, got)
		case <-time.After(30 * time.Second):
			t.Fatal("the event was not handled")
		}
	}
	publish(1)
	p := late(t, conn)
	_, err = aegisadmin.New(conn).SetPartitions(t.Context(), service, "Keyed", 2)
	require.NoError(t, err)
	publish(2)

	all := []string{"g-g-Keyed-1_0", "g-g-Keyed-1_1"}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		tidy, err := p.RemoveFormer(t.Context())
		require.NoError(t, err)
		if tidy {
			break
		}
		require.True(t, time.Now().Before(deadline), "not all of the new partitions have a consumer")
	}
	require.ElementsMatch(t, all, consumers(t, conn))
	_, err = p.Open(t.Context(), 0, 1)
	require.ErrorIs(t, err, work.ErrGoneOn)
	require.ElementsMatch(t, all, consumers(t, conn))
}
