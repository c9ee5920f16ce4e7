package aegisreflect_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// An observer misses nothing that is stored while it is cut off, whichever event was the
// last one that it has read.
func TestObserverComesBackAfterAnOutage(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t, silent())
	r := linked(conn)
	stored, core := find(t, r, eventService, "Stored"), find(t, r, eventService, "Core")
	pub, err := aegistestv1aegis.NewEventServicePublisher(n.Connect(t, silent()))
	require.NoError(t, err)
	publish := func(text string) {
		_, err := pub.Stored(within(t), storedEvent(text), aegis.MessageID(text))
		require.NoError(t, err)
	}
	publish("0")
	all, fresh, told := observe(t, stored, aegis.StartAll()), observe(t, stored, aegis.StartNew()), observe(t, core, aegis.StartNew())
	_, got := next(t, stored, all)
	require.JSONEq(t, `{"text":"0"}`, got)
	n.Stop()
	eventually(t, "the outage is noticed", func() bool { return !conn.NATS().IsConnected() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	_, err = aegisreflect.New(conn).Service(ctx, probeService)
	cancel()
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	n.Start(t)
	publish("1")
	for _, o := range []*aegisreflect.Observer{all, fresh} {
		_, got = next(t, stored, o)
		require.JSONEq(t, `{"text":"1"}`, got)
	}
	_, err = core.Publish(within(t), core.NewRequest())
	require.NoError(t, err)
	_, got = next(t, core, told)
	require.Equal(t, "{}", got)
}

// A service is found by many goroutines at once, and is the same for all.
func TestResolverIsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveProbe(t, another(t, conn))
	r := aegisreflect.New(conn)
	found := make([]*aegisreflect.Service, 20)
	var group sync.WaitGroup
	for i := range found {
		group.Go(func() {
			s, err := r.Service(within(t), probeService)
			if err != nil {
				t.Error(err)
				return
			}
			m, err := s.Method("Do")
			if err == nil {
				_, err = m.Call(within(t), m.NewRequest())
			}
			if err != nil {
				t.Error(err)
			}
			found[i] = s
		})
	}
	group.Wait()
	for _, s := range found {
		require.Same(t, found[0], s)
	}
}
