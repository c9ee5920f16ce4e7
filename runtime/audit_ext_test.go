package aegis_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
)

// audit makes a stream that stores what is sent to these subjects, which
// JetStream says to whoever has sent it.
func audit(t *testing.T, conn *aegis.Conn, change func(*jetstream.StreamConfig), subjects ...string) jetstream.Stream {
	t.Helper()
	config := jetstream.StreamConfig{Name: "AUDIT", Subjects: subjects, Storage: jetstream.MemoryStorage}
	if change != nil {
		change(&config)
	}
	stream, err := jetStream(t, conn).CreateStream(t.Context(), config)
	require.NoError(t, err)
	return stream
}

// keptOf waits until a stream has so many messages.
func keptOf(t *testing.T, stream jetstream.Stream, count uint64) {
	t.Helper()
	eventually(t, "it is stored", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.LastSeq >= count
	})
}

func TestCallsAreAnsweredThoughAStreamStoresThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	stream := audit(t, conn, nil, "aegis.call.>", "aegis.inst.>")
	serve(t, another(t, conn), probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "late" {
			keptOf(t, stream, 1) // the stream has answered before
		}
		if req.GetText() == "wrong" {
			return nil, errWrong
		}
		return &testv1.DoResponse{Text: req.GetText()}, nil
	}}, aegis.WithInstance("one"))
	client := newClient(t, conn)
	for _, text := range []string{"late", "b", "c", "d", "e"} {
		for _, opts := range [][]aegis.CallOption{nil, {aegis.ToInstance("one")}, {aegis.RoundRobin()}} {
			res, err := client.Do(t.Context(), doRequest(text), opts...)
			require.NoError(t, err)
			require.Equal(t, text, res.GetText())
		}
	}
	_, err := client.Do(t.Context(), doRequest("wrong"))
	require.ErrorContains(t, err, errWrong.Error())
	keptOf(t, stream, 16)
}

// What JetStream says when it refuses a message is no reply either.
func TestCallsAreAnsweredThoughAStreamRefusesToStoreThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	stream := audit(t, conn, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew }, "aegis.call.>")
	serve(t, another(t, conn), probe{})
	client := newClient(t, conn)
	for range 20 {
		_, err := client.Do(t.Context(), doRequest(""))
		require.NoError(t, err)
		keptOf(t, stream, 1)
	}
}

func TestCallToNobodyNamesTheStreamThatStoresIt(t *testing.T) {
	t.Parallel()
	var log logs
	conn := connect(t)
	audit(t, conn, nil, "aegis.call.>", "aegis.inst.>")
	client := newClient(t, another(t, conn, log.option()))
	for _, opts := range [][]aegis.CallOption{nil, {aegis.ToInstance("nobody")}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.Do(ctx, doRequest(""), opts...)
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
		require.ErrorContains(t, err, "only the stream AUDIT has answered, which stores what is sent there")
		require.False(t, aegis.IsWireError(err))
	}
	eventually(t, "it is said, once for each kind of subject", func() bool {
		return log.count("the stream AUDIT stores what is sent to aegis.call.>; ") == 1 &&
			log.count("the stream AUDIT stores what is sent to aegis.inst.>; ") == 1
	})
	require.Zero(t, log.count("somebody subscribes to everything"))
}

func TestStreamsOpenThoughAStreamStoresTheirSubjects(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	audit(t, conn, nil, "aegis.call.>", "aegis.in.>")
	clientConn := another(t, conn)
	serverConn := another(t, conn)
	srv := serveStreams(t, serverConn, streams{})
	serveLarge(t, another(t, conn), large{})
	client := newStreamClient(t, clientConn)
	for range 10 {
		chat, err := client.Chat(t.Context())
		require.NoError(t, err)
		require.NoError(t, chatAll(t, chat, 100))
		in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 100})
		require.NoError(t, err)
		_, err = readNumbers(t, in)
		require.NoError(t, err)
	}
	largeClient := newLargeClient(t, clientConn)
	for _, n := range []int{1, 3_000_000} {
		data := randomBytes(n)
		res, err := largeClient.Bounce(t.Context(), &testv1.LargeRequest{Data: data})
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, res.GetData()))
	}
	nothingKept(t, srv, clientConn)

	// NATS does not say any more that the server is gone, and the stream that
	// stores the question is no sign of its life.
	chat, err := client.Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "a"}))
	_, err = chat.Recv()
	require.NoError(t, err)
	serverConn.NATS().Close()
	ended := async(chat.Recv)
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(receive(t, "the end", ended).err))
}

func TestBroadcastsAreAnsweredThoughAStreamStoresThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	audit(t, conn, nil, "aegis.all.>", "aegis.inst.>")
	serveTell(t, another(t, conn), "a", tell)
	serveTell(t, another(t, conn), "b", tell)
	clientConn := another(t, conn)
	known(t, clientConn, teller, 2)
	client := newTeller(t, clientConn)
	for range 10 {
		require.True(t, allAnswer(t, client, 2))
	}
	got := replies(t.Context(), t, client, aegis.UntilReplies(2))
	require.Len(t, got, 2)
}

func TestLeadersAreFoundThoughAStreamStoresTheQuestions(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	conn := n.Connect(t, silent())
	audit(t, conn, nil, "aegis.who.>", "aegis.lead.>", "aegis.led.>", "aegis.live.>")
	a, b := stand(t, n, &desk{name: "a"}), stand(t, n, &desk{name: "b"})
	client := newOrders(t, conn)
	for range 10 {
		res, err := place(t, client)
		require.NoError(t, err)
		require.Contains(t, []string{a.name, b.name}, res.GetInstance())
	}
	first, err := place(t, client)
	require.NoError(t, err)
	leader, other := a, b
	if first.GetInstance() == b.name {
		leader, other = b, a
	}
	leader.conn.NATS().Close()
	eventually(t, "the other one leads", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		res, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"})
		return err == nil && res.GetInstance() == other.name
	})
}

// An instance asks whether its name is free; a stream that stores the question
// is nobody who has the name.
func TestNamesAreFreeThoughAStreamStoresTheQuestion(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	audit(t, conn, nil, "aegis.inst.>", "aegis.live.>")
	unregistered := serve(t, another(t, conn), probe{}, aegis.WithInstance("x"), aegis.WithRegistryBucket(aegis.BucketConfig{NoCreate: true}))
	require.Equal(t, "x", unregistered.Instance())
	srv, err := aegis.NewServer(another(t, conn), aegis.WithInstance("x"), aegis.WithRegistryBucket(aegis.BucketConfig{NoCreate: true}))
	require.NoError(t, err)
	require.NoError(t, registerProbe(srv))
	require.ErrorIs(t, srv.Run(t.Context()), aegis.ErrInstanceTaken, "who has the name answers")

	dyingConn := another(t, conn)
	dying := run(t, dyingConn, probe{}, aegis.WithInstance("y"), aegis.WithHeartbeat(100*time.Millisecond))
	known(t, conn, "aegistest.v1.ProbeService", 2)
	dyingConn.NATS().Close()
	require.ErrorIs(t, receive(t, "it ends", dying.done), aegis.ErrConnClosed)
	serve(t, another(t, conn), probe{}, aegis.WithInstance("y"))
}
