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

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// denying starts a NATS server with a user "all", and a user "some" who may do all but
// what is denied. It returns how to connect.
func denying(t *testing.T, publish, subscribe []string) func(user string, opts ...aegis.ConnOption) *aegis.Conn {
	t.Helper()
	url := denyingURL(t, publish, subscribe)
	return func(user string, opts ...aegis.ConnOption) *aegis.Conn {
		t.Helper()
		return connectTo(t, url(user), opts...)
	}
}

func denyingURL(t *testing.T, publish, subscribe []string) func(user string) string {
	t.Helper()
	list := func(subjects []string) string {
		return `[` + strings.Join(subjects, ", ") + `]`
	}
	for _, subjects := range [][]string{publish, subscribe} {
		for i := range subjects {
			subjects[i] = fmt.Sprintf("%q", subjects[i])
		}
	}
	path := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(path, []byte(`authorization {users = [
		{user: all, password: pw}
		{user: some, password: pw, permissions: {publish: {deny: `+list(publish)+`}, subscribe: {deny: `+list(subscribe)+`}}}
	]}`), 0o600))
	n := aegistest.StartNATSWithConfig(t, path)
	return func(user string) string { return strings.Replace(n.URL(), "://", "://"+user+":pw@", 1) }
}

// soonDenied asserts that what fails is refused long before a deadline of a minute. It
// returns the error's text.
func soonDenied(t *testing.T, what func(ctx context.Context) error) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := receive(t, "it is refused", async(func() (any, error) { return nil, what(ctx) })).err
	require.Equal(t, aegis.CodePermissionDenied, aegis.CodeOf(err), err)
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.NoError(t, ctx.Err())
	return err.Error()
}

func TestBroadcastThatMayNotBePublishedFailsAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"aegis.all.>"}, nil)
	serveTell(t, as("all"), "l1", tell)
	for name, opts := range map[string][]aegis.CallOption{
		"registry": nil, "replies": {aegis.UntilReplies(1)}, "silence": {aegis.UntilSilence(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := as("some")
			if opts == nil {
				known(t, conn, teller, 1)
			}
			var got []aegis.Reply[testv1.TellResponse]
			text := soonDenied(t, func(ctx context.Context) error {
				for r := range newTeller(t, conn).Tell(ctx, &testv1.TellRequest{}, opts...) {
					got = append(got, r)
				}
				if len(got) == 0 {
					return errors.New("no reply and no error")
				}
				return got[0].Err
			})
			require.Contains(t, text, "publish to aegis.all."+teller+".Tell")
			require.Len(t, got, 1)
			require.Empty(t, got[0].Instance, "no instance is to blame")
		})
	}
}

// On a connection of the user's own nobody tells what NATS refuses but the connection.
func TestBroadcastThatMayNotBePublishedOnAUsersConnection(t *testing.T) {
	t.Parallel()
	url := denyingURL(t, []string{"aegis.all.>"}, nil)
	serveTell(t, connectTo(t, url("all")), "l1", tell)
	nc, err := nats.Connect(url("some"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	conn, err := aegis.NewConn(nc, silent())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	known(t, conn, teller, 1)
	client := newTeller(t, conn)
	// nats.go keeps the last error only. The void probe of broadcasts begins with the
	// first one and is refused as well, at any time after it on a busy machine.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for r := range client.Tell(ctx, &testv1.TellRequest{}) {
		require.Error(t, r.Err)
	}
	eventually(t, "the void probe is over", conn.ProbedVoid)
	soonDenied(t, func(ctx context.Context) error {
		for r := range client.Tell(ctx, &testv1.TellRequest{}) {
			return r.Err
		}
		return nil
	})
}

// A caller that may not ask whether an instance is there learns that with the instance, once.
func TestBroadcastThatMayNotAskWhoIsThere(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"aegis.inst.*." + teller + ".-"}, nil)
	over := make(chan struct{})
	serveTell(t, as("all"), "stuck", func(context.Context, *testv1.TellRequest) (*testv1.TellResponse, error) {
		<-over // later than its context, whose end it could tell in time else
		return nil, errWrong
	})
	defer close(over)
	var log logs
	conn := as("some", log.option())
	known(t, conn, teller, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	got := replies(ctx, t, newTeller(t, conn))
	require.Equal(t, aegis.CodeDeadlineExceeded, aegis.CodeOf(got["stuck"].Err))
	require.ErrorContains(t, got["stuck"].Err, "add aegis.inst.stuck."+teller+".- to the user's permissions")
	require.Zero(t, log.count("level=ERROR"), log.String())
}

func TestSingleActiveCallThatMayNotAskWhoLeadsFailsAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"aegis.who.>"}, nil)
	srv := aegistest.Serve(t, as("all"), func(srv *aegis.Server) error {
		return orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast)
	})
	eventually(t, "it leads", func() bool { return leadsNow(srv) })
	var log logs
	client := newOrders(t, as("some", log.option()))
	for range 3 {
		text := soonDenied(t, func(ctx context.Context) error {
			_, err := client.PlaceOrder(ctx, &orderv1.PlaceOrderRequest{Id: "1"})
			return err
		})
		require.Contains(t, text, "publish to aegis.who.order.v1.OrderService.default")
	}
	require.LessOrEqual(t, log.count("level=ERROR"), 1, log.String())
}

func TestInstancesThatMayNotBeHeardAreAnError(t *testing.T) {
	t.Parallel()
	for name, publish := range map[string][]string{"with the registry": {}, "without": {"$JS.>"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := denying(t, publish, []string{"aegis.beat.>"})
			serve(t, as("all"), probe{})
			conn := as("some")
			for _, service := range []string{probeName, aegis.AllServices} {
				eventually(t, "it is refused", func() bool {
					_, err := conn.Instances(t.Context(), service)
					return aegis.CodeOf(err) == aegis.CodePermissionDenied && strings.Contains(err.Error(), "heartbeats of instances")
				})
			}
			text := soonDenied(t, func(ctx context.Context) error {
				_, err := newClient(t, conn, aegis.RoundRobin(), aegis.WaitForReady()).Do(ctx, doRequest(""))
				return err
			})
			require.Contains(t, text, `Subscription to "aegis.beat.`)
		})
	}
}

func TestDeadLettersThatMayNotBeReadFailAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.>"}, nil)
	all := as("all")
	var d diary
	subscribe(t, all, handlers{Stored: func(ctx context.Context, ev *testv1.StoredRequest) error {
		_ = d.stored(ctx, ev)
		return aegis.Permanent(errWrong)
	}}, nil, aegis.Compete("g"))
	mustStore(t, newPublisher(t, all), "x")
	eventually(t, "it is dead", func() bool { return len(deadLetters(t, all, eventService)) == 1 })
	letter := deadLetters(t, all, eventService)[0]
	conn := as("some")
	text := soonDenied(t, func(ctx context.Context) error {
		for _, err := range conn.DeadLetters(ctx, eventService) {
			return err
		}
		return nil
	})
	require.Contains(t, text, "the dead letters of "+eventService)
	for _, f := range []func(context.Context, *aegis.DeadLetter) error{conn.PutBack, conn.DiscardDeadLetter} {
		soonDenied(t, func(ctx context.Context) error { return f(ctx, letter) })
	}
}

func TestEventThatMayNotBePublishedFailsAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"aegis.evt.>", "aegis.log.>"}, nil)
	mustStore(t, newPublisher(t, as("all")), "") // makes the stream
	pub := newPublisher(t, as("some"))
	for range 3 {
		text := soonDenied(t, func(ctx context.Context) error { return pub.Core(ctx, &testv1.CoreRequest{}) })
		require.Contains(t, text, "publish to aegis.evt."+eventService+".Core")
	}
	soonDenied(t, func(ctx context.Context) error {
		_, err := pub.Stored(ctx, stored(""))
		return err
	})
	future, err := pub.StoredAsync(t.Context(), stored(""))
	require.NoError(t, err)
	soonDenied(t, func(ctx context.Context) error {
		_, err := future.Ack(ctx)
		return err
	})
}

func TestStreamsThatMayNotBeMadeAreTheReasonAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"$JS.API.STREAM.CREATE.>"}, nil)
	conn := as("some")
	text := soonDenied(t, func(ctx context.Context) error {
		_, err := newPublisher(t, conn).Stored(ctx, stored(""))
		return err
	})
	require.Contains(t, text, `"$JS.API.STREAM.CREATE.`+eventStream+`"`)
	require.Contains(t, text, "make it with the subjects aegis.log."+eventService+".>")
	soonDenied(t, func(ctx context.Context) error {
		_, err := newJobClient(t, conn).Work(ctx, &testv1.WorkRequest{})
		return err
	})
}

// A stream of the server to a client that may not give it credit.
func TestStreamWhoseClientMayNotAnswerFailsAtOnce(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"aegis.in.>"}, nil)
	serveStreams(t, as("all"), streams{})
	client := newStreamClient(t, as("some"))
	soonDenied(t, func(ctx context.Context) error {
		in, err := client.Count(ctx, &testv1.CountRequest{Numbers: 1_000_000})
		if err != nil {
			return err
		}
		_, err = readNumbers(t, in)
		return err
	})
	as = denying(t, []string{"aegis.call.>"}, nil)
	serveStreams(t, as("all"), streams{})
	client = newStreamClient(t, as("some"))
	soonDenied(t, func(ctx context.Context) error {
		in, err := client.Count(ctx, &testv1.CountRequest{Numbers: 1})
		if err != nil {
			return err
		}
		_, err = readNumbers(t, in)
		return err
	})
}

func TestErrorThatNATSRepeatsIsOneLine(t *testing.T) {
	t.Parallel()
	var log logs
	nc := denying(t, []string{"x.>", "_INBOX.>", "last"}, nil)("some", log.option()).NATS()
	for i := range 100 {
		require.NoError(t, nc.Publish("x.y", nil))
		require.NoError(t, nc.Publish(fmt.Sprint("_INBOX.of.", i), nil), "which differ in what says nothing")
	}
	for i := range 200 {
		require.NoError(t, nc.Publish(fmt.Sprint("x.", i), nil))
	}
	require.NoError(t, nc.Publish("last", nil))
	eventually(t, "all were heard", func() bool { return strings.Contains(fmt.Sprint(nc.LastError()), `"last"`) })
	eventually(t, "the first are told", func() bool { return log.count("x.61") == 1 })
	require.Equal(t, 1, log.count(`x.y\"`), log.String())
	require.Equal(t, 1, log.count("_INBOX."), log.String())
	require.LessOrEqual(t, log.count("level=ERROR"), 65, "and the rest is one")
}
