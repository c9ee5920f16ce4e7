package aegisadmin_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// deadline is far more than anything takes here.
const deadline = 30 * time.Second

const jobService = aegistestv1aegis.JobServiceName

// jobs is a JobService whose commands are worked by a function.
type jobs struct {
	work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return j.work(ctx, req)
}

func (j jobs) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return &testv1.OnceResponse{}, nil
}

// startWorker runs a worker, and returns the function that stops it.
func startWorker(t *testing.T, n *aegistest.NATS, work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error), opts ...aegis.ServiceOption) (stop func()) {
	t.Helper()
	return startWorkerOn(t, n.Connect(t), work, opts...)
}

// startWorkerOn is startWorker on a connection.
func startWorkerOn(t *testing.T, conn *aegis.Conn, work func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error), opts ...aegis.ServiceOption) (stop func()) {
	t.Helper()
	return aegistest.Start(t, conn, func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work}, opts...)
	}).Stop
}

func answer(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return &testv1.WorkResponse{Text: req.GetText()}, nil
}

func newJobs(t *testing.T, conn *aegis.Conn) aegistestv1aegis.JobServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(conn)
	require.NoError(t, err)
	return client
}

func send(t *testing.T, client aegistestv1aegis.JobServiceClient, text string, opts ...aegis.SendOption) *aegis.Command[testv1.WorkResponse] {
	t.Helper()
	cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: text}, opts...)
	require.NoError(t, err)
	return cmd
}

// list returns the commands that a filter picks.
func list(t *testing.T, a *aegisadmin.Admin, f aegisadmin.CommandFilter) []*aegisadmin.Command {
	t.Helper()
	var found []*aegisadmin.Command
	for c, err := range a.Commands(t.Context(), jobService, f) {
		require.NoError(t, err)
		found = append(found, c)
	}
	return found
}

func text(t *testing.T, c *aegisadmin.Command) string {
	t.Helper()
	req := &testv1.WorkRequest{}
	require.NoError(t, unmarshal(c.Data, req))
	return req.GetText()
}

func texts(t *testing.T, commands []*aegisadmin.Command) []string {
	t.Helper()
	list := []string{}
	for _, c := range commands {
		list = append(list, text(t, c))
	}
	return list
}

func eventually(t *testing.T, holds func() bool, msg ...any) {
	t.Helper()
	require.Eventually(t, holds, deadline, 10*time.Millisecond, msg...)
}
