package aegis

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectionThatBreaksWhilePublishingIsUnavailable(t *testing.T) {
	t.Parallel()
	subject := "a.subject"
	broken := &net.OpError{Op: "write", Net: "tcp", Err: io.ErrClosedPipe}
	for _, e := range []*Error{
		(&Conn{}).publishError(&request{subject: &subject}, broken),
		(&streamHub{}).publishError(broken),
	} {
		require.Equal(t, CodeUnavailable, e.Code())
		require.ErrorIs(t, e, io.ErrClosedPipe)
		require.False(t, IsWireError(e))
	}
	require.Equal(t, CodeInternal, (&streamHub{}).publishError(errors.New("what nobody expects")).Code())
}
