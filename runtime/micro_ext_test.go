package aegis_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

const microProbe = "aegistest-v1-ProbeService"

// askMicro asks as `nats micro` does, and decodes n answers strictly into the
// micro client's own type.
func askMicro[T any](t *testing.T, nc *nats.Conn, verb micro.Verb, name, id string, n int) []T {
	t.Helper()
	subject, err := micro.ControlSubject(verb, name, id)
	require.NoError(t, err)
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	defer func() { _ = sub.Unsubscribe() }()
	require.NoError(t, nc.PublishRequest(subject, inbox, nil))
	answers := make([]T, n)
	for i := range answers {
		msg, err := sub.NextMsg(patience)
		require.NoError(t, err, subject)
		require.NotEqual(t, "503", msg.Header.Get("Status"), "nobody answers %s", subject)
		require.NoError(t, json.Unmarshal(msg.Data, &answers[i]))
		again, err := json.Marshal(answers[i])
		require.NoError(t, err)
		require.JSONEq(t, string(again), string(msg.Data), "there is nothing that the client does not know")
	}
	require.NoError(t, nc.Flush())
	pendingMsgs, _, err := sub.Pending()
	require.NoError(t, err)
	require.Zero(t, pendingMsgs, "no more answers to %s", subject)
	return answers
}

func TestMicroToolsSeeEveryServiceAndInstance(t *testing.T) {
	t.Parallel()
	conn := connect(t, aegis.WithNamespace("staging"))
	both := func(srv *aegis.Server) error {
		return errors.Join(
			aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}),
			aegistestv1aegis.RegisterBoundedServiceServer(srv, bounded{}))
	}
	aegistest.Serve(t, conn, both, aegis.WithInstance("a"))
	aegistest.Serve(t, another(t, conn, aegis.WithNamespace("staging")), both, aegis.WithInstance("b"))
	nc := plain(t, conn)

	require.Len(t, askMicro[micro.Ping](t, nc, micro.PingVerb, "", "", 4), 4)
	pings := askMicro[micro.Ping](t, nc, micro.PingVerb, microProbe, "", 2)
	ids := map[string]string{}
	for _, p := range pings {
		require.Equal(t, micro.PingResponseType, p.Type)
		require.Equal(t, microProbe, p.Name)
		require.Equal(t, "1.2.3", p.Version)
		require.Equal(t, "staging", p.Metadata["namespace"])
		require.Equal(t, probeName, p.Metadata["service"])
		ids[p.Metadata["instance"]] = p.ID
	}
	require.Len(t, ids, 2)
	require.NotEqual(t, ids["a"], ids["b"])

	info := askMicro[micro.Info](t, nc, micro.InfoVerb, microProbe, ids["a"], 1)[0]
	require.Equal(t, micro.InfoResponseType, info.Type)
	require.Equal(t, "a", info.Metadata["instance"])
	endpoint := func(name, description string) micro.EndpointInfo {
		return micro.EndpointInfo{Name: name, Subject: "staging.call." + probeName + "." + name, QueueGroup: "aegis", Metadata: map[string]string{
			"pattern": "load_balanced", "request": "aegistest.v1." + name + "Request", "response": "aegistest.v1." + name + "Response",
			"description": description,
		}}
	}
	require.Equal(t, []micro.EndpointInfo{
		endpoint("Do", "Do has the defaults."),
		endpoint("Get", "Get is idempotent, with short pauses between attempts."),
		endpoint("Quick", "Quick has a timeout of 250 ms."),
	}, info.Endpoints)
	require.Equal(t, "ProbeService has a method for each kind of unary call.", info.Description)
	require.Len(t, askMicro[micro.Stats](t, nc, micro.StatsVerb, "", "", 4), 4)
	_, err := nc.Request("$SRV.PING.nobody", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestMicroStatsCountCalls(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	start := time.Now()
	serve(t, conn, probe{do: func(_ context.Context, req *testv1.DoRequest) (*testv1.DoResponse, error) {
		if req.GetText() == "" {
			return nil, aegis.Errorf(aegis.CodeNotFound, "no %s", "text")
		}
		<-time.After(20 * time.Millisecond) // the time that it takes
		return &testv1.DoResponse{}, nil
	}})
	client := newClient(t, conn)
	for range 3 {
		_, err := client.Do(t.Context(), doRequest("x"))
		require.NoError(t, err)
	}
	_, err := client.Do(t.Context(), doRequest(""))
	require.Equal(t, aegis.CodeNotFound, aegis.CodeOf(err))
	var do *micro.EndpointStats
	eventually(t, "all are counted", func() bool {
		stats := askMicro[micro.Stats](t, plain(t, conn), micro.StatsVerb, microProbe, "", 1)[0]
		require.Equal(t, micro.StatsResponseType, stats.Type)
		require.WithinDuration(t, start, stats.Started, time.Minute)
		require.Len(t, stats.Endpoints, 3)
		require.Zero(t, stats.Endpoints[1].NumRequests)
		do = stats.Endpoints[0]
		return do.NumRequests == 4 // a reply may be out before it is counted
	})
	require.Equal(t, 1, do.NumErrors)
	require.Equal(t, "5:no text", do.LastError)
	require.GreaterOrEqual(t, do.ProcessingTime, 60*time.Millisecond)
	require.Equal(t, do.ProcessingTime/4, do.AverageProcessingTime)
	require.Equal(t, "aegis", do.QueueGroup)
}

func TestMicroShowsWhereALeaderIsCalled(t *testing.T) {
	t.Parallel()
	n := aegistest.StartNATS(t)
	a := stand(t, n, &desk{name: "a"})
	nc := plain(t, a.conn)
	info := askMicro[micro.Info](t, nc, micro.InfoVerb, "order-v1-OrderService", "", 1)[0]
	for _, e := range info.Endpoints {
		if e.Name == "PlaceOrder" {
			require.Equal(t, "aegis.lead.order.v1.OrderService.PlaceOrder.default.any", e.Subject)
			require.Equal(t, "single_active", e.Metadata["pattern"])
			require.Equal(t, "default", e.Metadata["group"])
			return
		}
	}
	t.Fatal("PlaceOrder is missing")
}
