//go:build oldnatstest

package oldnatstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const patience = 30 * time.Second

// natsServer is a nats-server of some version, in a process of its own.
type natsServer struct {
	t     *testing.T
	port  string
	store string
	cmd   *exec.Cmd
}

func newServer(t *testing.T) *natsServer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	s := &natsServer{t: t, port: port, store: t.TempDir()}
	t.Cleanup(s.stop)
	return s
}

func (s *natsServer) url() string { return "nats://127.0.0.1:" + s.port }

// run builds that version and runs it, on the store of the one before.
func (s *natsServer) run(version string) {
	s.t.Helper()
	s.stop()
	dir := filepath.Join(os.TempDir(), "aegis-oldnatstest", version)
	from := time.Now()
	build := exec.CommandContext(s.t.Context(), "go", "install", "github.com/nats-io/nats-server/v2@v"+version)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	out, err := build.CombinedOutput()
	require.NoError(s.t, err, "%s", out)
	s.t.Logf("%6.1f s  %s", time.Since(from).Seconds(), build)
	s.cmd = exec.CommandContext(context.Background(), filepath.Join(dir, "nats-server"), "-a", "127.0.0.1", "-p", s.port, "-js", "-sd", s.store)
	require.NoError(s.t, s.cmd.Start())
	s.eventually("NATS answers", func() bool {
		conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (s *natsServer) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

func (s *natsServer) eventually(what string, is func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}

func (s *natsServer) connect() *aegis.Conn {
	s.t.Helper()
	conn, err := aegis.Connect(s.t.Context(), s.url())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, conn.Close(context.Background())) })
	return conn
}

type service struct {
	aegistestv1aegis.UnimplementedProbeServiceServer
	aegistestv1aegis.UnimplementedStreamServiceServer
	aegistestv1aegis.UnimplementedBroadcastServiceServer
	aegistestv1aegis.UnimplementedLeaderServiceServer
	aegistestv1aegis.UnimplementedJobServiceServer
}

func (service) Do(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
	return &testv1.DoResponse{Text: req.GetText()}, nil
}

func (service) Count(_ context.Context, _ *testv1.CountRequest, out aegis.Sender[testv1.CountResponse]) error {
	for range 3 {
		if err := out.Send(&testv1.CountResponse{}); err != nil {
			return err
		}
	}
	return nil
}

func (service) Tell(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
	return &testv1.TellResponse{}, nil
}

func (service) OnLeading(context.Context, aegis.Term) error { return nil }

func (service) Lead(context.Context, *testv1.CountRequest) (*testv1.CountResponse, error) {
	return &testv1.CountResponse{}, nil
}

func (service) Work(_ context.Context, req *testv1.WorkRequest) (*testv1.WorkResponse, error) {
	return &testv1.WorkResponse{Text: req.GetText()}, nil
}

// serve serves all patterns.
func (s *natsServer) serve() (srv *aegis.Server, handled <-chan string) {
	s.t.Helper()
	events := make(chan string, 10)
	srv = aegistest.Serve(s.t, s.connect(), func(srv *aegis.Server) error {
		var impl service
		for _, err := range []error{
			aegistestv1aegis.RegisterProbeServiceServer(srv, impl),
			aegistestv1aegis.RegisterStreamServiceServer(srv, impl),
			aegistestv1aegis.RegisterBroadcastServiceServer(srv, impl),
			aegistestv1aegis.RegisterLeaderServiceServer(srv, impl),
			aegistestv1aegis.RegisterJobServiceServer(srv, impl),
		} {
			if err != nil {
				return err
			}
		}
		return aegistestv1aegis.SubscribeEventServiceEvents(srv, aegistestv1aegis.EventServiceEvents{
			Stored: func(_ context.Context, ev *testv1.StoredRequest) error { events <- ev.GetText(); return nil },
		}, aegis.Compete("g"))
	})
	return srv, events
}

// works uses all patterns but commands.
func (s *natsServer) works(handled <-chan string) {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn := s.connect()
	probe, err := aegistestv1aegis.NewProbeServiceClient(conn, aegis.RoundRobin()) // with discovery
	require.NoError(t, err)
	res, err := probe.Do(ctx, &testv1.DoRequest{Text: "x"})
	require.NoError(t, err)
	require.Equal(t, "x", res.GetText())
	streams, err := aegistestv1aegis.NewStreamServiceClient(conn)
	require.NoError(t, err)
	stream, err := streams.Count(ctx, &testv1.CountRequest{})
	require.NoError(t, err)
	counted := 0
	for _, err := range stream.All() {
		require.NoError(t, err)
		counted++
	}
	require.Equal(t, 3, counted)
	broadcasts, err := aegistestv1aegis.NewBroadcastServiceClient(conn)
	require.NoError(t, err)
	told := 0
	for reply := range broadcasts.Tell(ctx, &testv1.TellRequest{}) {
		require.NoError(t, reply.Err)
		told++
	}
	require.Equal(t, 1, told)
	leaders, err := aegistestv1aegis.NewLeaderServiceClient(conn, aegis.WaitForReady())
	require.NoError(t, err)
	_, err = leaders.Lead(ctx, &testv1.CountRequest{})
	require.NoError(t, err)
	publisher, err := aegistestv1aegis.NewEventServicePublisher(conn)
	require.NoError(t, err)
	_, err = publisher.Stored(ctx, &testv1.StoredRequest{Text: "event"})
	require.NoError(t, err)
	select {
	case text := <-handled:
		require.Equal(t, "event", text)
	case <-ctx.Done():
		t.Fatal("the event is not handled")
	}
}

// commands sends commands, one of them for later.
func (s *natsServer) commands() {
	t := s.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := aegistestv1aegis.NewJobServiceClient(s.connect())
	require.NoError(t, err)
	for i, opts := range [][]aegis.SendOption{
		{}, {aegis.DedupeKey("k")}, {aegis.Priority(aegis.PriorityHigh)}, {aegis.NotBefore(time.Now().Add(time.Second))},
	} {
		cmd, err := client.Work(ctx, &testv1.WorkRequest{Text: fmt.Sprint(i)}, opts...)
		require.NoError(t, err)
		res, err := cmd.Result(ctx)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), res.GetText())
	}
}

func TestAllButCommandsWorksWithOldServers(t *testing.T) {
	for _, version := range []string{"2.9.25", "2.10.29", "2.11.15"} {
		t.Run(version, func(t *testing.T) {
			s := newServer(t)
			s.run(version)
			srv, handled := s.serve()
			s.works(handled)
			text := "commands need nats-server 2.12.0 or later on every server with JetStream, and this one is " + version
			require.ErrorContains(t, srv.Ready(t.Context()), text)
			client, err := aegistestv1aegis.NewJobServiceClient(s.connect())
			require.NoError(t, err)
			_, err = client.Work(t.Context(), &testv1.WorkRequest{})
			require.Equal(t, aegis.CodeFailedPrecondition, aegis.CodeOf(err))
			require.ErrorContains(t, err, text)
		})
	}
}

func TestCommandsWorkByThemselvesAfterAnUpgrade(t *testing.T) {
	s := newServer(t)
	s.run("2.11.15")
	srv, handled := s.serve()
	s.works(handled)
	require.Error(t, srv.Ready(t.Context()))
	s.run("2.12.4")
	s.eventually("it is ready", func() bool { return srv.Ready(t.Context()) == nil })
	s.works(handled)
	s.commands()
}

func TestCommandsWorkWithTheOldestServer(t *testing.T) {
	for _, version := range []string{"2.12.0", "2.12.4"} {
		t.Run(version, func(t *testing.T) {
			s := newServer(t)
			s.run(version)
			srv, handled := s.serve()
			require.NoError(t, srv.Ready(t.Context()))
			s.works(handled)
			s.commands()
		})
	}
}
