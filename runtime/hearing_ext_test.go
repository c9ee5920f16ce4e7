package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// part returns the state of a part of a server.
func part(srv *aegis.Server, name string) health.Part {
	for p := range srv.Parts() {
		if p.Name == name {
			return p
		}
	}
	return health.Part{}
}

// An administrator takes a permission away from a server that serves, and gives it back:
// NATS drops the subscription, nothing comes any more, and nats.go asks for it only after a
// reconnect.
func TestServerNoticesThatItIsNotLetHearAnyMore(t *testing.T) {
	t.Parallel()
	for subject, c := range map[string]struct {
		part  string
		alone bool // it comes back on the same connection
	}{
		"aegis.call.aegistest.v1.ProbeService.Do":    {"the calls of aegistest.v1.ProbeService.Do", true},
		"aegis.inst.one.aegistest.v1.ProbeService.*": {"the calls of aegistest.v1.ProbeService to this instance", true},
		"aegis.all.aegistest.v1.BroadcastService.>":  {"the calls of aegistest.v1.BroadcastService.Tell", true},
		"aegis.cancel.aegistest.v1.ProbeService":     {"the cancels of the calls of aegistest.v1.ProbeService", false},
		"aegis.in.>":                                 {"the streams", false},
		"aegis.evt.aegistest.v1.EventService.Core":   {"the events of aegistest.v1.EventService.Core", false},
	} {
		t.Run(c.part, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "nats.conf")
			configure := func(permissions string) {
				require.NoError(t, os.WriteFile(path, fmt.Appendf(nil,
					"listen: \"127.0.0.1:-1\"\nauthorization {users: [{user: u, password: pw, permissions: {%s}}]}\n", permissions), 0o600))
			}
			configure(`publish: ">"`)
			server, err := embednats.Start(embednats.Options{Config: path})
			require.NoError(t, err)
			t.Cleanup(server.Stop)
			conn := connectTo(t, strings.Replace(server.ClientURL(), "://", "://u:pw@", 1))
			srv := serveAll(t, conn)
			require.NoError(t, srv.Ready(t.Context()))
			require.Equal(t, health.Part{Name: c.part}, part(srv, c.part))

			configure(fmt.Sprintf("subscribe: {deny: [%q]}", subject))
			require.NoError(t, server.Reload())
			eventually(t, "it is not ready", func() bool { return srv.Ready(t.Context()) != nil })
			require.ErrorContains(t, srv.Ready(t.Context()), c.part+" cannot work: NATS does not allow this user to subscribe to ")
			broken := part(srv, c.part)
			require.Error(t, broken.Err)
			require.EqualValues(t, 1, broken.Failures)
			require.False(t, broken.Since.IsZero())

			configure(`publish: ">"`)
			require.NoError(t, server.Reload())
			if !c.alone {
				require.NoError(t, conn.NATS().ForceReconnect())
			}
			eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
			over := part(srv, c.part)
			require.Positive(t, over.Broken)
			require.Equal(t, health.Part{Name: c.part, Failures: 1, Broken: over.Broken}, over)
			_, err = newClient(t, conn).Do(t.Context(), doRequest(""))
			require.NoError(t, err)
		})
	}
}

// serveAll serves a method of each kind without JetStream.
func serveAll(t *testing.T, conn *aegis.Conn) *aegis.Server {
	t.Helper()
	srv, err := aegis.NewServer(conn, aegis.WithInstance("one"))
	require.NoError(t, err)
	require.NoError(t, errors.Join(
		aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
		aegistestv1aegis.RegisterStreamServiceServer(srv, streams{}),
		aegistestv1aegis.RegisterBroadcastServiceServer(srv, tellFunc(tell)),
		aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Core: func(context.Context, *testv1.CoreRequest) error { return nil },
		}, aegis.EachInstance()),
	))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	eventually(t, "it runs", func() bool { return srv.State() == aegis.StateRunning })
	return srv
}

// Handlers run, and how their commands have ended cannot be stored: the stream of the results
// is full.
func TestWorkerWhoseResultsAreNotTakenIsNotReady(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	hold := make(chan struct{})
	srv := worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		<-hold
		return &testv1.WorkResponse{Text: "kept"}, nil
	}})
	cmd := send(t, newJobClient(t, conn), "")
	js := jetStream(t, conn)
	stream, err := js.Stream(t.Context(), resultStream)
	require.NoError(t, err)
	roomy := stream.CachedInfo().Config
	full := roomy
	full.MaxBytes, full.Discard = 1, jetstream.DiscardNew
	_, err = js.UpdateStream(t.Context(), full)
	require.NoError(t, err)
	require.NoError(t, srv.Ready(t.Context()))
	close(hold)
	eventually(t, "it is not ready", func() bool { return srv.Ready(t.Context()) != nil })
	require.ErrorContains(t, srv.Ready(t.Context()), "the commands of aegistest.v1.JobService.Work cannot work: the results are not taken: ")
	require.EqualValues(t, 1, part(srv, "the commands of aegistest.v1.JobService.Work").Failures)
	_, err = js.UpdateStream(t.Context(), roomy)
	require.NoError(t, err)
	require.Equal(t, "kept", mustResult(t, cmd))
	eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
}

// A command that takes its time lowers neither score nor grade.
func TestLongCommandsDoNotLowerTheGrade(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	srv := worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		time.Sleep(150 * time.Millisecond) // the work
		return &testv1.WorkResponse{}, nil
	}})
	mustResult(t, send(t, newJobClient(t, conn), ""))
	var report health.Report
	eventually(t, "it is counted", func() bool {
		report, _ = srv.Report(jobService)
		return report.Requests == 1
	})
	require.Equal(t, health.GradeAPlus, report.Grade)
	require.Nil(t, report.Latency)
	require.Greater(t, report.Methods["Work"].Mean(), 100*time.Millisecond)
}
