// Package aegistest helps to test services against a real NATS server that runs within the
// process of the test. No program needs to be installed or started.
//
//	conn := aegistest.Connect(t)
//	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
//		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
//	})
//	client, err := echov1aegis.NewEchoServiceClient(conn)
//
// A server refuses calls of unknown age after a pause of its process. In a program that
// imports this package a pause is 5 s and not half a second, as machines on which tests run
// are busy, and the calls of a test would be refused for that.
package aegistest

import (
	"context"
	"errors"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/handling"

	"github.com/aegisrpc/aegis/internal/embednats"
)

// A test fails whose server takes longer to start, or to stop.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 60 * time.Second
)

// testPause is how late a process of tests may be before it takes itself for paused.
const testPause = 5 * time.Second

func init() { handling.SetLateness(testPause) } //nolint:gochecknoinits // before any server is made, whoever makes it

// NATS is a NATS server with JetStream, on a free port of the loopback
// interface, with its files in the test's temporary folder.
type NATS struct {
	server *embednats.Server
}

// StartNATS starts a NATS server, which stops when the test ends. If it cannot be started
// the test fails.
func StartNATS(tb testing.TB) *NATS {
	tb.Helper()
	return start(tb, embednats.Options{StoreDir: tb.TempDir()})
}

// StartNATSWithConfig is StartNATS with a configuration file of nats-server,
// for tests with users and permissions. Address, port and JetStream are set as
// for StartNATS, whatever the file says.
func StartNATSWithConfig(tb testing.TB, path string) *NATS {
	tb.Helper()
	return start(tb, embednats.Options{StoreDir: tb.TempDir(), Config: path})
}

func start(tb testing.TB, o embednats.Options) *NATS {
	tb.Helper()
	s, err := embednats.Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return &NATS{server: s}
}

// URL returns the URL to which clients connect.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Connect returns a connection to the server, which is closed when the test ends. If it
// cannot be made, or closed, the test fails.
func (n *NATS) Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := aegis.Connect(ctx, n.URL(), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return conn
}

// Connect starts a NATS server and returns a connection to it. Both end with the test.
func Connect(tb testing.TB, opts ...aegis.ConnOption) *aegis.Conn {
	tb.Helper()
	return StartNATS(tb).Connect(tb, opts...)
}

// Serve makes a server, calls register, which registers services with it, and runs it. It
// returns when the server is running. The server stops gracefully when the test ends; the
// test fails if the server does not start, or ends with another error than that its
// connection was closed.
func Serve(tb testing.TB, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) *aegis.Server {
	tb.Helper()
	running := make(chan struct{})
	opts = append(opts, aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))
	srv, err := aegis.NewServer(conn, opts...)
	if err == nil {
		err = register(srv)
	}
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	select {
	case <-running:
	case err := <-done:
		cancel()
		tb.Fatalf("the server did not start: %v", err)
	case <-time.After(startTimeout):
		cancel()
		tb.Fatalf("the server did not start within %v", startTimeout)
	}
	tb.Cleanup(func() {
		cancel()
		tb.Helper()
		if err := await(done); err != nil && !errors.Is(err, aegis.ErrConnClosed) {
			tb.Errorf("the server stopped with an error: %v", err)
		}
	})
	return srv
}

// await returns the result of Run once the server has stopped.
func await(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-time.After(stopTimeout):
		return errors.New("it did not stop within " + stopTimeout.String())
	}
}
