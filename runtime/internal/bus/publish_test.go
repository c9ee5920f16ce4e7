package bus

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// The rest of a request may have been sent, and its handler may run.
func TestConnectionThatBreaksWhilePublishingIsUnavailable(t *testing.T) {
	t.Parallel()
	subject := "a.subject"
	r := &Request{Subject: &subject}
	s := new(Bus).PublishError(r, &net.OpError{Op: "write", Net: "tcp", Err: io.ErrClosedPipe})
	require.Equal(t, status.Unavailable, s.Code)
	require.ErrorIs(t, s.Cause, io.ErrClosedPipe)
	require.False(t, s.NotRun)
	s = new(Bus).PublishError(r, errors.New("what nobody expects"))
	require.Equal(t, status.Internal, s.Code)
	require.True(t, s.NotRun)
}
