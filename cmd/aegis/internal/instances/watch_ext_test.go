package instances_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

func TestWatchTellsOfInstancesThatComeAndGo(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	p := clitest.Start(t, nil, "watch", "echo.v1.EchoService", "--server", nats.URL())
	p.Out().Await(t, "one")

	ctx, stop := context.WithCancel(t.Context())
	srv, err := aegis.NewServer(nats.Connect(t), aegis.WithInstance("two"))
	require.NoError(t, err)
	require.NoError(t, echov1aegis.RegisterEchoServiceServer(srv, echo{}))
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	p.Out().Await(t, "STARTING -> RUNNING")
	stop()
	require.NoError(t, <-ended)
	p.Out().Await(t, "left")

	p.Interrupt(t)
	r := p.Wait(t)
	assert.Equal(t, 130, r.Code, r.Err)
	assert.Empty(t, r.Err)
	assert.True(t, strings.HasSuffix(r.Out, "\n"))
}

func TestWatchSaysThatNATSIsGoneAndBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := embednats.Listen()
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	server, err := embednats.Start(embednats.Options{StoreDir: dir, Port: port})
	require.NoError(t, err)
	p := clitest.Start(t, nil, "watch", "-o", "json", "--server", server.ClientURL())
	conn, err := aegis.Connect(t.Context(), server.ClientURL())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close(context.Background())) })
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	}, aegis.WithInstance("one"))
	p.Out().Await(t, `"RUNNING"`)

	server.Stop()
	p.Out().Await(t, `"connection lost"`)
	server, err = embednats.Start(embednats.Options{StoreDir: dir, Port: port})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	out := p.Out().Await(t, `"connected"`)
	for line := range strings.Lines(out) {
		assert.True(t, json.Valid([]byte(line)), line)
	}
}

func TestTreeShowsInstancesBelowTheirService(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	serveEcho(t, nats, "two")
	r := clitest.Run(t, nil, "tree", "--server", nats.URL())
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "echo.v1.EchoService  running\n├─ one  RUNNING")
	assert.Contains(t, r.Out, "└─ two  RUNNING")

	r = clitest.Run(t, nil, "tree", "--watch", "--server", nats.URL())
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "aegis watch")
}

func TestHealthShowsReportsAndFailsForAnUnhealthyInstance(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	r := clitest.Run(t, nil, "health", "echo.v1.EchoService", "--server", nats.URL())
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Regexp(t, `one +healthy +A\+ +100`, r.Out)

	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	}, aegis.WithInstance("two"), aegis.WithCheck("disk", health.Needs(func(context.Context) error { return errors.New("the disk is full") })))
	r = clitest.Run(t, nil, "health", "echo.v1.EchoService", "--server", nats.URL())
	assert.Equal(t, 1, r.Code, r.Out)
	assert.Contains(t, r.Out, "the disk is full")
}

func TestPingAsksEachInstance(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	r := clitest.Run(t, nil, "ping", "echo.v1.EchoService", "-c", "2", "--server", nats.URL())
	require.Equal(t, 0, r.Code, r.Err)
	assert.Regexp(t, `NATS +2 of 2`, r.Out)
	assert.Regexp(t, `one +2 of 2`, r.Out)
	r = clitest.Run(t, nil, "ping", "-c", "0", "--server", nats.URL())
	assert.Equal(t, 2, r.Code)
}
