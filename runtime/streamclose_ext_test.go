package aegis_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// A handler that closes its receiver wakes who waits in it, and a reader never takes
// that for the end of what the client sends.
func TestReceiverThatAHandlerClosesWakesItsReader(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended := make(chan error, 2)
	serveStreams(t, conn, streams{chat: func(_ context.Context, in chatIn, out chatOut) error {
		reading := make(chan struct{})
		go func() {
			_, err := in.Recv()
			if err == nil {
				close(reading)
				_, err = in.Recv()
			}
			ended <- err
		}()
		<-reading
		if err := in.Close(); err != nil {
			return err
		}
		ended <- errors.Join(<-ended)
		_, err := in.Recv()
		ended <- err
		return out.Send(&testv1.ChatResponse{})
	}})
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	require.NoError(t, chat.Send(&testv1.ChatRequest{}))
	_, err = chat.Recv()
	require.NoError(t, err)
	for range 2 {
		require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the reader returns", ended)))
	}
	for range 1000 { // what nobody reads does not stop the client
		if err := chat.Send(&testv1.ChatRequest{}); err != nil {
			require.ErrorIs(t, err, io.EOF) // the handler has returned
			break
		}
	}
	require.NoError(t, chat.Close())
}

// A reader that goes on when the handler has returned has not read all.
func TestReaderThatOutlivesItsHandlerIsCanceled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	ended, read := make(chan error, 1), make(chan struct{})
	serveStreams(t, conn, streams{chat: func(_ context.Context, in chatIn, _ chatOut) error {
		go func() {
			<-read
			_, err := in.Recv()
			ended <- err
		}()
		return nil
	}})
	chat, err := newStreamClient(t, another(t, conn)).Chat(t.Context())
	require.NoError(t, err)
	_, err = chat.Recv()
	require.ErrorIs(t, err, io.EOF)
	close(read)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the reader returns", ended)))
	require.NoError(t, chat.CloseSend(), "there is nothing to close any more")
}
