package aegis_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// slowly is a connection to the same NATS over a link with a rate, in bytes a second.
func slowly(t testing.TB, conn *aegis.Conn, rate int, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	u, err := url.Parse(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	link, err := lossy.New(u.Host, 0, func(*lossy.Message) lossy.Fate { return lossy.Passed })
	require.NoError(t, err)
	t.Cleanup(link.Close)
	link.Throttle(rate)
	return connectTo(t, link.URL(), opts...)
}

// Each message takes 10 s, in which the connection of the client carries nothing else.
func TestLargeMessagesOverASlowLink(t *testing.T) {
	t.Parallel()
	const size = 1_500_000
	for name, req := range map[string]*testv1.LargeRequest{
		"request":  {Data: randomBytes(size), Bytes: 1},
		"response": {Bytes: size},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(t)
			serveLarge(t, conn, large{})
			client := newLargeClient(t, slowly(t, conn, 150_000))
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			res, err := client.Bounce(ctx, req)
			require.NoError(t, err)
			require.Equal(t, randomBytes(int(req.GetBytes())), res.GetData())
		})
	}
}

// flood sends so many bytes to a connection, beside all that Aegis does.
func flood(t testing.TB, from *aegis.Conn, to *aegis.Conn, bytes int) <-chan struct{} {
	t.Helper()
	const size = 64 << 10
	done, come := make(chan struct{}), 0
	_, err := to.NATS().Subscribe("flood", func(*nats.Msg) {
		if come += size; come >= bytes {
			close(done)
		}
	})
	require.NoError(t, err)
	require.NoError(t, to.NATS().Flush())
	for range (bytes + size - 1) / size {
		require.NoError(t, from.NATS().Publish("flood", make([]byte, size)))
	}
	return done
}

// For 4 s nothing comes but what was sent to the connection before.
func TestQuietStreamsLiveBesideAFlood(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	slow := slowly(t, conn, 1_000_000)
	chat, err := newStreamClient(t, slow).Chat(t.Context())
	require.NoError(t, err)
	receive(t, "the flood is over", flood(t, another(t, conn), slow, 4_000_000))
	stillThere(t, chat)
}

func TestQuietStreamsLiveBesideALargeMessage(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serveStreams(t, conn, streams{})
	serveLarge(t, another(t, conn), large{})
	slow := slowly(t, conn, 1_000_000)
	chat, err := newStreamClient(t, slow).Chat(t.Context())
	require.NoError(t, err)
	const size = 8_000_000
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	res, err := newLargeClient(t, slow).Bounce(ctx, &testv1.LargeRequest{Bytes: size})
	require.NoError(t, err)
	require.Len(t, res.GetData(), size)
	stillThere(t, chat)
}

// The NATS server gives up who does not take what it is sent.
func TestManyStreamsOverASlowLink(t *testing.T) {
	t.Parallel()
	const count, messages, size = 60, 8, 64_000
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`write_deadline: "3s"`), 0o600))
	conn := connectTo(t, aegistest.StartNATSWithConfig(t, path).URL())
	serveLarge(t, conn, large{})
	slow := slowly(t, conn, 4_000_000)
	client := newLargeClient(t, slow)
	var running sync.WaitGroup
	failures := make(chan error, count)
	for range count {
		running.Go(func() {
			failures <- func() error {
				flow, err := client.Flow(t.Context())
				if err != nil {
					return err
				}
				defer flow.Close()
				for range messages {
					if err := flow.Send(&testv1.LargeRequest{Bytes: size}); err != nil {
						return err
					}
				}
				if err := flow.CloseSend(); err != nil {
					return err
				}
				n := 0
				for res, err := range flow.All() {
					if err != nil {
						return err
					}
					n += len(res.GetData())
				}
				if n != messages*size {
					return fmt.Errorf("%d bytes came", n)
				}
				return nil
			}()
		})
	}
	running.Wait()
	for range count {
		require.NoError(t, <-failures)
	}
	require.Zero(t, slow.NATS().Stats().Reconnects)
}

func TestLateAnswerOfTheVoidProbeSaysNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	serve(t, conn, probe{})
	var log logs
	slow := slowly(t, conn, 1_000_000, log.option())
	over := flood(t, another(t, conn), slow, 4_000_000)
	client := newClient(t, slow)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	_, err := client.Do(ctx, &testv1.DoRequest{})
	require.NoError(t, err)
	receive(t, "the flood is over", over)
	require.NotContains(t, log.String(), "does not say when nobody listens")
}
