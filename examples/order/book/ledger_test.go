package book

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestStaleLeaderIsRefusedByTheStream(t *testing.T) {
	js := newJetStream(t)
	old := begin(t, js, 4)
	place(t, old, "a")
	later := begin(t, js, 7)

	_, err := old.place(t.Context(), request("stale"), anything)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), err)
	require.ErrorContains(t, err, "term 4 is over")
	_, err = old.list(0, 10)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), "what it knows is old")
	_, err = old.place(t.Context(), request("stale"), anything)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), err)

	place(t, later, "b")
	require.Equal(t, []string{"1 a in 4", "2 b in 7"}, contents(t, later))
	require.Equal(t, contents(t, later), contents(t, begin(t, js, 8)), "as the stream has it")
}

func TestWriteOfAnOlderLeaderThatArrivesLateIsRefused(t *testing.T) {
	js := newJetStream(t)
	held := &faultyJetStream{JetStream: js}
	old := begin(t, held, 4)
	held.fail = true
	_, err := old.place(t.Context(), request("late"), anything)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), err)

	later := begin(t, js, 5)
	require.True(t, refused(held.late()), "the term's beginning changed the stream's last sequence")
	place(t, later, "b")
	require.Equal(t, []string{"1 b in 5"}, contents(t, later))
}

func TestTermThatIsNotTheLatestCannotBegin(t *testing.T) {
	js := newJetStream(t)
	begin(t, js, 7)
	_, err := newReplica(js, 0).begin(t.Context(), 4)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err), err)
	info, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	require.EqualValues(t, 1, info.CachedInfo().State.LastSeq, "it wrote nothing")
}

func TestTermBeginsOverWhatWasWrittenWhileItRead(t *testing.T) {
	js := newJetStream(t)
	old := begin(t, js, 4)
	racing := &faultyJetStream{JetStream: js, before: func() { place(t, old, "raced") }}
	require.Equal(t, []string{"1 raced in 4"}, contents(t, begin(t, racing, 5)))
}

func TestOrderOfUnknownOutcomeIsFoundOrPlacedAgain(t *testing.T) {
	for name, stored := range map[string]bool{"Stored": true, "Lost": false} {
		t.Run(name, func(t *testing.T) {
			js := &faultyJetStream{JetStream: newJetStream(t), stored: stored}
			l := begin(t, js, 4)
			js.fail = true
			_, err := l.place(t.Context(), request("a"), anything)
			require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), err)
			require.ErrorContains(t, err, "unknown")

			js.fail = false
			place(t, l, "b")
			place(t, l, "a")
			want := []string{"1 b in 4", "2 a in 4"}
			if stored {
				want = []string{"1 a in 4", "2 b in 4"}
			}
			require.Equal(t, want, contents(t, l))
			require.Equal(t, want, contents(t, begin(t, js, 5)))
		})
	}
}

func TestOwnWriteThatArrivesLateEndsNoTerm(t *testing.T) {
	js := &faultyJetStream{JetStream: newJetStream(t)}
	l := begin(t, js, 4)
	js.fail = true
	_, err := l.place(t.Context(), request("late"), anything)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), err)
	js.fail = false
	js.before = func() { require.NoError(t, js.late()) } // when the ledger has read the stream and is to append

	place(t, l, "b")
	require.Equal(t, []string{"1 late in 4", "2 b in 4"}, contents(t, l))
}

func TestNothingIsAcceptedWhileTheStreamCannotBeRead(t *testing.T) {
	js := &faultyJetStream{JetStream: newJetStream(t)}
	l := begin(t, js, 4)
	js.fail = true
	_, err := l.place(t.Context(), request("a"), anything)
	require.Error(t, err)
	js.fail = false

	gone, cancel := context.WithCancel(t.Context())
	js.Conn().Close()
	_, err = l.place(gone, request("a"), anything)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err), err)
	require.ErrorContains(t, err, "cannot be read")
	cancel()
	_, err = l.place(gone, request("a"), anything)
	require.ErrorIs(t, err, context.Canceled, "its caller is gone")
}

func TestCallerThatGoesAwayDoesNotLeaveTheOutcomeUnknown(t *testing.T) {
	js := &faultyJetStream{JetStream: newJetStream(t)}
	l := begin(t, js, 4)
	ctx, cancel := context.WithCancel(t.Context())
	js.before = cancel
	_, err := l.place(ctx, request("a"), anything)
	require.NoError(t, err)
	require.Equal(t, []string{"1 a in 4"}, contents(t, l))
}

func TestStreamThatLostWhatItAcknowledgedIsNotTheBook(t *testing.T) {
	js := newJetStream(t)
	l := begin(t, js, 4)
	place(t, l, "a")
	makeAnew(t, js)
	_, err := l.place(t.Context(), request("b"), anything)
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err), err)
	require.ErrorContains(t, err, "ends at message 0, and had acknowledged 2")
}

func TestLongBookIsReadInBatches(t *testing.T) {
	js := newJetStream(t)
	l := begin(t, js, 4)
	const orders = 2*readBatch + 7
	for n := range orders {
		place(t, l, strconv.Itoa(n))
	}
	require.Len(t, contents(t, begin(t, js, 5)), orders)
}

func TestMessagesThatNoLeaderWroteAreNotTheBook(t *testing.T) {
	for name, c := range map[string]struct {
		header, order string
		want          string
	}{
		"NoTerm":       {"", "2 b in 4", "Order-Term"},
		"OlderTerm":    {"3", "2 b in 3", "term 3 wrote it after term 4 had begun"},
		"OtherTerm":    {"4", "2 b in 3", "is of term 3, and term 4 wrote it"},
		"Gap":          {"4", "3 b in 4", `order "b" has the sequence 3 where 2 follows`},
		"Twice":        {"4", "2 a in 4", `order "a" is there twice, at 1 and at 2`},
		"NotAMessage":  {"4", "", "cannot parse"},
		"LaterIsFatal": {"9", "2 b in 9", "term 5 is over"},
	} {
		t.Run(name, func(t *testing.T) {
			js := newJetStream(t)
			place(t, begin(t, js, 4), "a")
			msg, err := (&record{order: parse(c.order)}).message()
			require.NoError(t, err)
			msg.Header.Set(headerTerm, c.header)
			if c.order == "" {
				msg.Data = []byte{0xff}
			}
			_, err = js.PublishMsg(t.Context(), msg)
			require.NoError(t, err)
			_, err = newReplica(js, 0).begin(t.Context(), 5)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestStreamThatCanLoseOrdersIsRefused(t *testing.T) {
	js := newJetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{subjectBook}, Retention: jetstream.WorkQueuePolicy, MaxAge: 1e9})
	require.NoError(t, err)
	_, err = newReplica(js, 0).begin(t.Context(), 4)
	for _, want := range []string{"orders.term", "retention limits", "discard new", "no max age", "deny deletion"} {
		require.ErrorContains(t, err, want)
	}
}

func TestReplicasOfTheStreamMayBeChanged(t *testing.T) {
	js := newJetStream(t)
	begin(t, js, 4)
	stream, err := js.Stream(t.Context(), streamName)
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.Description = "ours"
	_, err = js.UpdateStream(t.Context(), config)
	require.NoError(t, err)
	begin(t, js, 5)
}

// faultyJetStream is a JetStream whose publishing can be made to fail.
type faultyJetStream struct {
	jetstream.JetStream
	before func()       // called once, before the next message is published
	fail   bool         // no answer comes
	stored bool         // though the message arrives
	late   func() error // lets a message arrive that got no answer
}

func (js *faultyJetStream) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if before := js.before; before != nil {
		js.before = nil
		before()
	}
	if !js.fail {
		return js.JetStream.PublishMsg(ctx, msg, opts...)
	}
	js.late = func() error {
		_, err := js.JetStream.PublishMsg(context.WithoutCancel(ctx), msg, opts...)
		return err
	}
	if js.stored {
		if err := js.late(); err != nil {
			return nil, err
		}
	}
	return nil, context.DeadlineExceeded
}

func newJetStream(t *testing.T) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(aegistest.Connect(t).NATS())
	require.NoError(t, err)
	return js
}

// makeAnew puts an empty stream in the place of the one that is there.
func makeAnew(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	require.NoError(t, js.DeleteStream(t.Context(), streamName))
	require.Eventually(t, func() bool { // NATS removes the old one's folder behind its answer
		_, err := openStream(t.Context(), js, 0)
		return err == nil
	}, followDeadline, 10*time.Millisecond)
}

func begin(t *testing.T, js jetstream.JetStream, term uint64) *ledger {
	t.Helper()
	l, err := newReplica(js, 0).begin(t.Context(), term)
	require.NoError(t, err)
	return l
}

func request(id string) *orderv1.PlaceOrderRequest {
	return &orderv1.PlaceOrderRequest{Id: id, Symbol: "AEGIS", Side: orderv1.Side_SIDE_BUY, Quantity: 1, PriceCents: 100}
}

func place(t *testing.T, l *ledger, id string) {
	t.Helper()
	order, err := l.place(t.Context(), request(id), anything)
	require.NoError(t, err)
	require.Equal(t, id, order.GetId())
}

// contents is each order as parse reads it.
func contents(t *testing.T, l *ledger) (all []string) {
	t.Helper()
	orders, err := l.list(0, math.MaxInt)
	require.NoError(t, err)
	for _, o := range orders {
		all = append(all, fmt.Sprintf("%d %s in %d", o.GetSequence(), o.GetId(), o.GetTerm()))
	}
	return all
}

func parse(text string) *orderv1.Order {
	var o orderv1.Order
	_, _ = fmt.Sscanf(text, "%d %s in %d", &o.Sequence, &o.Id, &o.Term) // what is not there stays empty
	return &o
}

func anything(*orderv1.PlaceOrderRequest) error { return nil }
