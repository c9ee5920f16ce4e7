package aegis_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// streamPermissions are those of docs/protocol.md for streams. A server without
// the registry's serves all the same.
const streamPermissions = `
authorization {
  users = [
    {user: server, password: pw, permissions: {
      publish: ["aegis.live.*", "aegis.*._void.*", "_INBOX.*.live"]
      subscribe: ["aegis.call.aegistest.v1.StreamService.* aegis", "aegis.inst.*.aegistest.v1.StreamService.*",
                  "aegis.in.*.*", "aegis.cancel.aegistest.v1.StreamService", "aegis.live.*", "_INBOX.>"]
      allow_responses: {max: -1, expires: "-1s"}
    }}
    {user: client, password: pw, permissions: {
      publish: ["aegis.call.aegistest.v1.StreamService.>", "aegis.cancel.aegistest.v1.StreamService", "aegis.*._void.*", "aegis.in.*.*"]
      subscribe: ["_INBOX.>"]
    }}
    {user: mute, password: pw, permissions: {publish: ["aegis.call.>", "aegis.*._void.*"], subscribe: ["_INBOX.>"]}}
  ]
}
`

func TestLeastPermissionsOfStreams(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(streamPermissions), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1))
	}
	ended := make(chan struct{}, 2)
	serveStreams(t, as("server"), streams{count: func(ctx context.Context, req *testv1.CountRequest, out countOut) error {
		if req.GetText() != "held" {
			return countUp(ctx, req, out)
		}
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	}})
	client := newStreamClient(t, as("client"))
	in, err := client.Count(t.Context(), &testv1.CountRequest{Numbers: 40_000})
	require.NoError(t, err)
	got, err := readNumbers(t, in)
	require.NoError(t, err)
	require.EqualValues(t, 40_000, got)
	out, err := client.Sum(t.Context())
	require.NoError(t, err)
	require.NoError(t, out.Send(&testv1.SumRequest{Number: 2}))
	_, err = out.CloseAndRecv()
	require.NoError(t, err)
	in, err = client.Count(t.Context(), &testv1.CountRequest{Text: "held"})
	require.NoError(t, err)
	require.NoError(t, in.Close())
	receive(t, "the handler's context ends", ended)

	mute := newStreamClient(t, as("mute"))
	chat, err := mute.Chat(t.Context())
	require.NoError(t, err)
	begun := time.Now()
	for err == nil {
		err = chat.Send(&testv1.ChatRequest{})
		require.Less(t, time.Since(begun), patience)
	}
	_, err = chat.Recv()
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, err, "aegis.in.")
}
