package commandstore

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// A detail whose type this program lacks has no JSON, and is kept all the same.
func TestFailureWithAnUnknownDetailIsProtobuf(t *testing.T) {
	t.Parallel()
	why := status.New(status.NotFound, "none")
	known, err := anypb.New(&anypb.Any{TypeUrl: "x"})
	require.NoError(t, err)
	for url, contentType := range map[string]string{known.GetTypeUrl(): wire.ContentTypeJSON, "type.googleapis.com/of.another.Program": ""} {
		why.Details = []*anypb.Any{{TypeUrl: url}}
		o := Failure(wire.StateFailed, why, 1, true)
		require.Equal(t, contentType, o.header.Get(wire.HeaderContentType), url)
		require.Equal(t, "5", o.header.Get(wire.HeaderServiceErrorCode))
		if contentType == "" {
			require.Len(t, status.Decode(o.header, o.payload).Details, 1)
		}
	}
}
