package call_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/testservice"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestMain(m *testing.M) { clitest.Main(m) }

// probe serves unary calls.
type probe struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
}

func (probe) Do(ctx context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	call, _ := aegis.CallFromContext(ctx)
	if req.GetText() == "fail" {
		return nil, aegis.Errorf(aegis.CodeFailedPrecondition, "not today").WithDetails(durationpb.New(90e9))
	}
	call.ResponseHeader().Set("served-for", call.RequestHeader().Get("tenant"))
	return &testv1.DoResponse{Text: req.GetText(), InstanceName: call.Instance()}, nil
}

// teller serves a broadcast.
type teller struct{ refuses bool }

func (t teller) Tell(ctx context.Context, _ *testv1.TellRequest) (*testv1.TellResponse, error) {
	if t.refuses {
		return nil, aegis.NewError(aegis.CodeUnavailable, "this one is busy")
	}
	call, _ := aegis.CallFromContext(ctx)
	return &testv1.TellResponse{InstanceName: call.Instance()}, nil
}

// worker works commands.
type worker struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (worker) Work(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	if job, ok := aegis.JobFromContext(ctx); ok {
		if err := job.Report(ctx, aegis.Progress{Percent: 50, Message: "half of it"}); err != nil {
			return nil, err
		}
	}
	if req.GetText() == "fail" {
		return nil, aegis.Permanent(aegis.NewError(aegis.CodeInvalidArgument, "no such work"))
	}
	return &testv1.WorkResponse{Text: "done: " + req.GetText()}, nil
}

// serve starts an instance with all of these services.
func serve(t *testing.T, nats *aegistest.NATS, name string, told teller) {
	t.Helper()
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterStreamServiceServer(srv, testservice.Streams{}),
			aegistestv1aegis.RegisterBroadcastServiceServer(srv, told),
			aegistestv1aegis.RegisterJobServiceServer(srv, worker{}),
		)
	}, aegis.WithInstance(name))
}

func handle(context.Context, *testv1.StoredRequest) error { return nil }

func handleCore(context.Context, *testv1.CoreRequest) error { return nil }
