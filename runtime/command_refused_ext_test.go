//go:build unix

package aegis_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// madeBefore is how a stream of JobService was made for it.
func madeBefore(name string, subjects ...string) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name: name, Subjects: subjects, Storage: jetstream.FileStorage, Replicas: 1, AllowDirect: true, Duplicates: 2 * time.Minute,
		Discard: jetstream.DiscardNew, MaxBytes: -1,
	}
	subject := wire.NewSubjects("aegis")
	switch name {
	case commandStream:
		cfg.Subjects = subject.Commands(jobService)
		cfg.Retention, cfg.Discard = jetstream.WorkQueuePolicy, jetstream.DiscardOld
		cfg.AllowMsgSchedules, cfg.AllowRollup = true, true
	case resultStream:
		cfg.Subjects = []string{subject.ResultsAll(jobService)}
		cfg.MaxMsgsPerSubject, cfg.AllowMsgTTL = 1, true
	}
	return cfg
}

// startThreefoldResults starts three servers. The queue is on the first, which leads
// the results, and those are on all.
func startThreefoldResults(t *testing.T) (*natsProcesses, *aegis.Conn) {
	t.Helper()
	nodes := startNATSProcesses(t, 3)
	conn := nodes.connect()
	js := jetStream(t, conn)
	nodes.make(js, madeBefore(commandStream))
	results := madeBefore(resultStream)
	results.Replicas = 3
	nodes.make(js, results)
	return nodes, conn
}

// While the followers of the results hang, the second copy of a result is refused
// because the first is on its way. Nothing is stored then, and if the leader were
// lost now, nothing would ever be: the command must stay.
func TestResultThatIsOnlyOnItsWayDoesNotEndItsCommand(t *testing.T) {
	t.Parallel()
	nodes, conn := startThreefoldResults(t)
	begin := make(chan struct{})
	worker(t, conn, jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		<-begin
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}})
	var copies atomic.Int64
	nc := plain(t, conn)
	_, err := nc.Subscribe("aegis.res.aegistest.v1.JobService.*.*.result", func(*nats.Msg) { copies.Add(1) })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	cmd := send(t, newJobClient(t, conn), "filled")
	nodes.freeze()
	close(begin)
	nodes.eventually("the result was sent again, or the command is gone", func(ctx context.Context) bool {
		return copies.Load() >= 3 || queued(ctx, nc, cmd.ID()) == 0
	})
	require.Equal(t, 1, queued(t.Context(), nc, cmd.ID()), "the command is in the queue until its result is stored")
	nodes.thaw()
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	res, err := cmd.Result(ctx)
	require.NoError(t, err)
	require.Equal(t, "filled", res.GetText())
}

// queued is how many messages of a command are in the queue, -1 if that cannot be
// seen. It asks the stream's leader and needs nobody else.
func queued(ctx context.Context, nc *nats.Conn, id string) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+commandStream,
		[]byte(`{"last_by_subj":"aegis.*.aegistest.v1.JobService.*.*.`+id+`"}`))
	switch {
	case err != nil:
		return -1
	case strings.Contains(string(msg.Data), `"err_code":10037`):
		return 0
	case strings.Contains(string(msg.Data), `"seq"`):
		return 1
	}
	return -1
}

// What JetStream says to the runtime's own second copy ("duplicate message id is
// in process") is no refusal: the first one is stored as soon as the followers
// are back.
func TestWhatIsInProcessIsWaitedFor(t *testing.T) {
	t.Parallel()
	nodes := startNATSProcesses(t, 3)
	conn := nodes.connect()
	js := jetStream(t, conn)
	queue := madeBefore(commandStream)
	queue.Replicas = 3
	nodes.make(js, queue)
	events := madeBefore(eventStream, "aegis.log.aegistest.v1.EventService.>")
	events.Replicas = 3
	nodes.make(js, events)
	client, pub := newJobClient(t, conn), newPublisher(t, conn)
	send(t, client, "before")
	mustStore(t, pub, "before", aegis.MessageID("before"))
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	nodes.freeze()
	sent := conn.NATS().Stats().OutMsgs
	command := async(func() (any, error) { return client.Work(ctx, &testv1.WorkRequest{}) })
	keyed := async(func() (any, error) { return client.Work(ctx, &testv1.WorkRequest{}, aegis.DedupeKey("k")) })
	event := async(func() (any, error) { return pub.Stored(ctx, stored("once"), aegis.MessageID("once")) })
	eventually(t, "copies are sent, or somebody was refused", func() bool {
		return conn.NATS().Stats().OutMsgs >= sent+9 || len(command)+len(keyed)+len(event) > 0
	})
	nodes.thaw()
	for name, r := range map[string]<-chan result[any]{"command": command, "keyed command": keyed, "event": event} {
		select {
		case got := <-r:
			require.NoError(t, got.err, name)
		case <-ctx.Done():
			t.Fatalf("%s: %v", name, ctx.Err())
		}
	}
	stream, err := js.Stream(ctx, eventStream)
	require.NoError(t, err)
	require.EqualValues(t, 2, stream.CachedInfo().State.Msgs, "each is stored once")
	stream, err = js.Stream(ctx, commandStream)
	require.NoError(t, err)
	require.EqualValues(t, 3, stream.CachedInfo().State.Msgs, "each is stored once")
}

// A worker publishes its result, JetStream refuses it, and the worker is lost;
// another one fails the command. Nobody may have been told of the first result.
func TestResultThatIsNotStoredIsToldToNobody(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	results := madeBefore(resultStream)
	results.MaxMsgSize = 1
	_, err := js.CreateStream(t.Context(), results)
	require.NoError(t, err)
	published := make(chan struct{}, 100)
	nc := plain(t, conn)
	_, err = nc.Subscribe("aegis.res.aegistest.v1.JobService.*.*.result", func(*nats.Msg) { published <- struct{}{} })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	srv, err := aegis.NewServer(another(t, conn), aegis.WithGracePeriod(100*time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, registerJobs(jobs{})(srv))
	lost := runServer(t, srv)
	client := newJobClient(t, conn)
	cmd := send(t, client, "filled")
	keyed := send(t, client, "filled", aegis.DedupeKey("k"))
	for range 2 {
		receive(t, "a result is published", published)
	}
	for _, c := range []*workCommand{cmd, keyed} {
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		_, err := c.Result(short)
		cancel()
		require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err), "%v", err)
	}
	lost.stop()
	require.Error(t, receive(t, "the worker is lost", lost.done), "its results are not stored within its grace period")
	results.MaxMsgSize = -1
	_, err = js.UpdateStream(t.Context(), results)
	require.NoError(t, err)
	worker(t, another(t, conn), jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		return nil, aegis.Permanent(errWrong)
	}})
	for _, c := range []*workCommand{cmd, keyed} {
		_, err = outcome(t.Context(), c)
		require.ErrorContains(t, err, errWrong.Error())
		_, err = outcome(t.Context(), aegistestv1aegis.JobServiceWorkCommand(another(t, conn), c.ID()))
		require.ErrorContains(t, err, errWrong.Error())
	}
}

// A command that fails in one run and succeeds in another has one end: that which
// is stored, and told though the other worker has not done so any more. Then it is no
// dead letter either.
func TestCommandThatSucceededElsewhereIsNoDeadLetter(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	begun, end := make(chan struct{}), make(chan struct{})
	worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		close(begun)
		<-end
		return nil, aegis.Permanent(errWrong)
	}})
	cmd := send(t, newJobClient(t, conn), "")
	receive(t, "it runs", begun)
	told := make(chan *nats.Msg, 1)
	nc := plain(t, conn)
	_, err := nc.Subscribe("aegis.told.aegistest.v1.JobService."+cmd.ID()+".result", func(msg *nats.Msg) { told <- msg })
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	_, err = jetStream(t, conn).PublishMsg(t.Context(), &nats.Msg{ // by a worker that NATS had given it to as well
		Subject: "aegis.res.aegistest.v1.JobService." + cmd.ID() + ".result", Header: nats.Header{"Aegis-State": {"SUCCEEDED"}, "Nats-TTL": {"1h"}},
	})
	require.NoError(t, err)
	require.Empty(t, mustResult(t, cmd), "it is found at a look")
	require.Empty(t, told)
	close(end)
	require.Equal(t, nats.Header{"Aegis-State": {"SUCCEEDED"}}, receive(t, "it is told", told).Header)
	eventually(t, "the command is gone", func() bool { return queued(t.Context(), plain(t, conn), cmd.ID()) == 0 })
	require.Empty(t, mustResult(t, aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID())))
	eventually(t, "there is no letter", func() bool { return len(deadLetters(t, conn, jobService)) == 0 })
}

// A stream that forgets message ids before an acknowledgement is overdue stores
// a second copy of a command: none is sent then.
func TestNothingIsSentTwiceWhatTheStreamHasForgotten(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var runs atomic.Int64
	worker(t, conn, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		runs.Add(1)
		return &testv1.WorkResponse{}, nil
	}})
	var dropped atomic.Bool
	clientConn := losing(t, conn, func(payload string) bool {
		return strings.Contains(payload, `"stream":"`+commandStream+`"`) && strings.Contains(payload, `"seq"`) && !strings.Contains(payload, `"type"`) &&
			dropped.CompareAndSwap(false, true)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := newJobClient(t, clientConn).Work(ctx, &testv1.WorkRequest{})
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(err), "%v", err)
	require.ErrorContains(t, err, "whether the message is stored is unknown")
	require.True(t, dropped.Load())
	require.EqualValues(t, 1, runs.Load())
}

// A handle that is found by its id waits, like that of the sender, while the
// stream of the results has no leader.
func TestHandleFoundByItsIDWaitsWhileNobodyLeads(t *testing.T) {
	t.Parallel()
	nodes, conn := startThreefoldResults(t)
	worker(t, conn, jobs{})
	cmd := send(t, newJobClient(t, conn), "done")
	require.Equal(t, "done", mustResult(t, cmd))
	byID := aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID())
	nodes.freeze()
	nodes.eventually("nobody leads", func(ctx context.Context) bool {
		_, err := aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Status(ctx)
		return err != nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), clusterPatience)
	defer cancel()
	waiting := async(func() (*testv1.WorkResponse, error) { return byID.Result(ctx) })
	short, cancelShort := context.WithTimeout(ctx, time.Second) // in which it has looked
	_, err := aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Status(short)
	cancelShort()
	require.Error(t, err)
	nodes.thaw()
	select {
	case got := <-waiting:
		require.NoError(t, got.err)
		require.Equal(t, "done", got.res.GetText())
	case <-ctx.Done():
		t.Fatal(receive(t, "the wait ends", waiting).err)
	}
}
