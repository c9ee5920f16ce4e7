package aegis_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type large struct {
	bounce func(context.Context, *testv1.LargeRequest) (*testv1.LargeResponse, error)
}

func (l large) Bounce(ctx context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
	if l.bounce != nil {
		return l.bounce(ctx, req)
	}
	return bounce(req), nil
}

func bounce(req *testv1.LargeRequest) *testv1.LargeResponse {
	if req.GetBytes() > 0 {
		return &testv1.LargeResponse{Data: randomBytes(int(req.GetBytes()))}
	}
	return &testv1.LargeResponse{Data: req.GetData()}
}

func (large) Flow(_ context.Context, in aegis.Receiver[testv1.LargeRequest], out aegis.Sender[testv1.LargeResponse]) error {
	for req, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.Send(bounce(req)); err != nil {
			return err
		}
	}
	return nil
}

// randomBytes are the same for the same size.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func serveLarge(t testing.TB, conn *aegis.Conn, l large, opts ...aegis.ServerOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterLargeServiceServer(srv, l)
	}, opts...)
}

func newLargeClient(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.LargeServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewLargeServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

const (
	maxPayload = 1 << 20
	maxMessage = 20_000_000
)

func TestLargeUnaryMessages(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveLarge(t, conn, large{})
	clientConn := another(t, conn)
	client := newLargeClient(t, clientConn)
	for _, n := range []int{
		0, 1, maxPayload/2 - 3, maxPayload / 2, maxPayload - 20, maxPayload - 4, maxPayload - 3, maxPayload,
		maxPayload + 512<<10 - 4, maxPayload + 512<<10, 3*512<<10 - 7, 3 * 512 << 10, 5_000_000, maxMessage - 5,
	} {
		data := randomBytes(n)
		res, err := client.Bounce(t.Context(), &testv1.LargeRequest{Data: data})
		require.NoError(t, err, "%d bytes", n)
		require.True(t, bytes.Equal(data, res.GetData()), "%d bytes", n)
	}
	res, err := client.Bounce(t.Context(), &testv1.LargeRequest{Bytes: 3_000_000})
	require.NoError(t, err, "a small request and a large response")
	require.True(t, bytes.Equal(randomBytes(3_000_000), res.GetData()))
	nothingKept(t, srv, clientConn)
}

// A reply that is too large for a message is not refused: its handler has run, and
// a refusal would have the call sent again.
func TestLargeReplyIsNotRefused(t *testing.T) {
	t.Parallel()
	t.Run("by a server with too many streams", func(t *testing.T) {
		t.Parallel()
		conn := connect(t)
		var runs atomic.Int64
		serveLarge(t, conn, large{bounce: func(_ context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
			runs.Add(1)
			return bounce(req), nil
		}}, aegis.WithMaxStreams(1))
		client := newLargeClient(t, another(t, conn))
		flow, err := client.Flow(t.Context())
		require.NoError(t, err)
		require.NoError(t, flow.Send(&testv1.LargeRequest{}))
		_, err = flow.Recv()
		require.NoError(t, err, "one is open")
		res, err := client.Bounce(t.Context(), &testv1.LargeRequest{Bytes: 3_000_000})
		require.NoError(t, err)
		require.True(t, bytes.Equal(randomBytes(3_000_000), res.GetData()))
		require.EqualValues(t, 1, runs.Load())
	})
	t.Run("by a server that stops", func(t *testing.T) {
		t.Parallel()
		conn := connect(t)
		var runs atomic.Int64
		begun, end := make(chan struct{}, 10), make(chan struct{})
		l := large{bounce: func(_ context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
			runs.Add(1)
			begun <- struct{}{}
			<-end
			return bounce(req), nil
		}}
		register := func(srv *aegis.Server) error { return aegistestv1aegis.RegisterLargeServiceServer(srv, l) }
		srv, err := aegis.NewServer(conn)
		require.NoError(t, err)
		require.NoError(t, register(srv))
		stopping := runServer(t, srv)
		client := newLargeClient(t, another(t, conn))
		called := async(func() (*testv1.LargeResponse, error) {
			return client.Bounce(t.Context(), &testv1.LargeRequest{Bytes: 3_000_000})
		})
		receive(t, "it runs", begun)
		stopping.stop()
		eventually(t, "it stops", func() bool { return srv.Ready(t.Context()) != nil })
		serveLarge(t, another(t, conn), l)
		close(end)
		res := receive(t, "its reply", called)
		require.NoError(t, res.err)
		require.True(t, bytes.Equal(randomBytes(3_000_000), res.res.GetData()))
		require.NoError(t, receive(t, "it has stopped", stopping.done))
		require.EqualValues(t, 1, runs.Load())
	})
}

func TestLargeMessagesOfStreams(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveLarge(t, conn, large{})
	clientConn := another(t, conn)
	flow, err := newLargeClient(t, clientConn).Flow(t.Context())
	require.NoError(t, err)
	sizes := []int{10, 5_000_000, 0, maxPayload, maxMessage - 5, 1}
	go func() {
		for _, n := range sizes {
			if flow.Send(&testv1.LargeRequest{Data: randomBytes(n)}) != nil {
				return
			}
		}
		_ = flow.CloseSend()
	}()
	for _, n := range sizes {
		res, err := flow.Recv()
		require.NoError(t, err)
		require.True(t, bytes.Equal(randomBytes(n), res.GetData()), "%d bytes", n)
	}
	_, err = flow.Recv()
	require.Equal(t, io.EOF, err)
	nothingKept(t, srv, clientConn)
}

func TestMessagesBeyondMaxMessageBytes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveLarge(t, conn, large{})
	client := newLargeClient(t, conn)
	_, err := client.Bounce(t.Context(), &testv1.LargeRequest{Data: make([]byte, maxMessage)})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	require.False(t, aegis.IsWireError(err))
	_, err = client.Bounce(t.Context(), &testv1.LargeRequest{Bytes: maxMessage + 1})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	require.True(t, aegis.IsWireError(err))
	flow, err := client.Flow(t.Context())
	require.NoError(t, err)
	err = flow.Send(&testv1.LargeRequest{Data: make([]byte, maxMessage)})
	require.Equal(t, aegis.ReasonTooLarge, asError(t, err).Reason())
	require.NoError(t, flow.Send(&testv1.LargeRequest{Data: make([]byte, 10)}), "the stream goes on")
	res, err := flow.Recv()
	require.NoError(t, err)
	require.Len(t, res.GetData(), 10)
	require.NoError(t, flow.Close())
	nothingKept(t, srv, conn)
}

func TestErrorsAndMetadataOfLargeCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveLarge(t, conn, large{bounce: func(ctx context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
		call, _ := aegis.CallFromContext(ctx)
		call.ResponseHeader().Set("echo", call.RequestHeader().Get("tenant"))
		if req.GetBytes() == 1 {
			return nil, aegis.NewError(aegis.CodeNotFound, "no")
		}
		return bounce(req), nil
	}})
	client := newLargeClient(t, conn)
	for _, size := range []int{10, 2_000_000} {
		ctx, call := aegis.NewCall(t.Context())
		call.RequestHeader().Set("tenant", "a")
		_, err := client.Bounce(ctx, &testv1.LargeRequest{Data: randomBytes(size)})
		require.NoError(t, err)
		require.Equal(t, "a", call.ResponseHeader().Get("echo"))
		_, err = client.Bounce(t.Context(), &testv1.LargeRequest{Data: randomBytes(size), Bytes: 1})
		require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
		require.True(t, aegis.IsWireError(err))
	}
}

// Large calls count like others.
func TestLargeCallsAreBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	running, release := make(chan struct{}, 8), make(chan struct{})
	srv := serveLarge(t, conn, large{bounce: func(_ context.Context, req *testv1.LargeRequest) (*testv1.LargeResponse, error) {
		running <- struct{}{}
		<-release
		return bounce(req), nil
	}})
	client := newLargeClient(t, conn, aegis.MaxAttempts(1))
	call := func() (*testv1.LargeResponse, error) {
		return client.Bounce(t.Context(), &testv1.LargeRequest{Data: randomBytes(2_000_000)})
	}
	var calls []<-chan result[*testv1.LargeResponse]
	for range 4 {
		calls = append(calls, async(call))
		receive(t, "a handler runs", running)
	}
	_, err := call()
	require.Equal(t, aegis.ReasonOverloaded, asError(t, err).Reason())
	close(release)
	for _, c := range calls {
		require.NoError(t, receive(t, "a call ends", c).err)
	}
	nothingKept(t, srv, conn)
}

func TestMemoryOfLargeMessagesIsBounded(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serverConn := another(t, conn, aegis.WithReassemblyLimit(3_000_000))
	srv := serveLarge(t, serverConn, large{})
	client := newLargeClient(t, conn)
	_, err := client.Bounce(t.Context(), &testv1.LargeRequest{Data: randomBytes(5_000_000)})
	require.Equal(t, aegis.CodeResourceExhausted, aegis.CodeOf(err))
	require.True(t, aegis.IsWireError(err))
	for range 3 { // nothing is lost of the bound
		_, err = client.Bounce(t.Context(), &testv1.LargeRequest{Data: randomBytes(2_500_000)})
		require.NoError(t, err)
	}
	nothingKept(t, srv, conn)
	_, err = aegis.Connect(t.Context(), "", aegis.WithReassemblyLimit(0))
	require.ErrorIs(t, err, aegis.ErrInvalidOption)
}

// checksummed is the last part of a message.
func checksummed(whole, last []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli))), last...)
}

func TestPartsByHand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveLarge(t, conn, large{})
	whole, err := proto.Marshal(&testv1.LargeRequest{Data: []byte("0123456789")})
	require.NoError(t, err)
	a, b := whole[:5], whole[5:]
	open := func(t *testing.T) *rawStream {
		t.Helper()
		s := &rawStream{t: t, nc: plain(t, conn)}
		s.inbox = s.nc.NewInbox()
		var err error
		s.sub, err = s.nc.SubscribeSync(s.inbox)
		require.NoError(t, err)
		require.NoError(t, s.nc.PublishRequest("aegis.call.aegistest.v1.LargeService.Flow", s.inbox, nil))
		s.accepted(s.next())
		return s
	}
	t.Run("good", func(t *testing.T) {
		s := open(t)
		s.send(rawFrame{kindPart, 1, a}, rawFrame{kindLast, 2, checksummed(whole, b)}, rawFrame{kindHalfClose, 3, nil})
		f, _ := s.frame()
		var res testv1.LargeResponse
		require.NoError(t, proto.Unmarshal(f.body, &res))
		require.Equal(t, "0123456789", string(res.GetData()))
		code, _ := s.end()
		require.Zero(t, code)
	})
	for name, c := range map[string]struct {
		frames []rawFrame
		code   aegis.Code
	}{
		"a wrong checksum":        {[]rawFrame{{kindPart, 1, a}, {kindLast, 2, checksummed(a, b)}}, aegis.CodeDataLoss},
		"no checksum":             {[]rawFrame{{kindPart, 1, a}, {kindLast, 2, []byte{1, 2, 3}}}, aegis.CodeInvalidArgument},
		"a message between parts": {[]rawFrame{{kindPart, 1, a}, {kindData, 2, whole}}, aegis.CodeInvalidArgument},
		"an end between parts":    {[]rawFrame{{kindPart, 1, a}, {kindHalfClose, 2, nil}}, aegis.CodeDataLoss},
		"a lost part":             {[]rawFrame{{kindPart, 1, a}, {kindLast, 3, checksummed(whole, b)}}, aegis.CodeDataLoss},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			go func() { // with what credit there is
				for _, f := range c.frames {
					_ = s.nc.PublishRequest(s.to, s.inbox, f.encode())
				}
			}()
			code, _ := s.end()
			require.Equal(t, c.code, code)
		})
	}
	t.Run("parts beyond max_message_bytes", func(t *testing.T) {
		t.Parallel()
		s := open(t)
		part, seq, limit := make([]byte, 1_000_000), uint64(0), s.limit[1]
		for {
			for seq*1_000_000 < limit {
				seq++
				s.send(rawFrame{kindPart, seq, part})
			}
			f, _ := s.frame()
			if f.kind == kindCredit {
				_, n := binary.Uvarint(f.body)
				_, m := binary.Uvarint(f.body[n:])
				limit, _ = binary.Uvarint(f.body[n+m:])
				continue
			}
			require.EqualValues(t, kindEnd, f.kind)
			var status aegisv1.Status
			require.NoError(t, proto.Unmarshal(f.body, &status))
			require.Equal(t, aegis.CodeResourceExhausted, aegis.Code(status.GetCode()))
			require.Greater(t, seq, uint64(20))
			s.send(rawFrame{kindCancel, 0, nil})
			return
		}
	})
	t.Cleanup(func() { nothingKept(t, srv) })
}

func TestLargeCallsByHand(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := serveLarge(t, conn, large{})
	const subject = "aegis.call.aegistest.v1.LargeService.Bounce"
	nc := plain(t, conn)
	request := func(bytes uint64, header nats.Header) *nats.Msg {
		payload, err := proto.Marshal(&testv1.LargeRequest{Bytes: bytes})
		require.NoError(t, err)
		msg, err := nc.RequestMsg(&nats.Msg{Subject: subject, Header: header, Data: payload}, patience)
		require.NoError(t, err)
		return msg
	}
	require.Len(t, request(10, nil).Data, 12, "whoever knows nothing of parts gets what fits")
	require.Equal(t, "TOO_LARGE", request(2_000_000, nil).Header.Get("Aegis-Reason"))
	require.Equal(t, "3", request(1, nats.Header{"Aegis-Chunked": {"many"}}).Header.Get("Nats-Service-Error-Code"))
	require.Equal(t, "TOO_LARGE", request(1, nats.Header{"Aegis-Chunked": {"20000001"}}).Header.Get("Aegis-Reason"))
	nothingKept(t, srv)
}

// The parts of a reply whose Ack was lost are no reply.
func TestLargeReplyWithoutItsBeginning(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	nc := plain(t, conn)
	canceled := make(chan *nats.Msg, 1)
	_, err := nc.Subscribe("aegis.cancel.aegistest.v1.LargeService", func(msg *nats.Msg) { canceled <- msg })
	require.NoError(t, err)
	_, err = nc.Subscribe("aegis.call.aegistest.v1.LargeService.Bounce", func(msg *nats.Msg) {
		_ = nc.Publish(msg.Reply, rawFrame{kindPart, 1, randomBytes(100)}.encode())
	})
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	_, err = newLargeClient(t, conn).Bounce(t.Context(), &testv1.LargeRequest{Bytes: 2_000_000})
	require.Equal(t, aegis.CodeDataLoss, aegis.CodeOf(err), "%v", err)
	require.False(t, aegis.IsWireError(err))
	receive(t, "the cancel", canceled)
	nothingKept(t, nil, conn)
}
