package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const eventStream = "aegis-events-aegistest-v1-EventService"

type handlers = aegistestv1aegis.EventServiceEvents

// subscribe runs a server that does nothing else.
func subscribe(t testing.TB, conn *aegis.Conn, h handlers, server []aegis.ServerOption, opts ...aegis.SubscribeOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, h, opts...)
	}, server...)
}

// subscriber is one that the test stops itself.
func subscriber(t testing.TB, conn *aegis.Conn, h handlers, server []aegis.ServerOption, opts ...aegis.SubscribeOption) running {
	t.Helper()
	srv, err := aegis.NewServer(conn, server...)
	require.NoError(t, err)
	require.NoError(t, aegistestv1aegis.SubscribeEventServiceEvents(srv, h, opts...))
	return runServer(t, srv)
}

func (r running) end(t testing.TB) {
	t.Helper()
	r.stop()
	require.NoError(t, receive(t, "the server stops", r.done))
}

func named(name string) []aegis.ServerOption { return []aegis.ServerOption{aegis.WithInstance(name)} }

func newPublisher(t testing.TB, conn *aegis.Conn, opts ...aegis.PublisherOption) aegistestv1aegis.EventServicePublisher {
	t.Helper()
	pub, err := aegistestv1aegis.NewEventServicePublisher(conn, opts...)
	require.NoError(t, err)
	return pub
}

func stored(text string) *testv1.StoredRequest { return &testv1.StoredRequest{Text: text} }

func mustStore(t testing.TB, pub aegistestv1aegis.EventServicePublisher, text string, opts ...aegis.PublishOption) *aegis.PubAck {
	t.Helper()
	ack, err := pub.Stored(t.Context(), stored(text), opts...)
	require.NoError(t, err)
	return ack
}

// diary is what handlers were given.
type diary struct {
	mu   sync.Mutex
	text []string
}

func (d *diary) notef(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = append(d.text, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.text)
}

func (d *diary) count(text string) int {
	n := 0
	for _, t := range d.all() {
		if t == text {
			n++
		}
	}
	return n
}

// becomes waits until the diary has exactly these entries.
func (d *diary) becomes(t testing.TB, want ...string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("what came is %v", d.all())
		}
	}()
	eventually(t, fmt.Sprintf("%v", want), func() bool { return len(d.all()) >= len(want) })
	require.Equal(t, want, d.all())
}

func (d *diary) stored(_ context.Context, ev *testv1.StoredRequest) error {
	d.notef("%s", ev.GetText())
	return nil
}

func jetStream(t testing.TB, conn *aegis.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(conn.NATS())
	require.NoError(t, err)
	return js
}

// settled waits until a consumer has nothing that is not acknowledged. JetStream counts
// what is pending a moment after it was stored, so the last message is looked for.
func settled(t testing.TB, conn *aegis.Conn, consumer string) {
	t.Helper()
	js := jetStream(t, conn)
	eventually(t, consumer+" has nothing left", func() bool {
		c, err := js.Consumer(t.Context(), eventStream, consumer)
		if err != nil {
			return false
		}
		stream, err := js.Stream(t.Context(), eventStream)
		if err != nil {
			return false
		}
		info, stored := c.CachedInfo(), uint64(0)
		msg, err := stream.GetLastMsgForSubject(t.Context(), info.Config.FilterSubject)
		switch {
		case err == nil:
			stored = msg.Sequence
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return false
		}
		return info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream >= stored
	})
}

func deadLetters(t testing.TB, conn *aegis.Conn, service string) []*aegis.DeadLetter {
	t.Helper()
	var all []*aegis.DeadLetter
	for d, err := range conn.DeadLetters(t.Context(), service) {
		require.NoError(t, err)
		all = append(all, d)
	}
	return all
}

func subscribeTo(srv *aegis.Server, h handlers, opts ...aegis.SubscribeOption) error {
	return aegistestv1aegis.SubscribeEventServiceEvents(srv, h, opts...)
}

func registerProbe(srv *aegis.Server) error {
	return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{})
}
