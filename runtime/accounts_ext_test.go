package aegis_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// twoAccounts has services in one account, which another one imports with replies of
// a type.
const twoAccounts = `
accounts {
  SERVICES: {
    users: [{user: server, password: pw}]
    exports: [{service: "aegis.call.>", response_type: %[1]s}, {service: "aegis.cancel.>"}, {service: "aegis.all.>", response_type: %[1]s}]
  }
  CLIENTS: {
    users: [{user: client, password: pw}]
    imports: [
      {service: {account: SERVICES, subject: "aegis.call.>"}}
      {service: {account: SERVICES, subject: "aegis.cancel.>"}}
      {service: {account: SERVICES, subject: "aegis.all.>"}}
    ]
  }
}
`

// inAnotherAccount returns connections of a server and of a client whose account
// imports the server's services.
func inAnotherAccount(t *testing.T, responses string) (server, client *aegis.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, twoAccounts, responses), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1))
	}
	return as("server"), as("client")
}

// What docs/protocol.md says of services in another account, from here on.
func TestCallsOfServicesInAnotherAccountWorkAndCannotBeCanceled(t *testing.T) {
	t.Parallel()
	server, clientConn := inAnotherAccount(t, "singleton")
	handling, ended := make(chan struct{}, 1), make(chan error, 1)
	serve(t, server, probe{do: func(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() != "waits" {
			return mirror(ctx, req)
		}
		handling <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}})
	client := newClient(t, clientConn)
	ctx, call := aegis.NewCall(t.Context())
	call.RequestHeader().Set("tenant", "a")
	_, err := client.Do(ctx, doRequest(""))
	require.NoError(t, err)
	require.Equal(t, "a", call.ResponseHeader().Get("tenant"))
	_, err = client.Do(t.Context(), doRequest("fail"))
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	waits := async(func() (*testv1.DoResponse, error) { return client.Do(ctx, doRequest("waits")) })
	receive(t, "a handler runs", handling)
	cancel()
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(receive(t, "the call ends", waits).err))
	require.Equal(t, context.DeadlineExceeded, receive(t, "the handler goes on to its deadline", ended))
}

func TestStreamsOfServicesInAnotherAccountNeedRepliesThatAreStreams(t *testing.T) {
	t.Parallel()
	t.Run("one reply", func(t *testing.T) {
		t.Parallel()
		server, client := inAnotherAccount(t, "singleton")
		serveStreams(t, server, streams{})
		chat, err := newStreamClient(t, client).Chat(t.Context())
		require.NoError(t, err)
		_, err = chat.Recv()
		require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
		require.ErrorContains(t, err, "is gone, or cannot be reached")
	})
	t.Run("a stream", func(t *testing.T) {
		t.Parallel()
		server, client := inAnotherAccount(t, "stream")
		ended := make(chan error, 1)
		serveStreams(t, server, streams{brief: func(ctx context.Context, _ chatIn, _ chatOut) error {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil
		}})
		serveLarge(t, server, large{})
		serveTell(t, server, "one", tell)
		caller := newStreamClient(t, client)
		chat, err := caller.Chat(t.Context())
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, chat.Send(&testv1.ChatRequest{Text: "x"}))
			m, err := chat.Recv()
			require.NoError(t, err)
			require.Equal(t, "x", m.GetText())
			// A quiet stream is asked whether it is alive.
			got := replies(t.Context(), t, newTeller(t, client), aegis.UntilSilence(3*time.Second))
			require.NoError(t, got["one"].Err)
		}
		require.NoError(t, chat.Close())
		canceled, err := caller.Brief(t.Context())
		require.NoError(t, err)
		require.NoError(t, canceled.Close())
		require.Equal(t, context.Canceled, receive(t, "the handler's context ends", ended))
		res, err := newLargeClient(t, client).Bounce(t.Context(), &testv1.LargeRequest{Data: make([]byte, 2*maxPayload)})
		require.NoError(t, err)
		require.Len(t, res.GetData(), 2*maxPayload)
	})
}

func TestInstancesOfAnotherAccountAreNotKnown(t *testing.T) {
	t.Parallel()
	server, client := inAnotherAccount(t, "stream")
	aegistest.Serve(t, server, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterBroadcastServiceServer(srv, tellFunc(tell))
	}, aegis.WithInstance("one"))
	instances, err := client.Instances(t.Context(), teller)
	require.NoError(t, err)
	require.Empty(t, instances)
}
