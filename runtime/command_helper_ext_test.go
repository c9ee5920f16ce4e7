package aegis_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const jobService = "aegistest.v1.JobService"

type workFunc = func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error)

// jobs is a JobService made of functions. A nil one returns the text that it was
// sent.
type jobs struct {
	work workFunc
	once func(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error)
}

func (j jobs) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	if j.work == nil {
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}
	return j.work(ctx, req)
}

func (j jobs) Once(ctx context.Context, req *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	if j.once == nil {
		return &testv1.OnceResponse{}, nil
	}
	return j.once(ctx, req)
}

func registerJobs(j jobs, opts ...aegis.ServiceOption) func(*aegis.Server) error {
	return func(srv *aegis.Server) error { return aegistestv1aegis.RegisterJobServiceServer(srv, j, opts...) }
}

// worker runs a server of commands.
func worker(t testing.TB, conn *aegis.Conn, j jobs, opts ...aegis.ServiceOption) *aegis.Server {
	t.Helper()
	return aegistest.Serve(t, conn, registerJobs(j, opts...))
}

// stoppableWorker is one that the test stops itself.
func stoppableWorker(t testing.TB, conn *aegis.Conn, j jobs, opts ...aegis.ServiceOption) running {
	t.Helper()
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, registerJobs(j, opts...)(srv))
	return runServer(t, srv)
}

func newJobClient(t testing.TB, conn *aegis.Conn, opts ...aegis.ClientOption) aegistestv1aegis.JobServiceClient {
	t.Helper()
	client, err := aegistestv1aegis.NewJobServiceClient(conn, opts...)
	require.NoError(t, err)
	return client
}

type workCommand = aegis.Command[testv1.WorkResponse]

func send(t testing.TB, client aegistestv1aegis.JobServiceClient, text string, opts ...aegis.SendOption) *workCommand {
	t.Helper()
	cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: text}, opts...)
	require.NoError(t, err)
	return cmd
}

func outcome(ctx context.Context, cmd *workCommand) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	res, err := cmd.Result(ctx)
	return res.GetText(), err
}

func mustResult(t testing.TB, cmd *workCommand) string {
	t.Helper()
	text, err := outcome(t.Context(), cmd)
	require.NoError(t, err)
	return text
}

func state(t testing.TB, cmd *workCommand) aegis.CommandState {
	t.Helper()
	status, err := cmd.Status(t.Context())
	require.NoError(t, err)
	return status.State
}

func attemptOf(ctx context.Context) int {
	job, ok := aegis.JobFromContext(ctx)
	if !ok {
		return 0
	}
	return job.Attempt
}
