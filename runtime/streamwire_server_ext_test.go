package aegis_test

import (
	"context"
	"io"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// rawServer is a server of Count made by hand: answer is called with each open.
func rawServer(t *testing.T, conn *aegis.Conn, answer func(nc *nats.Conn, open *nats.Msg)) <-chan *nats.Msg {
	t.Helper()
	nc := plain(t, conn)
	heard := make(chan *nats.Msg, 1000)
	_, err := nc.Subscribe("by.hand.*", func(msg *nats.Msg) {
		if msg.Subject == "by.hand.live" {
			_ = msg.Respond(nil)
			return
		}
		heard <- msg
	})
	require.NoError(t, err)
	_, err = nc.Subscribe(streamSubject+"*", func(msg *nats.Msg) { answer(nc, msg) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	return heard
}

func TestWhatServersMayNotDo(t *testing.T) {
	t.Parallel()
	ack := rawFrame{kindAck, 0, position(1, 1)}
	one, _ := proto.Marshal(&testv1.CountResponse{Number: 1})
	large, _ := proto.Marshal(&testv1.CountResponse{Data: make([]byte, 1000)})
	for name, c := range map[string]struct {
		frames  []rawFrame
		numbers uint64
		code    aegis.Code
	}{
		"a gap":                   {[]rawFrame{ack, {kindData, 1, one}, {kindData, 3, one}}, 1, aegis.CodeDataLoss},
		"a duplicate":             {[]rawFrame{ack, {kindData, 1, one}, {kindData, 1, one}}, 1, aegis.CodeDataLoss},
		"a loss before the end":   {[]rawFrame{ack, {kindData, 1, one}, {kindEnd, 3, nil}}, 1, aegis.CodeDataLoss},
		"a loss before a ping":    {[]rawFrame{ack, {kindData, 1, one}, {kindPing, 2, position(0, 1, 1)}}, 1, aegis.CodeDataLoss},
		"the window":              {[]rawFrame{ack, {kindData, 1, large}, {kindData, 2, one}}, 1, aegis.CodeInternal},
		"a late header":           {[]rawFrame{ack, {kindData, 1, one}, {kindHeader, 2, nil}}, 1, aegis.CodeInternal},
		"a half-close":            {[]rawFrame{ack, {kindHalfClose, 1, nil}}, 0, aegis.CodeInternal},
		"an absurd credit":        {[]rawFrame{ack, {kindCredit, 0, position(1, 1, 1)}}, 0, aegis.CodeInternal},
		"no message":              {[]rawFrame{ack, {kindData, 1, []byte{0xff}}}, 0, aegis.CodeInternal},
		"a stream that it forgot": {[]rawFrame{ack, {kindData, 1, one}, {kindEnd, 0, nil}}, 1, aegis.CodeInternal},
		"two ends":                {[]rawFrame{ack, {kindEnd, 1, nil}, {kindEnd, 1, nil}, {kindData, 2, one}}, 0, 0},
		"no ack":                  {[]rawFrame{{kindData, 1, one}}, 0, aegis.CodeDataLoss},
		"no ack but a ping":       {[]rawFrame{{kindPing, 0, position(0, 1, 1)}}, 0, aegis.CodeDataLoss},
		"an ack cut off":          {[]rawFrame{{kindAck, 0, []byte{1}}}, 0, aegis.CodeInternal},
		"an absurd ack":           {[]rawFrame{{kindAck, 0, position(math.MaxUint64, 1)}}, 0, aegis.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			heard := rawServer(t, conn, func(nc *nats.Conn, open *nats.Msg) {
				for _, f := range c.frames {
					_ = nc.PublishRequest(open.Reply, "by.hand.S~1", f.encode())
				}
			})
			canceled := func() { // the server is told in any case
				for {
					msg := receive(t, "the cancel", heard)
					if msg.Data[0] != kindCancel {
						continue
					}
					if msg.Reply != "" {
						_ = msg.Respond(rawFrame{kindEnd, 0, nil}.encode())
					}
					return
				}
			}
			in, err := newStreamClient(t, conn).Count(t.Context(), &testv1.CountRequest{}, aegis.WithStreamWindow(4, 1000))
			if name == "the window" { // reading would open it
				canceled()
			}
			numbers := uint64(0)
			for err == nil {
				if _, err = in.Recv(); err == nil {
					numbers++
				}
			}
			if c.code == 0 {
				require.Equal(t, io.EOF, err)
			} else {
				require.Equal(t, c.code, aegis.CodeOf(err), "%v", err)
				require.False(t, aegis.IsWireError(err))
			}
			require.Equal(t, c.numbers, numbers)
			if name != "the window" {
				canceled()
			}
			nothingKept(t, nil, conn)
		})
	}
}

// A client that is silent may be there all the same, and has canceled nothing.
func TestSilentClientIsToldThatItIsTakenForGone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	gone := make(chan error, 1)
	srv := serveStreams(t, conn, streams{chat: func(_ context.Context, in chatIn, _ chatOut) error {
		_, err := in.Recv()
		gone <- err
		return err
	}})
	s := openRaw(t, conn, "Chat", nil, nil)
	for {
		if msg := s.next(); msg.Data[0] == kindEnd {
			require.Equal(t, "14", msg.Header.Get("Nats-Service-Error-Code"), "UNAVAILABLE")
			break
		}
	}
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the handler knows", gone)))
	nothingKept(t, srv)
}

// A server that takes an open and says nothing: the client gives up, and says so.
func TestServerThatDoesNotAnswerTheOpen(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	rawServer(t, conn, func(*nats.Conn, *nats.Msg) {})
	canceled := make(chan string, 1)
	_, err := plain(t, conn).Subscribe("aegis.cancel.>", func(msg *nats.Msg) { canceled <- string(msg.Data) })
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = newStreamClient(t, conn).Chat(ctx)
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err))
	require.Contains(t, receive(t, "the cancel", canceled), ".S")
	nothingKept(t, nil, conn)
}
