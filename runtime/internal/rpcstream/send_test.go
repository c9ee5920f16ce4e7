package rpcstream

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/status"
)

func TestConnectionThatBreaksWhileAStreamIsSentIsUnavailable(t *testing.T) {
	t.Parallel()
	s := new(Hub).publishError(&net.OpError{Op: "write", Net: "tcp", Err: io.ErrClosedPipe})
	require.Equal(t, status.Unavailable, s.Code)
	require.ErrorIs(t, s.Cause, io.ErrClosedPipe)
	require.False(t, s.NotRun)
	require.Equal(t, status.Internal, new(Hub).publishError(errors.New("what nobody expects")).Code)
}
