package testservice

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// Service is the name of the service.
const Service = aegistestv1aegis.JobServiceName

// Patience is how long a test waits for something.
const Patience = 30 * time.Second

// Worker works commands: the text of one that begins with "dies" is its error for good,
// until Mend; "waits" waits for its context, or for Mend.
type Worker struct {
	mu     sync.Mutex
	mended bool
}

// Mend has all commands succeed from now on.
func (w *Worker) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mended = true
}

func (w *Worker) isMended() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mended
}

// Work works a command.
func (w *Worker) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	switch text := req.GetText(); {
	case w.isMended():
	case strings.HasPrefix(text, "dies"):
		return nil, aegis.Permanent(errors.New(text))
	case strings.HasPrefix(text, "waits"):
		if err := w.wait(ctx); err != nil {
			return nil, err
		}
	}
	return &testv1.WorkResponse{Text: "done: " + req.GetText()}, nil
}

// wait reports until ctx or Mend ends it: without reports the attempt would take too long.
func (w *Worker) wait(ctx context.Context) error {
	job, _ := aegis.JobFromContext(ctx)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := job.Report(ctx, aegis.Progress{Percent: 25, Message: "under way"}); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if w.isMended() {
				return nil
			}
		}
	}
}

// Once works the other command.
func (w *Worker) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return &testv1.OnceResponse{}, nil
}

// Serve runs a worker.
func Serve(t *testing.T, n *aegistest.NATS) *Worker {
	t.Helper()
	w := &Worker{}
	aegistest.Serve(t, n.Connect(t), func(srv *aegis.Server) error { return aegistestv1aegis.RegisterJobServiceServer(srv, w) })
	return w
}

// Client returns a client of the service.
func Client(t *testing.T, n *aegistest.NATS) aegistestv1aegis.JobServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(n.Connect(t))
	require.NoError(t, err)
	return client
}

// Send sends a command.
func Send(t *testing.T, client aegistestv1aegis.JobServiceClient, text string, opts ...aegis.SendOption) *aegis.Command[testv1.WorkResponse] {
	t.Helper()
	cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: text}, opts...)
	require.NoError(t, err)
	return cmd
}
