package aegis_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// oldStreams makes the streams of commands as nats-server before 2.11 does: it
// leaves out what it does not know.
func oldStreams(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for _, cfg := range []jetstream.StreamConfig{
		{
			Name: commandStream, Subjects: []string{"aegis.cmd.aegistest.v1.JobService.>", "aegis.cmdat.aegistest.v1.JobService.>"},
			Retention: jetstream.WorkQueuePolicy, Duplicates: time.Second,
		},
		{Name: resultStream, Subjects: []string{"aegis.res.aegistest.v1.JobService.>"}, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1},
	} {
		_, err := js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
	}
	_, err := js.Publish(t.Context(), "aegis.cmd.aegistest.v1.JobService.Work.n.old.1", nil)
	require.NoError(t, err)
}

func TestStreamsOfAnOlderNATSAreSwitchedOnAndKeepWhatIsInThem(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	oldStreams(t, js)
	srv := worker(t, conn, jobs{})
	require.NoError(t, srv.Ready(t.Context()))
	require.Empty(t, mustResult(t, aegistestv1aegis.JobServiceWorkCommand(conn, "old.1")))
	cmd := send(t, newJobClient(t, conn), "later", aegis.NotBefore(time.Now().Add(100*time.Millisecond)))
	require.Equal(t, "later", mustResult(t, cmd))
	for name, allows := range map[string]func(jetstream.StreamConfig) bool{
		commandStream: func(c jetstream.StreamConfig) bool { return c.AllowMsgSchedules && c.AllowRollup },
		resultStream:  func(c jetstream.StreamConfig) bool { return c.AllowMsgTTL && c.AllowDirect },
	} {
		stream, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.True(t, allows(stream.CachedInfo().Config), name)
	}
}

// All workers of a service find at once that its streams do not fit.
func TestStreamsOfAnOlderNATSAreChangedOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	oldStreams(t, jetStream(t, conn))
	spy := spyOn(t, conn)
	srv := worker(t, conn, jobs{})
	require.NoError(t, srv.Ready(t.Context()))
	require.NoError(t, spy.nc.Flush())
	spy.settle(t)
	for _, stream := range []string{commandStream, resultStream} {
		require.Len(t, spy.subjects(func(s string) bool { return s == "$JS.API.STREAM.UPDATE."+stream }), 1, stream)
	}
}

func TestStreamOfAnOlderNATSThatMayNotBeChangedIsAnErrorThatSaysHow(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	oldStreams(t, jetStream(t, conn))
	must := aegis.WithStorage(aegis.Storage{NoCreate: true})
	_, err := newJobClient(t, conn, must).Work(t.Context(), &testv1.WorkRequest{})
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "nats stream edit "+commandStream+" --allow-schedules")
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, registerJobs(jobs{}, must)(srv))
	ended := async(func() (any, error) { return nil, srv.Run(t.Context()) })
	require.ErrorContains(t, receive(t, "it does not start", ended).err, "nats stream edit "+commandStream+" --allow-schedules")
}

// No error tells anybody to remove what holds data without a way to keep it.
func TestStreamThatCannotBeChangedIsAnErrorThatSaysHowNothingIsLost(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	cfg := jetstream.StreamConfig{Name: eventStream, Subjects: []string{"aegis.log.aegistest.v1.EventService.>"}, Storage: jetstream.MemoryStorage}
	_, err := js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, "to keep what is in it, stop those who send, let what is in it be handled")
	require.ErrorContains(t, err, "use another namespace (aegis.WithNamespace)")
	require.NoError(t, js.DeleteStream(t.Context(), eventStream))
	cfg.Storage, cfg.Metadata = jetstream.FileStorage, map[string]string{"aegis.partitions.Keyed": "many"}
	_, err = js.CreateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = newPublisher(t, conn).Stored(t.Context(), stored(""))
	require.ErrorContains(t, err, `aegis.partitions.Keyed, "many"`)
	require.ErrorContains(t, err, "let what is in it be handled")
}
