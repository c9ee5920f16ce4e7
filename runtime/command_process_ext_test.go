//go:build unix

package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/election"
)

// helperWorker tells what it begins, and kills itself when it is told to.
func helperWorker(ctx context.Context, conn *aegis.Conn) error {
	told := make(chan struct{})
	srv, err := aegis.NewServer(conn, aegis.WithInstance(os.Getenv(helperInstance)), aegis.WithStateHook(func(s aegis.State) {
		if s == aegis.StateRunning {
			fmt.Println("running")
			close(told)
		}
	}))
	if err != nil {
		return err
	}
	work := func(ctx context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
		job, _ := aegis.JobFromContext(ctx)
		what := fmt.Sprintf("%s %s %d", req.GetText(), job.ID, job.Attempt)
		if err := errors.Join(conn.NATS().Publish(handledSubject, []byte(what)), conn.NATS().Flush()); err != nil {
			return nil, err
		}
		if req.GetText() == "kills" {
			<-told // the work may begin before
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		<-time.After(2 * time.Millisecond)
		return &testv1.WorkResponse{Text: req.GetText()}, nil
	}
	once := func(ctx context.Context, req *testv1.OnceRequest) (*testv1.OnceResponse, error) {
		_, err := work(ctx, &testv1.WorkRequest{Text: req.GetText()})
		return &testv1.OnceResponse{}, err
	}
	if err := aegistestv1aegis.RegisterJobServiceServer(srv, jobs{work: work, once: once}, aegis.WithMaxConcurrency(8)); err != nil {
		return err
	}
	return srv.Run(ctx)
}

// helperArranger leads, and tells which attempts it begins.
func helperArranger(ctx context.Context, conn *aegis.Conn) error {
	srv, err := aegis.NewServer(conn, aegis.WithInstance(os.Getenv(helperInstance)))
	if err != nil {
		return err
	}
	log := &arrangements{hook: func(ctx context.Context, _ int64) error {
		job, _ := aegis.JobFromContext(ctx)
		return errors.Join(conn.NATS().Publish(handledSubject, fmt.Appendf(nil, "attempt %d", job.Attempt)), conn.NATS().Flush())
	}}
	cfg := election.Balanced.Config()
	cfg.Lease = 5 * time.Second // longer than all pauses together
	err = aegistestv1aegis.RegisterLeaderJobServiceServer(srv, arranger{log: log}, aegis.WithElection(cfg))
	if err != nil {
		return err
	}
	go func() {
		for change := range srv.WatchLeading(ctx) {
			if change.Leading {
				fmt.Println("running")
			}
		}
	}()
	return srv.Run(ctx)
}

// A leader that was paused for less than its lease finds commands in its socket,
// and has no contact yet. They wait for that: given back, each would have one
// attempt less, and the last one would be dead without ever having begun.
func TestCommandsOfASuspendedLeaderLoseNoAttempt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	begun := watchHandled(t, conn)
	leader := startProcess(t, "arranger", conn.NATS().ConnectedUrl(), "a")
	client, err := aegistestv1aegis.NewLeaderJobServiceClient(conn)
	require.NoError(t, err)
	const rounds = 3
	for range rounds {
		leader.freeze(t)
		tidied, err := client.Tidy(t.Context(), &testv1.TidyRequest{})
		require.NoError(t, err)
		<-time.After(600 * time.Millisecond) // longer than the act window, shorter than lease and ack wait
		leader.signal(t, syscall.SIGCONT)
		_, err = tidied.Result(t.Context())
		require.NoError(t, err)
	}
	eventually(t, "all beginnings are told", func() bool {
		begun.mu.Lock()
		defer begun.mu.Unlock()
		told := 0
		for _, n := range begun.seen {
			told += n
		}
		return told == rounds
	})
	begun.mu.Lock()
	defer begun.mu.Unlock()
	require.Equal(t, map[string]int{"attempt 1": rounds}, begun.seen)
}

func TestNoCommandIsLostWhenWorkersAreKilled(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	begun := watchHandled(t, conn)
	workers := []*process{startProcess(t, "worker", url, "a"), startProcess(t, "worker", url, "b")}
	client := newJobClient(t, conn)
	const commands = 1500
	var sent []*workCommand
	sending := async(func() (any, error) {
		for i := range commands {
			cmd, err := client.Work(t.Context(), &testv1.WorkRequest{Text: strconv.Itoa(i)})
			if err != nil {
				return nil, err
			}
			sent = append(sent, cmd)
		}
		return nil, nil
	})
	for i, at := range []int{200, 500, 800} {
		eventually(t, "some are begun", func() bool { return begun.count() > at })
		victim := workers[i]
		victim.signal(t, syscall.SIGKILL)
		require.Error(t, receive(t, "it is dead", victim.ended))
		workers = append(workers, startProcess(t, "worker", url, "c"+strconv.Itoa(i)))
	}
	require.NoError(t, receive(t, "all are sent", sending).err)
	for i, cmd := range sent {
		require.Equal(t, strconv.Itoa(i), mustResult(t, cmd))
	}
	require.Empty(t, deadLetters(t, conn, jobService))
	begun.mu.Lock()
	defer begun.mu.Unlock()
	for what, n := range begun.seen {
		require.Equal(t, 1, n, "%s: an attempt is begun once", what)
	}
	t.Logf("%d commands, %d attempts begun", commands, len(begun.seen))
}

// A command that kills its workers is dead after its last attempt.
func TestCommandWhoseWorkersAreLostIsDead(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	begun := watchHandled(t, conn)
	cmd := send(t, newJobClient(t, conn), "kills")
	for range 3 {
		killed := startProcess(t, "worker", url, "w")
		require.Error(t, receive(t, "it is dead", killed.ended))
	}
	startProcess(t, "worker", url, "w")
	_, err := outcome(t.Context(), cmd)
	require.Equal(t, aegis.CodeAborted, aegis.CodeOf(err))
	require.ErrorContains(t, err, "the worker of the last attempt was lost")
	require.Equal(t, 3, begun.count())
	dead := deadLetters(t, conn, jobService)
	require.Len(t, dead, 1)
	require.Equal(t, 3, dead[0].Attempts)
	require.Contains(t, dead[0].Reason, "the worker of the last attempt was lost")
}

// One command among others ends each process that works it.
func TestCommandThatEndsItsWorkersTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	url := conn.NATS().ConnectedUrl()
	begun := watchHandled(t, conn)
	client := newJobClient(t, conn)
	var innocent []*workCommand
	var poison *workCommand
	for i := range 100 {
		if i == 20 {
			poison = send(t, client, "kills")
		} else {
			innocent = append(innocent, send(t, client, strconv.Itoa(i)))
		}
	}
	for range 3 {
		killed := startProcess(t, "worker", url, "w")
		require.Error(t, receive(t, "it is dead", killed.ended))
	}
	startProcess(t, "worker", url, "w")
	_, err := outcome(t.Context(), poison)
	require.ErrorContains(t, err, "the worker of the last attempt was lost")
	for _, cmd := range innocent {
		mustResult(t, cmd)
	}
	dead := deadLetters(t, conn, jobService)
	require.Len(t, dead, 1)
	require.Equal(t, 3, dead[0].Attempts)
	require.Equal(t, 3, begun.beginning("kills "))
}

func TestCommandWithOneAttemptIsBegunOnce(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	begun := watchHandled(t, conn)
	cmd, err := newJobClient(t, conn).Once(t.Context(), &testv1.OnceRequest{Text: "kills"})
	require.NoError(t, err)
	killed := startProcess(t, "worker", conn.NATS().ConnectedUrl(), "w")
	require.Error(t, receive(t, "it is dead", killed.ended))
	startProcess(t, "worker", conn.NATS().ConnectedUrl(), "w")
	_, err = cmd.Result(t.Context())
	require.ErrorContains(t, err, "the worker of the last attempt was lost")
	require.Equal(t, 1, begun.beginning("kills "))
	dead := deadLetters(t, conn, jobService)
	require.Len(t, dead, 1)
	require.Equal(t, 1, dead[0].Attempts)
}
