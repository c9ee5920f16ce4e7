package aegis_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestFuturesEndWhenTheConnectionIsClosedMeanwhile(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	for range 100 {
		conn, err := aegis.Connect(t.Context(), n.URL(), silent())
		require.NoError(t, err)
		pub := newPublisher(t, conn, aegis.WithMaxInFlight(100))
		var mu sync.Mutex
		var futures []*aegis.PubFuture
		var publishing sync.WaitGroup
		begun := make(chan struct{}, 4)
		for range 4 {
			publishing.Go(func() {
				for i := 0; ; i++ {
					f, err := pub.StoredAsync(context.Background(), stored(""))
					if i == 0 {
						begun <- struct{}{}
					}
					if err != nil {
						if !errors.Is(err, aegis.ErrConnClosed) {
							t.Errorf("after the end: %v", err)
						}
						return
					}
					mu.Lock()
					futures = append(futures, f)
					mu.Unlock()
				}
			})
		}
		for range 4 {
			receive(t, "all publish", begun)
		}
		require.NoError(t, conn.Close(context.Background()))
		ended := make(chan struct{})
		go func() { publishing.Wait(); close(ended) }()
		receive(t, "publishing ends", ended)
		for _, f := range futures {
			receive(t, "the future ends", f.Done())
		}
		for range 200 { // each of the places in flight is free again
			_, err := pub.StoredAsync(context.Background(), stored(""))
			require.ErrorIs(t, err, aegis.ErrConnClosed)
		}
	}
}

func TestPublishersShareWhatLooksAfterTheirEvents(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	publish := func() {
		f, err := newPublisher(t, conn).StoredAsync(t.Context(), stored(""))
		require.NoError(t, err)
		ack, err := f.Ack(t.Context())
		require.NoError(t, err)
		require.NotZero(t, ack.Sequence)
	}
	publish()
	before := conn.NATS().NumSubscriptions()
	for range 200 {
		publish()
	}
	require.Equal(t, before, conn.NATS().NumSubscriptions())
	eventually(t, "nobody looks after nothing", func() bool { return !conn.LooksAfterEvents() })

	nc := plain(t, conn)
	lent, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	f, err := newPublisher(t, lent).StoredAsync(t.Context(), stored(""))
	require.NoError(t, err)
	_, err = f.Ack(t.Context())
	require.NoError(t, err)
	eventually(t, "nobody looks after nothing", func() bool { return !lent.LooksAfterEvents() })
	require.NoError(t, lent.Close(t.Context()))
	// nats.go has one of its own, for the JetStream API.
	require.LessOrEqual(t, nc.NumSubscriptions(), 1)
}

// A refusal of a second copy says nothing about the first one, which may be on
// its way.
func TestRefusedCopyOfAnAsynchronousEventDecidesNothing(t *testing.T) {
	t.Parallel()
	refuse := func(code int, err jetstream.ErrorCode, text string) []byte {
		answer, _ := json.Marshal(map[string]any{
			"error": &jetstream.APIError{Code: code, ErrorCode: err, Description: text}, "stream": eventStream, "seq": 0,
		})
		return answer
	}
	ack := []byte(`{"stream":"` + eventStream + `","seq":2,"duplicate":true}`)
	for name, answers := range map[string][][]byte{
		"in process":                  {refuse(409, 10158, "duplicate message id is in process"), ack},
		"no answer, and refused then": {nil, refuse(400, 10077, "maximum messages exceeded"), ack},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			mustStore(t, newPublisher(t, conn), "first") // makes the stream, which is silent from now on
			js := jetStream(t, conn)
			stream, err := js.Stream(t.Context(), eventStream)
			require.NoError(t, err)
			config := stream.CachedInfo().Config
			config.NoAck = true
			_, err = js.UpdateStream(t.Context(), config)
			require.NoError(t, err)
			spy := standInFor(t, conn, "aegis.log.aegistest.>", func(n int, msg *nats.Msg) {
				if answer := answers[min(n, len(answers))-1]; answer != nil {
					_ = msg.Respond(answer)
				}
			})
			f, err := newPublisher(t, conn).StoredAsync(t.Context(), stored("x"), aegis.MessageID("x"))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ack, err := f.Ack(ctx)
			require.NoError(t, err)
			require.True(t, ack.Duplicate)
			require.Equal(t, len(answers), spy.count())
		})
	}
}

// A copy that was chosen when the one before it had just been sent is one too many.
func TestAsynchronousEventIsNotSentAgainBeforeItIsDue(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	mustStore(t, newPublisher(t, conn), "first") // makes the stream
	stream, err := jetStream(t, conn).Stream(t.Context(), eventStream)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.NoAck = true
	_, err = jetStream(t, conn).UpdateStream(t.Context(), config)
	require.NoError(t, err)
	spy := standInFor(t, conn, "aegis.log.aegistest.>", func(int, *nats.Msg) {})
	publisherConn := another(t, conn)
	_, err = newPublisher(t, publisherConn).StoredAsync(t.Context(), stored("x"), aegis.MessageID("x"))
	require.NoError(t, err)
	publisherConn.SendEventsAgain()
	require.NoError(t, publisherConn.NATS().Flush())
	eventually(t, "it is sent", func() bool { return spy.count() > 0 })
	require.NoError(t, publisherConn.NATS().Flush())
	require.Equal(t, 1, spy.count())
}
