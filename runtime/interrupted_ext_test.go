package aegis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// interrupted is a handler whose first call lasts until it is let go.
type interrupted struct {
	calls   atomic.Int32
	running chan struct{}
	letGo   chan struct{}
}

func newInterrupted() *interrupted {
	return &interrupted{running: make(chan struct{}), letGo: make(chan struct{})}
}

// handle counts the calls with the text "held".
func (i *interrupted) handle(text string) {
	if text == "held" && i.calls.Add(1) == 1 {
		close(i.running)
		<-i.letGo
	}
}

// cut ends the connection of a caller, and returns when it has another one.
func (i *interrupted) cut(t *testing.T, caller *aegis.Conn, hole interface{ Cut() }) {
	t.Helper()
	receive(t, "the handler runs", i.running)
	before := caller.NATS().Stats().Reconnects
	hole.Cut()
	eventually(t, "the caller is connected again", func() bool {
		return caller.NATS().IsConnected() && caller.NATS().Stats().Reconnects > before
	})
}

// Its reply would be lost, if it came while the connection was away, and nobody says so.
func TestAnIdempotentCallIsSentAgainWhenItsConnectionWasLost(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	hole := startHole(t, conn.NATS().ConnectedUrl())
	caller := connectTo(t, hole.URL())
	h := newInterrupted()
	defer close(h.letGo)
	serve(t, conn, probe{get: func(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
		h.handle(req.GetText())
		return &testv1.GetResponse{}, nil
	}})
	ctx := deadlineIn(t, time.Hour)
	call := async(func() (*testv1.GetResponse, error) { return newClient(t, caller).Get(ctx, getRequest("held")) })
	h.cut(t, caller, hole)
	require.NoError(t, receive(t, "the second attempt is answered", call).err)
	require.EqualValues(t, 2, h.calls.Load())
}

func TestACallThatMayNotBeSentAgainWaitsForItsReplyAfterItsConnectionWasLost(t *testing.T) {
	t.Parallel()
	get := func(ctx context.Context, c aegistestv1aegis.ProbeServiceClient) error {
		_, err := c.Get(ctx, getRequest("held"))
		return err
	}
	for name, is := range map[string]struct {
		call func(context.Context, aegistestv1aegis.ProbeServiceClient) error
		opt  aegis.ClientOption
	}{
		"not idempotent": {call: func(ctx context.Context, c aegistestv1aegis.ProbeServiceClient) error {
			_, err := c.Do(ctx, doRequest("held"))
			return err
		}, opt: aegis.MaxAttempts(2)},
		"one attempt": {call: get, opt: aegis.MaxAttempts(1)},
		"no budget":   {call: get, opt: aegis.WithRetryBudget(0, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			hole := startHole(t, conn.NATS().ConnectedUrl())
			caller := connectTo(t, hole.URL())
			h := newInterrupted()
			serve(t, conn, probe{
				do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
					h.handle(req.GetText())
					return &testv1.DoResponse{}, nil
				},
				get: func(_ context.Context, req *testv1.GetRequest) (*testv1.GetResponse, error) {
					h.handle(req.GetText())
					return &testv1.GetResponse{}, nil
				},
			})
			ctx := deadlineIn(t, time.Hour)
			client := newClient(t, caller, is.opt)
			call := async(func() (struct{}, error) { return struct{}{}, is.call(ctx, client) })
			h.cut(t, caller, hole)
			_, err := client.Get(ctx, getRequest("")) // the connection works, and the caller has heard that it is back
			require.NoError(t, err)
			close(h.letGo)
			require.NoError(t, receive(t, "its reply comes", call).err)
			require.EqualValues(t, 1, h.calls.Load())
		})
	}
}
