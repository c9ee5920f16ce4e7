package aegis_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/examples/order/gen/order/v1/orderv1aegis"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// everything has a server do all that there is.
func everything(d *diary) func(*aegis.Server) error {
	return func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			registerJobs(jobs{})(srv),
			orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast),
			subscribeTo(srv, handlers{
				Stored: d.stored,
				Keyed:  func(context.Context, *testv1.KeyedRequest) error { return nil },
			}, aegis.Compete("g")),
		)
	}
}

// parts are the names of what cannot work, in order.
func brokenParts(srv *aegis.Server) []string {
	return slices.Sorted(maps.Keys(maps.Collect(srv.Broken())))
}

// Whose user may make no streams serves calls all the same. The rest is not ready, for
// the reason that NATS has given, and works as soon as somebody else has made them.
func TestServerThatMayMakeNoStreamServesWhatItCan(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"$JS.API.STREAM.CREATE.>"}, nil)
	var log logs
	var d diary
	conn := as("some", log.option())
	srv, err := aegis.NewServer(conn)
	require.NoError(t, err)
	require.NoError(t, everything(&d)(srv))
	running := runServer(t, srv)
	require.Error(t, srv.Ready(t.Context()), "from the beginning")
	_, err = newClient(t, as("all")).Do(t.Context(), doRequest(""))
	require.NoError(t, err)

	var parts []string
	eventually(t, "all that cannot work is known, and why", func() bool {
		parts = brokenParts(srv)
		for _, err := range srv.Broken() {
			if !errors.Is(err, nats.ErrPermissionViolation) {
				return false
			}
		}
		return len(parts) == 5
	})
	for i, part := range []string{
		"the commands of aegistest.v1.JobService.Once", "the commands of aegistest.v1.JobService.Work",
		"the election of the group default of order.v1.OrderService",
		"the events of aegistest.v1.EventService.Keyed", "the events of aegistest.v1.EventService.Stored",
	} {
		require.Contains(t, parts[i], part)
	}
	err = srv.Ready(t.Context())
	require.ErrorContains(t, err, "the commands of aegistest.v1.JobService.Once cannot work")
	require.ErrorContains(t, err, `Publish to "$JS.API.STREAM.CREATE.aegis-commands-aegistest-v1-JobService"`)

	refused := make(map[error]bool)
	eventually(t, "it is tried again", func() bool {
		refused[conn.NATS().LastError()] = true
		return len(refused) > 40
	})
	for _, part := range parts {
		require.Equal(t, 1, strings.Count(log.String(), "level=ERROR msg=\"aegis: "+part+" cannot work\""), log.String())
	}
	require.Equal(t, len(parts), log.count("level=ERROR"), log.String())

	second, err := aegis.NewServer(as("all"))
	require.NoError(t, err)
	require.NoError(t, everything(&d)(second))
	helper := runServer(t, second)
	eventually(t, "the other one makes what is needed", func() bool { return second.Ready(t.Context()) == nil })
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(maps.Collect(srv.Broken()), log.String())
		}
	})
	eventually(t, "it is ready", func() bool { return srv.Ready(t.Context()) == nil })
	require.Empty(t, brokenParts(srv))
	helper.end(t)
	mustResult(t, send(t, newJobClient(t, as("all")), "x"))
	mustStore(t, newPublisher(t, as("all")), "y")
	d.becomes(t, "y")
	running.end(t)
}

// What keeps a candidate from standing need not be its bucket.
func TestCandidateThatNATSDoesNotLetHearItselfIsNotReady(t *testing.T) {
	t.Parallel()
	for name, denied := range map[string][2][]string{
		"to hear itself":   {nil, {"aegis.live.*.>"}},
		"to call itself":   {{"aegis.live.*.>"}, nil},
		"to be asked":      {nil, {"aegis.who.>"}},
		"to write":         {{"$KV.aegis-leaders.>"}, nil},
		"to read":          {{"$JS.API.STREAM.MSG.GET.KV_aegis-leaders"}, nil},
		"to make a bucket": {{"$JS.API.STREAM.CREATE.KV_aegis-leaders"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := denying(t, denied[0], denied[1])
			var log logs
			srv, err := aegis.NewServer(as("some", log.option()))
			require.NoError(t, err)
			require.NoError(t, orderv1aegis.RegisterOrderServiceServer(srv, &desk{name: "a"}, fast))
			running := runServer(t, srv)
			eventually(t, "it is known why", func() bool {
				err := srv.Ready(t.Context())
				return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), "the election of the group default of order.v1.OrderService cannot work")
			})
			require.Equal(t, 1, log.count("level=ERROR"), log.String())
			running.end(t)
		})
	}
}

// NATS says that it does not let this user acknowledge with each acknowledgement.
func TestSubscriberThatMayNotAcknowledgeIsNotReady(t *testing.T) {
	t.Parallel()
	as := denying(t, []string{"$JS.ACK.>"}, nil)
	var log logs
	var d diary
	srv := subscribe(t, as("some", log.option()), handlers{Stored: d.stored}, nil, aegis.Compete("g"))
	pub := newPublisher(t, as("all"))
	for range 20 {
		mustStore(t, pub, "x")
	}
	eventually(t, "they are handled", func() bool { return d.count("x") >= 20 })
	eventually(t, "it is not ready", func() bool { return errors.Is(srv.Ready(t.Context()), nats.ErrPermissionViolation) })
	require.ErrorContains(t, srv.Ready(t.Context()), "an acknowledgement, so that what was handled is delivered again")
	require.LessOrEqual(t, log.count("level=ERROR"), 8, log.String())
}
