package aegis_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

const cancelSubject = "aegis.cancel.aegistest.v1.ProbeService"

// PEERS 5: the handler's context ended only with the timeout, 2.9 s after the
// caller had given up.
func TestHandlersContextEndsWhenTheCallerCancels(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, ended := make(chan struct{}), make(chan error, 1)
	serve(t, conn, probe{do: func(ctx context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	call := async(func() (*testv1.DoResponse, error) {
		return newClient(t, another(t, conn)).Do(ctx, doRequest(""))
	})
	receive(t, "the handler runs", started)
	at := time.Now()
	cancel()
	err := receive(t, "the call ends", call).err
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, aegis.IsWireError(err))
	require.ErrorIs(t, receive(t, "the handler's context ends", ended), context.Canceled)
	require.Less(t, time.Since(at), 5*time.Second, "long before the deadline")
}

func TestCallThatIsCanceledBeforeItArrivesDoesNotRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var ran atomic.Int64
	srv := serve(t, conn, probe{do: func(_ context.Context, _ *testv1.DoRequest) (*testv1.DoResponse, error) {
		ran.Add(1)
		return &testv1.DoResponse{}, nil
	}})
	nc := plain(t, conn)
	inbox := nc.NewInbox()
	replies, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	require.NoError(t, nc.Publish(cancelSubject, []byte(inbox)))
	require.NoError(t, nc.Publish(cancelSubject, nil), "rubbish does nothing")
	require.NoError(t, nc.Publish(cancelSubject, make([]byte, 1<<19)), "nor is it kept")
	eventually(t, "the cancel has come", func() bool { return srv.CancelsNoted() > 0 })
	require.NoError(t, nc.PublishRequest(doSubject, inbox, nil))
	eventually(t, "the request has come", func() bool { return srv.CancelsNoted() == 0 })
	_, err = nc.Request(doSubject, nil, patience)
	require.NoError(t, err, "others run")
	require.EqualValues(t, 1, ran.Load())
	n, _, err := replies.Pending()
	require.NoError(t, err)
	require.Zero(t, n, "nobody waits for a reply")
}

// holding is a handler that says when it begins, and runs until it is released or
// its context ends, which it says as well.
func holding(started, ended chan<- string, release <-chan struct{}) doFunc {
	return func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		started <- req.GetText()
		select {
		case <-ctx.Done():
			ended <- req.GetText()
			return nil, ctx.Err()
		case <-release:
			return &testv1.DoResponse{}, nil
		}
	}
}

// A server asks the callers of long calls whether they are still there. Plain
// NATS clients do not promise to answer, and are never asked.
func TestHandlersLearnThatTheirCallerIsGone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	spy := spyOn(t, conn)
	started, ended := make(chan string, 4), make(chan string, 4)
	release := make(chan struct{})
	server := another(t, conn)
	serve(t, server, probe{do: holding(started, ended, release)})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	call := func(conn *aegis.Conn, text string) <-chan result[*testv1.DoResponse] {
		client := newClient(t, conn)
		return async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest(text)) })
	}
	stays := call(conn, "stays")
	goes := another(t, conn)
	gone := call(goes, "goes")
	nc := plain(t, conn)
	plainCall := async(func() (*nats.Msg, error) {
		msg := nats.NewMsg(doSubject)
		msg.Header.Set("Aegis-Timeout", "60000")
		return nc.RequestMsgWithContext(ctx, msg)
	})
	for range 3 {
		receive(t, "handlers run", started)
	}
	asked := func() []string {
		return spy.subjects(func(s string) bool { return strings.HasSuffix(s, ".live") })
	}
	eventually(t, "callers are asked", func() bool { return len(asked()) >= 2 })
	// The spy listens to everything, which hides that somebody is gone.
	goes.NATS().Close()
	require.ErrorIs(t, receive(t, "its own call ends", gone).err, aegis.ErrConnClosed)
	pending(t, "it cannot be known while somebody listens to everything", ended)
	spy.leave(t)
	require.Equal(t, "goes", receive(t, "the handler learns it", ended))
	close(release)
	require.NoError(t, receive(t, "the caller that stays gets its reply", stays).err)
	require.NoError(t, receive(t, "and so does the plain one", plainCall).err)
	pending(t, "one handler only", ended)
	callers := map[string]bool{}
	for _, subject := range asked() {
		callers[subject] = true
	}
	require.Len(t, callers, 2, "the plain caller is not asked")
}

// A server asks only callers that promise an answer whether they are there.
func TestPlainCallersAreNotTakenForGone(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	started, ended, release := make(chan string, 10), make(chan string, 10), make(chan struct{})
	serve(t, conn, probe{do: holding(started, ended, release)})
	nc := plain(t, conn)
	replies := []string{"app.replies.Billing", "app.replies.Sales", "app.replies.eu-west", "_INBOX.wA8kYHmTsWvPQ2GnbYLRzX.S3mt9bz1"}
	subs := make([]*nats.Subscription, len(replies))
	for i, reply := range replies {
		var err error
		subs[i], err = nc.SubscribeSync(reply)
		require.NoError(t, err)
		msg := nats.NewMsg(doSubject)
		msg.Reply = reply
		msg.Header.Set("Aegis-Timeout", "60000") // the method's own may end it on a busy machine
		require.NoError(t, nc.PublishMsg(msg))
		receive(t, "it runs", started)
	}
	for range 2 { // so that all were asked who are
		goes := another(t, conn)
		client := newClient(t, goes)
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		gone := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("goes")) })
		receive(t, "it runs", started)
		goes.NATS().Close()
		require.Error(t, receive(t, "its call ends", gone).err)
		require.Equal(t, "goes", receive(t, "a handler ends", ended))
	}
	close(release)
	for i, sub := range subs {
		msg, err := sub.NextMsg(patience)
		require.NoError(t, err)
		require.Empty(t, msg.Header.Get("Nats-Service-Error"), replies[i])
	}
}
