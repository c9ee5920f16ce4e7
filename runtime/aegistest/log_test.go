package aegistest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/inside"
)

// recorded is a test whose output is kept, and whose end is told by end.
type recorded struct {
	testing.TB

	out  lines
	ends []func()
}

func (r *recorded) Output() io.Writer { return &r.out }

func (r *recorded) Cleanup(f func()) { r.ends = append(r.ends, f) }

// end does what the end of a test does, after which a write to its output panics.
func (r *recorded) end() {
	for _, end := range slices.Backward(r.ends) {
		end()
	}
	r.out.finish()
}

// lines is the output of a test.
type lines struct {
	mu    sync.Mutex // guards buf and ended
	buf   bytes.Buffer
	ended bool
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		panic("Write called after the test has completed")
	}
	return l.buf.Write(b)
}

func (l *lines) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestLogsGoToTheTest(t *testing.T) {
	t.Parallel()
	r := &recorded{TB: t}
	logger := newLogger(r)
	logger.Info("aegis: serving", "instance", "a")
	logger.Warn("aegis: wrong", slog.Group("of", "level", "INFO"))
	require.Regexp(t, `(?m)\Atime=\d\d:\d\d:\d\d\.\d{3} msg="aegis: serving" instance=a
time=\d\d:\d\d:\d\d\.\d{3} level=WARN msg="aegis: wrong" of.level=INFO
\z`, r.out.String())
}

func TestLogAfterTheEndOfTheTestIsDropped(t *testing.T) {
	t.Parallel()
	r := &recorded{TB: t}
	logger := newLogger(r)
	var logging sync.WaitGroup
	stop, begun := make(chan struct{}), make(chan struct{}, 100)
	for range 4 {
		logging.Go(func() {
			for {
				logger.Info("on and on")
				select {
				case begun <- struct{}{}:
				case <-stop:
					return
				}
			}
		})
	}
	for range 50 {
		<-begun
	}
	go func() {
		for range begun { // they go on
		}
	}()
	r.end()
	logger.Info("late")
	close(stop)
	logging.Wait()
	close(begun)
	require.Contains(t, r.out.String(), "on and on")
	require.NotContains(t, r.out.String(), "late")
}

func TestServersAndConnectionsLogToTheTestUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	n := StartNATS(t)
	r := &recorded{TB: t}
	t.Cleanup(r.end)
	logger := slog.New(slog.DiscardHandler)
	require.Same(t, logger, inside.Of(n.Connect(t, aegis.WithLogger(logger))).Logger)
	own := n.Connect(r)
	inside.Of(own).Logger.Info("it is told")
	require.Contains(t, r.out.String(), "it is told")

	conn, err := aegis.Connect(t.Context(), n.URL()) // logs to slog.Default
	require.NoError(t, err)
	r.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	register := func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, aegistestv1aegis.UnimplementedProbeServiceServer{})
	}
	Serve(r, conn, register, aegis.WithInstance("a"))
	require.Contains(t, r.out.String(), `msg="aegis: serving" instance=a`)
	Serve(r, conn, register, aegis.WithInstance("b"), aegis.WithLogger(logger))
	require.NotContains(t, r.out.String(), "instance=b")
}
