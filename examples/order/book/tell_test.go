package book

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const tellDeadline = 30 * time.Second

func TestNextLeaderTellsWhatTheLastOneLeftUntold(t *testing.T) {
	conn := aegistest.Connect(t)
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	stored, err := orderv1aegis.NewOrderServicePublisher(conn)
	require.NoError(t, err)

	first := begin(t, js, 4)
	place(t, first, "a")
	place(t, first, "line\nbreak")
	place(t, first, "c")
	broken := &publisher{OrderServicePublisher: stored, refuse: "c"}
	tellUntil(t, first, broken, 2)
	require.Equal(t, []string{"a stored", "line\nbreak stored", "c refused"}, broken.calls[:3])
	place(t, first, "d")

	// The message of d says how far the first leader came.
	next := begin(t, js, 5)
	events := &publisher{OrderServicePublisher: stored}
	tellUntil(t, next, events, 4)
	require.Equal(t, []string{"c stored", "d stored"}, events.calls)

	// Nothing was written since: it is told again, and stored once.
	again := &publisher{OrderServicePublisher: stored}
	tellUntil(t, begin(t, js, 6), again, 4)
	require.Equal(t, []string{"c was there", "d was there"}, again.calls)
}

// tellUntil tells until so many orders are told.
func tellUntil(t *testing.T, l *ledger, events *publisher, told uint64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.tell(ctx, events)
	}()
	require.Eventually(t, func() bool { return l.published.Load() == told }, tellDeadline, time.Millisecond)
	cancel()
	<-done
}

// publisher takes notes, and refuses one order.
type publisher struct {
	orderv1aegis.OrderServicePublisher
	refuse string
	calls  []string
}

func (p *publisher) OrderPlaced(ctx context.Context, ev *orderv1.OrderPlacedRequest, opts ...aegis.PublishOption) (*aegis.PubAck, error) {
	id := ev.GetOrder().GetId()
	if id == p.refuse {
		p.calls = append(p.calls, id+" refused")
		return nil, aegis.Errorf(aegis.CodeUnavailable, "not now")
	}
	ack, err := p.OrderServicePublisher.OrderPlaced(ctx, ev, opts...)
	switch {
	case err != nil:
		p.calls = append(p.calls, fmt.Sprint(id, " ", err))
	case ack.Duplicate:
		p.calls = append(p.calls, id+" was there")
	default:
		p.calls = append(p.calls, id+" stored")
	}
	return ack, err
}
