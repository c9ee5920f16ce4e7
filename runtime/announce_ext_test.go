package aegis_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

func TestServerSaysOnceThatItServes(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	var log logs
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		if err := aegistestv1aegis.RegisterProbeServiceServer(srv, probe{}); err != nil {
			return err
		}
		return aegistestv1aegis.RegisterBroadcastServiceServer(srv, tellFunc(tell))
	}, log.option(), aegis.WithInstance("one"))
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), `level=INFO msg="aegis: serving" instance=one services="aegistest.v1.ProbeService aegistest.v1.BroadcastService" nats=`+
		conn.NATS().ConnectedUrl()+"\n")
}

// A password, or a token in place of a user, is not for the log.
func TestServerSaysNoPasswordWhenItServes(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	var log logs
	subscribe(t, connectTo(t, g.as("app")), handlers{Core: func(_ context.Context, _ *testv1.CoreRequest) error { return nil }},
		[]aegis.ServerOption{log.option(), aegis.WithInstance("two")}, aegis.Compete("g"))
	require.Contains(t, log.String(), `msg="aegis: serving" instance=two events_of=aegistest.v1.EventService nats=nats://***@127.0.0.1:`)
	require.NotContains(t, log.String(), "pw")
}
