package aegis_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/aegisrpc/aegis/internal/lossy"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
	aegisv1 "github.com/aegisrpc/aegis/proto/aegis/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const (
	commandStream = "aegis-commands-aegistest-v1-JobService"
	resultStream  = "aegis-results-aegistest-v1-JobService"
)

func TestStreamsOfCommands(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	worker(t, conn, jobs{})
	cmd := send(t, newJobClient(t, conn), "")
	mustResult(t, cmd)
	stream, err := js.Stream(t.Context(), commandStream)
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	require.Equal(t, jetstream.WorkQueuePolicy, cfg.Retention)
	require.Equal(t, time.Second, cfg.Duplicates)
	require.Zero(t, cfg.MaxAge)
	require.Equal(t, int64(-1), cfg.MaxBytes)
	require.True(t, cfg.AllowMsgSchedules)
	eventually(t, "what is done is gone", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs == 0
	})
	results, err := js.Stream(t.Context(), resultStream)
	require.NoError(t, err)
	msg, err := results.GetLastMsgForSubject(t.Context(), "aegis.res.aegistest.v1.JobService."+cmd.ID()+".result")
	require.NoError(t, err)
	require.Equal(t, "10m0s SUCCEEDED 1", strings.Join([]string{
		msg.Header.Get("Nats-TTL"), msg.Header.Get("Aegis-State"), msg.Header.Get("Aegis-Attempt"),
	}, " "))
}

func TestCommandsWithoutCreating(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	must := aegis.WithStorage(aegis.Storage{NoCreate: true})
	_, err := newJobClient(t, conn, must).Work(t.Context(), &testv1.WorkRequest{})
	require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the stream "+commandStream+" does not exist and may not be made here")
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, registerJobs(jobs{}, must)(srv))
	require.ErrorContains(t, srv.Run(t.Context()), "the stream "+commandStream+" does not exist and may not be made here")
}

func TestCommandsWithoutJetStream(t *testing.T) {
	t.Parallel()
	conn := connectTo(t, startRestartable(t).url)
	client := newJobClient(t, conn)
	_, err := client.Work(t.Context(), &testv1.WorkRequest{})
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	require.ErrorContains(t, err, "JetStream is not available: enable it on the NATS servers")
	_, err = aegistestv1aegis.JobServiceWorkCommand(conn, "a.1").Status(t.Context())
	require.Equal(t, aegis.CodeUnavailable, aegis.CodeOf(err))
	var log logs
	srv := aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := registerProbe(srv); err != nil {
			return err
		}
		return registerJobs(jobs{})(srv)
	}, log.option())
	require.ErrorContains(t, srv.Ready(t.Context()), "the commands of aegistest.v1.JobService.Once cannot work")
	_, err = newClient(t, conn).Do(t.Context(), doRequest(""))
	require.NoError(t, err, "the rest of the server works")
	require.Contains(t, log.String(), "JetStream is not available")
}

func TestStreamsOfCommandsAndTheirConsumersAreMadeAnew(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	js := jetStream(t, conn)
	worker(t, conn, jobs{})
	client := newJobClient(t, conn)
	mustResult(t, send(t, client, ""))
	for i, breaks := range []func() error{
		func() error { return js.DeleteConsumer(t.Context(), commandStream, "w-Work-n") },
		func() error { return js.DeleteStream(t.Context(), commandStream) },
		func() error { return js.DeleteStream(t.Context(), resultStream) },
	} {
		require.NoError(t, breaks())
		cmd := send(t, client, strconv.Itoa(i))
		require.Equal(t, strconv.Itoa(i), mustResult(t, cmd))
	}
}

func TestWhatIsNoCommandDoesNotBlockTheQueue(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	aegistest.Serve(t, conn, registerJobs(jobs{}), log.option())
	js := jetStream(t, conn)
	for _, msg := range []*nats.Msg{
		{Subject: "aegis.cmd.aegistest.v1.JobService.Work.n.a-b.c"},
		{Subject: "aegis.cmd.aegistest.v1.JobService.Work.n.hand.1", Header: nats.Header{"Aegis-Expires": {"soon"}, "x-bin": {"!"}}},
		{Subject: "aegis.res.aegistest.v1.JobService.x.progress", Data: []byte("?")},
	} {
		_, err := js.PublishMsg(t.Context(), msg)
		require.NoError(t, err)
	}
	require.Empty(t, mustResult(t, aegistestv1aegis.JobServiceWorkCommand(conn, "hand.1")))
	require.Equal(t, "x", mustResult(t, send(t, newJobClient(t, conn), "x")))
	eventually(t, "it is dropped", func() bool { return log.count("a command without an id is dropped") == 1 })
}

const commandPermissions = `
authorization {
  users = [
    {user: all, password: pw, permissions: {publish: [">"], subscribe: [">"]}}
    {user: nojs, password: pw, permissions: {publish: {deny: ["$JS.>"]}, subscribe: [">"]}}
    {user: client, password: pw, permissions: {
      publish: ["aegis.cmd.aegistest.v1.JobService.>", "aegis.cmdat.aegistest.v1.JobService.>", "aegis.res.aegistest.v1.JobService.*.*.stop", "aegis.told.aegistest.v1.JobService.*.*.stop", "aegis.*._void.*",
                "$JS.API.STREAM.INFO.aegis-commands-aegistest-v1-JobService", "$JS.API.STREAM.MSG.GET.aegis-commands-aegistest-v1-JobService",
                "$JS.API.STREAM.INFO.aegis-results-aegistest-v1-JobService", "$JS.API.STREAM.MSG.GET.aegis-results-aegistest-v1-JobService"]
      subscribe: ["_INBOX.>", "aegis.told.aegistest.v1.JobService.>"]
    }}
    {user: worker, password: pw, permissions: {
      publish: ["$JS.API.STREAM.INFO.aegis-commands-aegistest-v1-JobService", "$JS.API.STREAM.CREATE.aegis-commands-aegistest-v1-JobService",
                "$JS.API.STREAM.INFO.aegis-results-aegistest-v1-JobService", "$JS.API.STREAM.CREATE.aegis-results-aegistest-v1-JobService",
                "$JS.API.STREAM.INFO.aegis-dead-aegistest-v1-JobService", "$JS.API.STREAM.CREATE.aegis-dead-aegistest-v1-JobService",
                "$JS.API.CONSUMER.INFO.aegis-commands-aegistest-v1-JobService.>", "$JS.API.CONSUMER.CREATE.aegis-commands-aegistest-v1-JobService.>",
                "$JS.API.CONSUMER.MSG.NEXT.aegis-commands-aegistest-v1-JobService.>", "$JS.API.STREAM.MSG.GET.aegis-results-aegistest-v1-JobService",
                "$JS.ACK.aegis-commands-aegistest-v1-JobService.>", "$JS.ACK.*.*.aegis-commands-aegistest-v1-JobService.>",
                "$JS.API.STREAM.INFO.KV_aegis-registry", "$JS.API.STREAM.CREATE.KV_aegis-registry", "$JS.API.STREAM.MSG.GET.KV_aegis-registry",
                "$KV.aegis-registry.aegistest.v1.JobService.*", "aegis.inst.*.aegistest.v1.JobService.*",
                "aegis.res.aegistest.v1.JobService.>", "aegis.told.aegistest.v1.JobService.>", "aegis.dead.aegistest.v1.JobService.>", "aegis.live.*", "aegis.beat.aegistest.v1.JobService.*", "aegis.*._void.*"]
      subscribe: ["_INBOX.>", "aegis.told.aegistest.v1.JobService.*.*.stop", "aegis.live.*", "aegis.inst.*.aegistest.v1.JobService.*",
                  "aegis.cancel.aegistest.v1.JobService", "aegis.beat.aegistest.v1.JobService.*", "$SRV.>",
                  "aegis.desc.aegistest.v1.JobService.* aegis"]
    }}
  ]
}
`

func TestPermissionsOfCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(commandPermissions), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	_, err := newJobClient(t, as("nojs")).Work(t.Context(), &testv1.WorkRequest{})
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err))
	require.ErrorContains(t, worker(t, as("nojs"), jobs{}).Ready(t.Context()), "this user may not use JetStream")

	var workerLog, clientLog logs
	stuck := make(chan struct{}, 1)
	aegistest.Serve(t, as("worker", workerLog.option()), registerJobs(jobs{work: func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		require.NoError(t, job.Report(ctx, aegis.Progress{Percent: 1}))
		switch {
		case req.GetText() == "dead":
			return nil, aegis.Permanent(errWrong)
		case req.GetText() == "again" && job.Attempt == 1:
			return nil, errWrong
		case req.GetText() == "stuck":
			stuck <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &testv1.WorkResponse{}, nil
	}}))
	conn := as("client", clientLog.option())
	client := newJobClient(t, conn)
	mustResult(t, send(t, client, "again"))
	mustResult(t, send(t, client, "", aegis.DedupeKey("k"), aegis.NotBefore(time.Now().Add(100*time.Millisecond))))
	_, err = outcome(t.Context(), send(t, client, "dead"))
	require.Error(t, err)
	cmd := send(t, client, "stuck")
	receive(t, "it runs", stuck)
	require.NoError(t, aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Cancel(t.Context()))
	_, err = outcome(t.Context(), cmd)
	require.Equal(t, aegis.CodeCanceled, aegis.CodeOf(err))
	require.Len(t, deadLetters(t, as("all"), jobService), 1)
	require.NotContains(t, workerLog.String(), "ermission")
	require.NotContains(t, clientLog.String(), "ermission")
}

// Version 2 has another command, and other attempts and another ack wait for the
// old one.
func TestVersionsOfWorkersWorkSideBySide(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	desc := nextVersion(t, testv1.File_aegistest_v1_commands_proto, "JobService", func(s *descriptorpb.ServiceDescriptorProto) {
		opts := func() *descriptorpb.MethodOptions {
			return methodOptions(&aegisv1.MethodOptions{Pattern: &aegisv1.MethodOptions_Command{Command: &aegisv1.Command{
				AckWait: durationOf(3 * time.Second), Retry: &aegisv1.Retry{MaxAttempts: proto.Uint32(7)},
			}}})
		}
		old := findMethod(t, s, "Work")
		old.Options = opts()
		added, ok := proto.Clone(old).(*descriptorpb.MethodDescriptorProto)
		require.True(t, ok)
		added.Name, added.Options = proto.String("Added"), opts()
		s.Method = append(s.Method, added)
	})
	var log logs
	work := func(version string) workFunc {
		return func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
			if attemptOf(ctx) == 1 && len(req.GetText()) == 2 {
				return nil, errWrong // some need a second attempt
			}
			return &testv1.WorkResponse{Text: version + " " + req.GetText()}, nil
		}
	}
	startNew := func() running {
		srv, err := aegis.NewServer(conn, log.option())
		require.NoError(t, err)
		require.NoError(t, aegis.RegisterService(srv, desc, jobs{work: work("new")}, []aegis.Handler[jobs]{
			aegis.UnaryHandler("Work", jobs.Work), aegis.UnaryHandler("Once", jobs.Once), aegis.UnaryHandler("Added", jobs.Work),
		}))
		return runServer(t, srv)
	}
	startOld := func() running { return stoppableWorker(t, conn, jobs{work: work("old")}) }
	old := []running{startOld(), startOld()}
	client := newJobClient(t, conn)
	c, err := aegis.NewClient(conn, desc)
	require.NoError(t, err)
	added := aegis.NewCommandMethod[testv1.WorkRequest, testv1.WorkResponse](c, "Added")
	var mu sync.Mutex
	by := map[string]int{}
	sent := 0
	round := func(both bool) {
		var all []*workCommand
		for range 30 {
			all = append(all, send(t, client, strconv.Itoa(sent)))
			sent++
			if both {
				cmd, err := added.Send(t.Context(), &testv1.WorkRequest{Text: strconv.Itoa(sent)})
				require.NoError(t, err)
				all = append(all, cmd)
				sent++
			}
		}
		for _, cmd := range all {
			mu.Lock()
			by[strings.Fields(mustResult(t, cmd))[0]]++
			mu.Unlock()
		}
	}
	round(false)
	for _, r := range old {
		startNew()
		round(true)
		r.end(t)
		round(true)
	}
	startOld() // and back again
	round(true)
	require.Equal(t, sent, by["old"]+by["new"])
	require.NotZero(t, by["old"])
	require.NotZero(t, by["new"])
	require.Contains(t, log.String(), "ack_wait is 1s in place of 3s")
	require.NotContains(t, log.String(), "level=ERROR")
	require.Empty(t, deadLetters(t, conn, jobService))
}

func TestNoCommandIsLostWhileNATSRestarts(t *testing.T) {
	t.Parallel()
	restarted := restartJetStream(t)
	workerConn, clientConn := connectTo(t, restarted.url), connectTo(t, restarted.url)
	longer := aegis.WithStorage(aegis.Storage{DedupeWindow: time.Minute}) // so that what is not acknowledged can be sent again
	worker(t, workerConn, jobs{}, longer)
	client := newJobClient(t, clientConn, longer)
	const commands = 200
	progress := make(chan int, commands)
	sending := async(func() ([]*workCommand, error) {
		var sent []*workCommand
		for i := range commands {
			cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: strconv.Itoa(i)})
			if err != nil {
				return sent, fmt.Errorf("%d: %w", i, err)
			}
			sent = append(sent, cmd)
			progress <- i
		}
		return sent, nil
	})
	for _, n := range []int{30, 120} {
		eventually(t, "some are sent", func() bool { return len(progress) > n || len(sending) > 0 })
		restarted.down(workerConn, clientConn)
		restarted.up()
	}
	all := receive(t, "all are sent", sending)
	require.NoError(t, all.err)
	for i, cmd := range all.res {
		require.Equal(t, strconv.Itoa(i), mustResult(t, cmd))
	}
}

// Results that came while the connection was down are read as soon as somebody
// asks, and not when the next look is due.
func TestResultsThatWereMissedAreReadAtOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	u, err := url.Parse(conn.NATS().ConnectedUrl())
	require.NoError(t, err)
	link, err := lossy.New(u.Host, time.Millisecond, func(m *lossy.Message) lossy.Fate {
		if strings.HasPrefix(m.Subject, "aegis.res.") {
			return lossy.Lost
		}
		return lossy.Passed
	})
	require.NoError(t, err)
	t.Cleanup(link.Close)
	clientConn := connectTo(t, link.URL())
	client := newJobClient(t, clientConn)
	const commands = 10
	var sent []*workCommand
	for i := range commands {
		sent = append(sent, send(t, client, strconv.Itoa(i)))
	}
	worker(t, conn, jobs{})
	eventually(t, "all results are stored", func() bool {
		stream, err := jetStream(t, conn).Stream(t.Context(), resultStream)
		return err == nil && stream.CachedInfo().State.Msgs == commands
	})
	require.NoError(t, clientConn.NATS().ForceReconnect())
	eventually(t, "the client is back", func() bool { return clientConn.NATS().Stats().Reconnects > 0 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, cmd := range sent { // a look is due every 5 s
		res, err := cmd.Result(ctx)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), res.GetText())
	}
}

// A worker that cannot see whether a command has a result does not begin it.
func TestCommandIsNotWorkedAgainWhileResultsCannotBeRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization {users = [
		{user: all, password: pw}
		{user: blind, password: pw, permissions: {publish: {deny: "$JS.API.STREAM.MSG.GET.`+resultStream+`"}}}
	]}`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	as := func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		return connectTo(t, strings.Replace(n.URL(), "://", "://"+user+":pw@", 1), opts...)
	}
	conn := as("all")
	var runs atomic.Int64
	counting := jobs{work: func(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		runs.Add(1)
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}}
	seeing := stoppableWorker(t, conn, counting)
	cmd := send(t, newJobClient(t, conn), "once", aegis.DedupeKey("k"))
	require.Equal(t, "once", mustResult(t, cmd))
	seeing.end(t)
	var log logs
	worker(t, as("blind", log.option()), counting)
	_, err := jetStream(t, conn).Publish(t.Context(), wire.NewSubjects("aegis").Command(jobService, "Work", wire.LevelNormal, cmd.ID()), nil)
	require.NoError(t, err)
	eventually(t, "the worker says so", func() bool { return strings.Contains(log.String(), "it cannot be seen whether a command has a result") })
	worker(t, as("all"), counting)
	eventually(t, "it is gone", func() bool {
		stream, err := jetStream(t, conn).Stream(t.Context(), commandStream)
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	require.Equal(t, int64(1), runs.Load())
	require.Equal(t, "once", mustResult(t, aegistestv1aegis.JobServiceWorkCommand(another(t, conn), cmd.ID())))
}

// Another worker, which NATS has given the command to as well, ends it while this
// one looks how many attempts there were.
func TestResultThatIsStoredDuringOtherLooksIsFound(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	nc := plain(t, conn)
	looks, look := make(chan struct{}, 1), make(chan struct{})
	_, err := nc.Subscribe("HELD.>", func(msg *nats.Msg) {
		pass := func() {
			_ = nc.PublishMsg(&nats.Msg{Subject: "$JS.API" + strings.TrimPrefix(msg.Subject, "HELD"), Reply: msg.Reply, Header: msg.Header, Data: msg.Data})
		}
		if !strings.Contains(string(msg.Data), ".attempts") {
			pass()
			return
		}
		select {
		case looks <- struct{}{}:
		default: // it is asked once more
		}
		go func() {
			<-look
			pass()
		}()
	})
	require.NoError(t, err)
	var runs atomic.Int64
	worker(t, another(t, conn, aegis.WithJetStreamAPIPrefix("HELD")), jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		if runs.Add(1) == 1 {
			return nil, errWrong
		}
		return &testv1.WorkResponse{Text: "twice"}, nil
	}})
	cmd := send(t, newJobClient(t, conn), "")
	receive(t, "the worker looks", looks)
	_, err = jetStream(t, conn).PublishMsg(t.Context(), &nats.Msg{
		Subject: "aegis.res.aegistest.v1.JobService." + cmd.ID() + ".result", Header: nats.Header{"Aegis-State": {"SUCCEEDED"}, "Nats-TTL": {"1h"}},
	})
	require.NoError(t, err)
	close(look)
	eventually(t, "it is gone", func() bool { return queued(t.Context(), nc, cmd.ID()) == 0 })
	require.EqualValues(t, 1, runs.Load())
	require.Empty(t, mustResult(t, cmd))
}
