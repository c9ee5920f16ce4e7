package aegis

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectionThatBreaksWhileAStreamIsSentIsUnavailable(t *testing.T) {
	t.Parallel()
	e := (&streamHub{}).publishError(&net.OpError{Op: "write", Net: "tcp", Err: io.ErrClosedPipe})
	require.Equal(t, CodeUnavailable, e.Code())
	require.ErrorIs(t, e, io.ErrClosedPipe)
	require.False(t, IsWireError(e))
	require.Equal(t, CodeInternal, (&streamHub{}).publishError(errors.New("what nobody expects")).Code())
}
