package aegiskeda_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func publish(t *testing.T, conn *aegis.Conn, n int) {
	t.Helper()
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	for i := range n {
		_, err = pub.Stored(t.Context(), &testv1.StoredRequest{Text: "stored"})
		require.NoError(t, err)
		_, err = pub.Keyed(t.Context(), &testv1.KeyedRequest{Key: "key" + strconv.Itoa(i)})
		require.NoError(t, err)
	}
}

// subscribe runs a subscriber to the stored events that takes all of them from the first on.
func subscribe(t *testing.T, conn *aegis.Conn, handled chan<- struct{}) (stop func()) {
	t.Helper()
	return run(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: func(context.Context, *testv1.StoredRequest) error { handled <- struct{}{}; return nil },
			Keyed:  func(context.Context, *testv1.KeyedRequest) error { handled <- struct{}{}; return nil },
		}, aegis.Compete("store"), aegis.StartFrom(aegis.StartAll()))
	})
}

func TestLagOfAGroup(t *testing.T) {
	t.Parallel()
	conn := aegistest.Connect(t)
	c := serve(t, conn)
	c.becomes(event("Stored", "store"), 0, false)
	publish(t, conn, 20)
	// The group was never there: one instance is to make it.
	c.becomes(event("Stored", "store"), 1, true)
	c.becomes(event("Keyed", "store"), 1, true)

	handled := make(chan struct{}, 1000)
	stop := subscribe(t, conn, handled)
	for range 40 {
		receive(t, handled)
	}
	c.becomes(event("Stored", "store"), 0, false)
	c.becomes(event("Keyed", "store"), 0, false)
	stop()
	told := c.watch(event("Keyed", "store"))
	require.False(t, receive(t, told))
	publish(t, conn, 30)
	require.True(t, receive(t, told))
	c.becomes(event("Stored", "store"), 30, true)
	c.becomes(event("Keyed", "store"), 30, true)
	c.becomes(event("Keyed", "another"), 1, true)
}
