package aegis_test

import (
	"context"
	"encoding/binary"
	"math"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// These tests speak to servers and clients with nothing but nats.go and what
// docs/protocol.md says.

const streamSubject = "aegis.call.aegistest.v1.StreamService."

// The kinds of frames, as the document numbers them.
const (
	kindAck = iota + 1
	kindHeader
	kindData
	kindPart
	kindLast
	kindHalfClose
	kindEnd
	kindCredit
	kindPing
	kindCancel
)

type rawFrame struct {
	kind byte
	seq  uint64
	body []byte
}

func (f rawFrame) encode() []byte {
	return append(binary.AppendUvarint([]byte{f.kind}, f.seq), f.body...)
}

func position(numbers ...uint64) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// rawStream is a client made by hand.
type rawStream struct {
	t     *testing.T
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription
	to    string // the server's subject
	limit []uint64
}

// openRaw opens a stream and reads the ack. A server that was paused, as on a
// machine that is busy, refuses; then it is asked again.
func openRaw(t *testing.T, conn *aegis.Conn, method string, payload []byte, header nats.Header) *rawStream {
	t.Helper()
	s := askRaw(t, conn, method, payload, header)
	msg := s.next()
	for msg.Header.Get("Aegis-Reason") == "STALE" {
		s = askRaw(t, conn, method, payload, header)
		msg = s.next()
	}
	require.Empty(t, msg.Header.Get("Nats-Service-Error"))
	require.EqualValues(t, kindAck, msg.Data[0])
	require.NotEmpty(t, msg.Reply)
	s.accepted(msg)
	return s
}

// accepted takes an ack.
func (s *rawStream) accepted(msg *nats.Msg) {
	s.to = msg.Reply
	for rest := msg.Data[2:]; len(rest) > 0; {
		n, used := binary.Uvarint(rest)
		s.limit, rest = append(s.limit, n), rest[used:]
	}
}

func askRaw(t *testing.T, conn *aegis.Conn, method string, payload []byte, header nats.Header) *rawStream {
	t.Helper()
	nc := plain(t, conn)
	s := &rawStream{t: t, nc: nc, inbox: nc.NewInbox()}
	var err error
	s.sub, err = nc.SubscribeSync(s.inbox)
	require.NoError(t, err)
	require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: streamSubject + method, Reply: s.inbox, Header: header, Data: payload}))
	return s
}

func (s *rawStream) next() *nats.Msg {
	s.t.Helper()
	msg, err := s.sub.NextMsg(patience)
	require.NoError(s.t, err)
	return msg
}

// frame returns the next frame, and its message. Pings are answered.
func (s *rawStream) frame() (rawFrame, *nats.Msg) {
	s.t.Helper()
	for {
		msg := s.next()
		seq, n := binary.Uvarint(msg.Data[1:])
		f := rawFrame{msg.Data[0], seq, msg.Data[1+n:]}
		if f.kind != kindPing {
			return f, msg
		}
		require.NoError(s.t, msg.Respond(rawFrame{kindCredit, 0, position(0, 0, 0)}.encode()))
	}
}

func (s *rawStream) send(frames ...rawFrame) {
	s.t.Helper()
	for _, f := range frames {
		require.NoError(s.t, s.nc.PublishRequest(s.to, s.inbox, f.encode()))
	}
}

// end reads on until the end, confirms it and returns its code.
func (s *rawStream) end() (aegis.Code, *nats.Msg) {
	s.t.Helper()
	for {
		f, msg := s.frame()
		if f.kind != kindEnd {
			continue
		}
		require.NoError(s.t, msg.Respond(rawFrame{kindCancel, 0, nil}.encode()))
		var status aegisv1.Status
		require.NoError(s.t, proto.Unmarshal(f.body, &status))
		if status.GetCode() != 0 {
			require.Equal(s.t, strconv.Itoa(int(status.GetCode())), msg.Header.Get("Nats-Service-Error-Code"))
		}
		return aegis.Code(status.GetCode()), msg
	}
}

func sumRequest(n uint64) []byte {
	b, _ := proto.Marshal(&testv1.SumRequest{Number: n})
	return b
}

func TestServerStreamByHand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		out.Header().Set("first", "1")
		out.Trailer().Set("last", "2")
		return countUp(ctx, req, out)
	}})
	payload, err := proto.Marshal(&testv1.CountRequest{Numbers: 6})
	require.NoError(t, err)
	s := openRaw(t, conn, "Count", payload, nats.Header{"Aegis-Window": {"3,1000"}})
	f, msg := s.frame()
	require.Equal(t, rawFrame{kindHeader, 1, []byte{}}, f)
	require.Equal(t, "1", msg.Header.Get("first"))
	for n := uint64(1); n <= 6; n++ {
		f, _ = s.frame()
		require.EqualValues(t, kindData, f.kind)
		require.Equal(t, n+1, f.seq)
		var res testv1.CountResponse
		require.NoError(t, proto.Unmarshal(f.body, &res))
		require.Equal(t, n, res.GetNumber())
		s.send(rawFrame{kindCredit, 0, position(f.seq, f.seq+3, 2000)})
	}
	code, msg := s.end()
	require.Zero(t, code)
	require.Equal(t, "2", msg.Header.Get("last"))
	require.EqualValues(t, 8, msg.Data[1], "the end is numbered, which counts what came before")
	nothingKept(t, srv)
}

func TestClientStreamByHand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{})
	s := openRaw(t, conn, "Sum", nil, nil)
	require.Len(t, s.limit, 2)
	require.EqualValues(t, 16_384, s.limit[0])
	require.GreaterOrEqual(t, s.limit[1], uint64(256<<10), "what any link carries")
	require.LessOrEqual(t, s.limit[1], uint64(2<<20), "the window")
	s.send(rawFrame{kindData, 1, sumRequest(3)}, rawFrame{kindData, 2, sumRequest(4)}, rawFrame{kindHalfClose, 3, nil},
		rawFrame{kindHalfClose, 3, nil})
	f, _ := s.frame()
	require.EqualValues(t, kindData, f.kind)
	var res testv1.SumResponse
	require.NoError(t, proto.Unmarshal(f.body, &res))
	require.EqualValues(t, 7, res.GetSum())
	code, _ := s.end()
	require.Zero(t, code, "the same end twice is one")
	nothingKept(t, srv)
}

func TestStreamInJSON(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	s := openRaw(t, conn, "Chat", nil, nats.Header{"Content-Type": {"application/json"}})
	s.send(rawFrame{kindData, 1, []byte(`{"text":"hi"}`)})
	f, _ := s.frame()
	var res testv1.ChatResponse
	require.NoError(t, protojson.Unmarshal(f.body, &res))
	require.Equal(t, "hi", res.GetText())
	s.send(rawFrame{kindData, 2, []byte(`{"text":`)})
	for f.kind != kindEnd {
		f, _ = s.frame()
	}
	require.Contains(t, string(f.body), `"code":3`)
}

func TestWhatClientsMayNotDo(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{sum: func(ctx context.Context, _ sumIn) (*testv1.SumResponse, error) {
		<-ctx.Done() // what has come stays unread
		return nil, ctx.Err()
	}}, aegis.WithStreamWindow(4, 100))
	one := sumRequest(1)
	for name, c := range map[string]struct {
		frames []rawFrame
		code   aegis.Code
	}{
		"a gap":                       {[]rawFrame{{kindData, 2, one}}, aegis.CodeDataLoss},
		"a duplicate":                 {[]rawFrame{{kindData, 1, one}, {kindData, 1, one}}, aegis.CodeDataLoss},
		"reordered":                   {[]rawFrame{{kindData, 1, one}, {kindData, 3, one}, {kindData, 2, one}}, aegis.CodeDataLoss},
		"number 0":                    {[]rawFrame{{kindData, 0, one}}, aegis.CodeDataLoss},
		"the greatest number":         {[]rawFrame{{kindData, math.MaxUint64, one}}, aegis.CodeDataLoss},
		"too many":                    {[]rawFrame{{kindData, 1, one}, {kindData, 2, one}, {kindData, 3, one}, {kindData, 4, one}, {kindData, 5, one}}, aegis.CodeInvalidArgument},
		"too many bytes":              {[]rawFrame{{kindData, 1, make([]byte, 100)}, {kindData, 2, one}}, aegis.CodeInvalidArgument},
		"an end after a gap":          {[]rawFrame{{kindHalfClose, 2, nil}}, aegis.CodeDataLoss},
		"two ends":                    {[]rawFrame{{kindHalfClose, 1, nil}, {kindHalfClose, 2, nil}}, aegis.CodeInvalidArgument},
		"a message after the end":     {[]rawFrame{{kindHalfClose, 1, nil}, {kindData, 2, one}}, aegis.CodeInvalidArgument},
		"an end of the server's":      {[]rawFrame{{kindEnd, 1, nil}}, aegis.CodeInvalidArgument},
		"an ack":                      {[]rawFrame{{kindAck, 0, position(1, 1)}}, aegis.CodeInvalidArgument},
		"a header":                    {[]rawFrame{{kindHeader, 1, nil}}, aegis.CodeInvalidArgument},
		"no such kind":                {[]rawFrame{{99, 1, nil}}, aegis.CodeInvalidArgument},
		"a credit cut off":            {[]rawFrame{{kindCredit, 0, []byte{0x80}}}, aegis.CodeInvalidArgument},
		"a credit for nothing":        {[]rawFrame{{kindCredit, 0, position(7, 10, 10)}}, aegis.CodeInvalidArgument},
		"an absurd credit":            {[]rawFrame{{kindCredit, 0, position(0, math.MaxUint64, 10)}}, aegis.CodeInvalidArgument},
		"absurd bytes":                {[]rawFrame{{kindPing, 0, position(0, 10, math.MaxUint64)}}, aegis.CodeInvalidArgument},
		"a ping that tells of a loss": {[]rawFrame{{kindPing, 1, position(0, 10, 10)}}, aegis.CodeDataLoss},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openRaw(t, conn, "Sum", nil, nil)
			s.send(c.frames...)
			code, msg := s.end()
			require.Equal(t, c.code, code, msg.Header.Get("Nats-Service-Error"))
			s.send(c.frames...) // after the end nothing happens to anybody
		})
	}
	t.Run("truncated", func(t *testing.T) {
		t.Parallel()
		for _, data := range [][]byte{{}, {kindData}, {kindData, 0x80}, {kindData, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			s := openRaw(t, conn, "Sum", nil, nil)
			require.NoError(t, s.nc.Publish(s.to, data))
			code, _ := s.end()
			require.Equal(t, aegis.CodeInvalidArgument, code)
		}
	})
	t.Run("no message", func(t *testing.T) {
		t.Parallel()
		s := openRaw(t, conn, "Chat", nil, nil)
		s.send(rawFrame{kindData, 1, []byte{0xff}})
		code, _ := s.end()
		require.Equal(t, aegis.CodeInvalidArgument, code)
	})
	t.Cleanup(func() { nothingKept(t, srv) })
}

func TestOpensThatAreRefused(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{})
	for name, header := range map[string]nats.Header{
		"window without bytes": {"Aegis-Window": {"7"}},
		"window of nothing":    {"Aegis-Window": {"0,0"}},
		"window beyond all":    {"Aegis-Window": {"1,1073741825"}},
		"window of words":      {"Aegis-Window": {"a,b"}},
		"timeout of words":     {"Aegis-Timeout": {"soon"}},
		"content type":         {"Content-Type": {"text/plain"}},
	} {
		s := askRaw(t, conn, "Chat", nil, header)
		msg := s.next()
		require.Equal(t, "3", msg.Header.Get("Nats-Service-Error-Code"), name)
	}
	s := openRaw(t, conn, "Count", []byte{0xff}, nil)
	code, _ := s.end()
	require.Equal(t, aegis.CodeInvalidArgument, code, "the one request is no message")
	srv.Suspect(true)
	msg := askRaw(t, conn, "Chat", nil, nil).next()
	require.Equal(t, "STALE", msg.Header.Get("Aegis-Reason"))
	srv.Suspect(false)
	nothingKept(t, srv)
}

// Credits that never come hold the handler up, for as long as the client is
// there.
func TestCreditsThatNeverCome(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var sent counter
	gone := make(chan error, 1)
	srv := serveStreams(t, conn, streams{count: func(_ context.Context, _ *testv1.CountRequest, out countOut) error {
		for {
			if err := out.Send(&testv1.CountResponse{}); err != nil {
				gone <- err
				return err
			}
			sent.add()
		}
	}})
	s := openRaw(t, conn, "Count", nil, nats.Header{"Aegis-Window": {"5,1000"}})
	eventually(t, "the window is full", func() bool { return sent.get() == 5 })
	asked := 0
	for asked < 3 { // the server asks in the stream, as the subject has not the form that promises another
		if msg := s.next(); msg.Data[0] == kindPing {
			asked++
			require.NoError(t, msg.Respond(rawFrame{kindCredit, 0, position(5, 5, 1000)}.encode()))
		}
	}
	require.Equal(t, 5, sent.get())
	s.nc.Close()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "Send returns", gone)))
	nothingKept(t, srv)
}

// An open that NATS delivers twice is one stream.
func TestOpenThatComesTwice(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveStreams(t, conn, streams{})
	s := openRaw(t, conn, "Chat", nil, nil)
	require.NoError(t, s.nc.PublishRequest(streamSubject+"Chat", s.inbox, nil))
	for n := uint64(1); n <= 3; n++ {
		s.send(rawFrame{kindData, n, nil})
		f, _ := s.frame()
		require.Equal(t, rawFrame{kindData, n, []byte{}}, f)
	}
	s.send(rawFrame{kindCancel, 0, nil})
	f, _ := s.frame()
	require.EqualValues(t, kindEnd, f.kind)
	require.Zero(t, f.seq, "the server confirms that it has the stream no longer")
	nothingKept(t, srv)
}

// A cancel that overtakes its open, and one that comes instead of the answer to
// it.
func TestCancelByTheReplySubject(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	canceled := make(chan struct{}, 1)
	srv := serveStreams(t, conn, streams{count: func(ctx context.Context, _ *testv1.CountRequest, _ countOut) error {
		<-ctx.Done()
		canceled <- struct{}{}
		return ctx.Err()
	}})
	s := openRaw(t, conn, "Count", nil, nil)
	require.NoError(t, s.nc.Publish("aegis.cancel.aegistest.v1.StreamService", []byte(s.inbox)))
	receive(t, "the handler's context ends", canceled)
	nothingKept(t, srv)

	early := plain(t, conn)
	inbox := early.NewInbox()
	require.NoError(t, early.Publish("aegis.cancel.aegistest.v1.StreamService", []byte(inbox)))
	eventually(t, "the cancel is noted", func() bool { return srv.CancelsNoted() == 1 })
	require.NoError(t, early.PublishRequest(streamSubject+"Count", inbox, nil))
	eventually(t, "the open is dropped", func() bool { return srv.CancelsNoted() == 0 })
	nothingKept(t, srv)
	pending(t, "a handler ran", canceled)
}
