package aegistest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
)

// stopTimeout is how long a server may take to stop. Its test fails after that.
const stopTimeout = 60 * time.Second

// Instance is a server that runs, and that its test can stop or kill. It is safe for
// concurrent use.
type Instance struct {
	*aegis.Server

	tb     testing.TB
	cancel context.CancelFunc // ends the context of Run
	done   chan struct{}      // closed when Run has returned
	err    error              // of Run; set before done is closed
	killed atomic.Bool

	mu       sync.Mutex // guards reported
	reported bool       // the test knows of err
}

// Serve makes a server, calls register, which registers services with it, and runs it. It
// returns when the server is running; the first leaders lead soon after that, see the
// package's documentation. The server stops gracefully when the test ends; the
// test fails if the server does not start, or ends with another error than that its
// connection was closed. It logs as its connection does, and if that has no logger of its
// own, to the test's output; [aegis.WithLogger] goes over both.
func Serve(tb testing.TB, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) *aegis.Server {
	tb.Helper()
	return Start(tb, conn, register, opts...).Server
}

// Start is [Serve] for a server that the test stops early, or kills.
func Start(tb testing.TB, conn *aegis.Conn, register func(*aegis.Server) error, opts ...aegis.ServerOption) *Instance {
	tb.Helper()
	running := make(chan struct{})
	opts = append(opts, aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			close(running)
		}
	}))
	if conn != nil && inside.Of(conn).Logger == slog.Default() {
		opts = append([]aegis.ServerOption{aegis.WithLogger(newLogger(tb))}, opts...)
	}
	srv, err := aegis.NewServer(conn, opts...)
	if err == nil {
		err = register(srv)
	}
	if err != nil {
		tb.Fatal(err)
	}
	if f := firstsOf(conn); f != nil {
		if err := f.prepare(srv); err != nil {
			tb.Logf("aegistest: the first leader waits out a lease: %v", err)
		}
	}
	i := &Instance{Server: srv, tb: tb, done: make(chan struct{})}
	i.run()
	select {
	case <-running:
	case <-i.done:
		i.know()
		tb.Fatalf("the server did not start: %v", i.err)
	case <-time.After(startTimeout):
		tb.Fatalf("the server did not start within %v", startTimeout)
	}
	return i
}

// run runs the server until the test ends, or before.
func (i *Instance) run() {
	var ctx context.Context
	ctx, i.cancel = context.WithCancel(context.Background())
	i.tb.Cleanup(i.Stop)
	go func() {
		i.err = i.Run(ctx)
		close(i.done)
	}()
}

// Stop stops the server gracefully, as a signal to its process would, and returns when it has
// stopped. If it has ended already Stop does nothing. The test fails if it does not stop, or
// ends with another error than that its connection was closed.
func (i *Instance) Stop() {
	i.cancel()
	var err error
	select {
	case <-i.done:
		err = i.err
	case <-time.After(stopTimeout):
		err = errors.New("it did not stop within " + stopTimeout.String())
	}
	if err != nil && !errors.Is(err, aegis.ErrConnClosed) && i.know() {
		i.tb.Errorf("the server %s stopped with an error: %v", i.Instance(), err)
	}
}

// know reports whether the test does not know yet how the server has ended.
func (i *Instance) know() (first bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	first, i.reported = !i.reported, true
	return first
}

// Kill ends the server as the end of its process would, such as by SIGKILL: its connection is
// closed at once, nothing is released or said any more, and the contexts of its handlers end.
// Others notice it as they do in production. All that uses the same connection ends with it,
// so that a server that is to be killed has one of its own. Kill does not wait for handlers
// that go on; the end of the test does.
func (i *Instance) Kill() {
	i.killed.Store(true)
	inside.OfServer(i.Server).Kill()
}

// Leader returns that of the instances which leads a group of a service now. If none does it
// waits for one, and if none does for 30 s the test fails. The group is "default" where the
// proto names none. An instance that was killed or has stopped does not lead.
func Leader(tb testing.TB, service, group string, instances ...*Instance) *Instance {
	tb.Helper()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var leader *Instance
		var greatest uint64 // of the terms: a leader that others have taken for dead may not know it yet
		for _, i := range instances {
			if token := i.leads(service, group); token > greatest {
				leader, greatest = i, token
			}
		}
		if leader != nil {
			return leader
		}
	}
	tb.Fatalf("nobody has led the group %s of %s for %v", group, service, startTimeout)
	return nil
}

// leads returns the token of the term in which the instance leads a group; 0 if it does not.
func (i *Instance) leads(service, group string) (token uint64) {
	if i.killed.Load() {
		return 0
	}
	for term := range i.Leading() {
		if term.Service == service && term.Group == group {
			return term.Token
		}
	}
	return 0
}
