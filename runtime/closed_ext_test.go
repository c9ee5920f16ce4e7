package aegis_test

import (
	"context"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// users is what is done over one connection, each until it ends.
type users map[string]func() error

// usersOf uses a connection in all ways. What waits for something waits for longer
// than the test is patient.
func usersOf(t *testing.T, conn *aegis.Conn) (waiting, asking users) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	client, pub, jobs, teller := newClient(t, conn), newPublisher(t, conn), newJobClient(t, conn), newTeller(t, conn)
	known(t, conn, "aegistest.v1.BroadcastService", 1)
	cmd := send(t, jobs, "")
	last := func(opts ...aegis.CallOption) func() error {
		return func() (err error) {
			for r := range teller.Tell(ctx, &testv1.TellRequest{}, opts...) {
				err = r.Err
			}
			return err
		}
	}
	waiting = users{
		"a call":                    func() error { _, err := client.Do(ctx, doRequest("")); return err },
		"a broadcast to all":        last(),
		"a broadcast until replies": last(aegis.UntilReplies(2)),
		"a broadcast until silence": last(aegis.UntilSilence(2 * patience)),
		"a result":                  func() error { _, err := cmd.Result(ctx); return err },
		"a result by id":            func() error { _, err := aegistestv1aegis.JobServiceWorkCommand(conn, cmd.ID()).Result(ctx); return err },
		"progress": func() (err error) {
			for _, err = range cmd.Progress(ctx) { //nolint:revive // the last one counts
			}
			return err
		},
		"watching instances": func() (err error) {
			for _, err = range conn.WatchInstances(ctx, aegis.AllServices) { //nolint:revive // the last one counts
			}
			return err
		},
	}
	asking = users{
		"an event":            func() error { return pub.Core(ctx, &testv1.CoreRequest{}) },
		"a durable event":     func() error { _, err := pub.Stored(ctx, stored("")); return err },
		"an asynchronous one": func() error { _, err := pub.StoredAsync(ctx, stored("")); return err },
		"a command":           func() error { _, err := jobs.Work(ctx, &testv1.WorkRequest{}); return err },
		"a status":            func() error { _, err := cmd.Status(ctx); return err },
		"a cancel":            func() error { return cmd.Cancel(ctx) },
		"instances":           func() error { _, err := conn.Instances(ctx, "s.Other"); return err },
		"dead letters": func() (err error) {
			for _, err = range conn.DeadLetters(ctx, jobService) { //nolint:revive // the last one counts
			}
			return err
		},
		"a dead letter": func() error { _, err := conn.DeadLetter(ctx, jobService, 1); return err },
		"putting back":  func() error { return conn.PutBack(ctx, &aegis.DeadLetter{Service: jobService}) },
		"discarding":    func() error { return conn.DiscardDeadLetter(ctx, &aegis.DeadLetter{Service: jobService}) },
		"a server": func() error {
			srv, err := aegis.NewServer(conn)
			if err == nil {
				err = registerProbe(srv)
			}
			if err == nil {
				err = srv.Run(ctx)
			}
			return err
		},
	}
	return waiting, asking
}

// Everything that needs a connection says that it is closed, whoever has closed it:
// what waits at that moment, and what comes later.
func TestEverythingSaysThatTheConnectionIsClosed(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*testing.T, *aegis.Conn){
		"by Close":   func(t *testing.T, c *aegis.Conn) { t.Helper(); require.NoError(t, c.Close(t.Context())) },
		"by nats.go": func(_ *testing.T, c *aegis.Conn) { c.NATS().Close() },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := connect(t)
			held := make(chan struct{})
			serve(t, server, probe{do: func(context.Context, *testv1.DoRequest) (*testv1.DoResponse, error) {
				<-held
				return nil, errWrong
			}})
			serveTell(t, server, "held", func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
				<-held
				return nil, errWrong
			})
			worker(t, server, jobs{work: func(context.Context, *testv1.WorkRequest) (*testv1.WorkResponse, error) {
				<-held
				return nil, errWrong
			}})
			t.Cleanup(func() { close(held) })
			mustStore(t, newPublisher(t, server), "makes the stream")
			conn := connectTo(t, server.NATS().ConnectedUrl(), silent())
			waiting, asking := usersOf(t, conn)
			ends := map[string]<-chan result[any]{}
			for what, use := range waiting {
				ends[what] = async(func() (any, error) { return nil, use() })
			}
			eventually(t, "calls wait", func() bool { return conn.Waiting() > 0 })
			end(t, conn)
			for what, ended := range ends {
				require.ErrorIs(t, receive(t, what, ended).err, aegis.ErrConnClosed, what)
			}
			maps.Copy(waiting, asking)
			for what, use := range waiting {
				require.ErrorIs(t, receive(t, what, async(func() (any, error) { return nil, use() })).err, aegis.ErrConnClosed, what+" afterwards")
			}
		})
	}
}
