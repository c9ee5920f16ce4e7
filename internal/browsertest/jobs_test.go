package browsertest_test

import (
	"context"

	aegistestv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// jobs works commands: Once waits for its end, and Work fails, so that it is buried.
type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (jobs) Once(ctx context.Context, _ *aegistestv1.OnceRequest) (*aegistestv1.OnceResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (jobs) Work(_ context.Context, req *aegistestv1.WorkRequest) (*aegistestv1.WorkResponse, error) {
	return nil, aegis.Permanent(aegis.Errorf(aegis.CodeFailedPrecondition, "%s is not possible", req.GetText()))
}

// serveJobs serves jobs on the NATS server of its first argument.
func serveJobs(ctx context.Context, args []string) error {
	conn, err := aegis.Connect(ctx, args[0])
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	srv, err := aegis.NewServer(conn, aegis.WithInstance("jobs-1"))
	if err != nil {
		return err
	}
	if err := aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}); err != nil {
		return err
	}
	return srv.Run(ctx)
}
