package collect_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// jobs works commands: those that say so never succeed.
type jobs struct {
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (jobs) Work(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	if req.GetText() == fails {
		return nil, aegis.Permanent(aegis.Errorf(aegis.CodeInvalidArgument, "as it was asked to"))
	}
	return &testv1.WorkResponse{}, nil
}

func (jobs) Once(context.Context, *testv1.OnceRequest) (*testv1.OnceResponse, error) {
	return &testv1.OnceResponse{}, nil
}

func startWorker(t *testing.T, conn *aegis.Conn) (stop func()) {
	t.Helper()
	return serve(t, conn, "worker", func(srv *aegis.Server) error { return aegistestv1aegis.RegisterJobServiceServer(srv, jobs{}) })
}

func TestDurableWorkIsRead(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	w := watch(t, n.Connect(t))
	eventually(t, "there is none", func() bool {
		return w.is(monitorapi.SourceWork, monitorapi.SourceReady) && w.is(monitorapi.SourceDeadLetters, monitorapi.SourceReady)
	})
	stop := startWorker(t, n.Connect(t))
	client, err := aegistestv1aegis.NewJobServiceClient(n.Connect(t))
	require.NoError(t, err)
	_, err = client.Work(t.Context(), &testv1.WorkRequest{Text: fails})
	require.NoError(t, err)
	eventually(t, "a dead letter is read", func() bool {
		return w.with(func() bool { return len(w.letters[jobService]) == 1 && w.letters[jobService][0].Count == 1 })
	})
	stop()
	_, err = client.Work(t.Context(), &testv1.WorkRequest{Text: "waits"})
	require.NoError(t, err)
	var work *board.ServiceWork
	eventually(t, "the queue has a command", func() bool {
		return w.with(func() bool {
			work = w.work[jobService]
			return work != nil && len(work.Commands) == 2 && work.Commands[0].Waiting+work.Commands[1].Waiting == 1
		})
	})
	require.NotEmpty(t, work.Streams)
	require.Len(t, work.Work, 2)
	js := n.Connect(t)
	for i := range work.Streams {
		require.NoError(t, deleteStream(t, js, work.Streams[i].Name))
	}
	eventually(t, "nothing is left", func() bool {
		return w.with(func() bool { return len(w.work) == 0 && len(w.letters[jobService]) == 0 })
	})
}
