package instances_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
	"github.com/aegisrpc/aegis/runtime/health"
)

const echoService = "echo.v1.EchoService"

// serveMine starts a reserved instance of the echo service that says all of itself, and is ill.
func serveMine(t *testing.T, nats *aegistest.NATS) {
	t.Helper()
	conn := nats.Connect(t, aegis.WithReserved(), aegis.WithZone("eu-1a"), aegis.WithNode("laptop"), aegis.WithBuild("v9"),
		aegis.WithLabels(map[string]string{"developer": "anna", "branch": "fix"}))
	aegistest.Serve(t, conn, func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	}, aegis.WithInstance("mine"), aegis.WithCheck("disk", health.Needs(func(context.Context) error { return errors.New("it is full") })))
}

func TestLsShowsWhatInstancesSayOfThemselves(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	ls := func(args ...string) string {
		r := clitest.Run(t, nil, append(args, "--server", nats.URL())...)
		require.Equal(t, 0, r.Code, r.Err)
		return r.Out
	}
	for _, title := range []string{"ZONE", "NODE", "BUILD", "LABELS"} {
		require.NotContains(t, ls("ls", echoService), title, "nobody says anything")
	}

	serveMine(t, nats)
	out := ls("ls", echoService)
	assert.Regexp(t, `INSTANCE +STATE +VERSION +UP +LEADS +ZONE +NODE +BUILD +LABELS +GRADE +REMARKS`, out)
	assert.Regexp(t, `mine +RUNNING .* eu-1a +laptop +v9 +branch=fix developer=anna .* reserved, unhealthy`, out)
	assert.Regexp(t, `one +RUNNING [^\n]* - +-  `, out)

	var instances []struct {
		Instance, Zone, Node, Build string
		Labels                      map[string]string
		Reserved                    bool
	}
	require.NoError(t, json.Unmarshal([]byte(ls("ls", echoService, "-o", "json")), &instances))
	require.Len(t, instances, 2)
	mine := instances[0]
	assert.Equal(t, []string{"mine", "eu-1a", "laptop", "v9"}, []string{mine.Instance, mine.Zone, mine.Node, mine.Build})
	assert.Equal(t, map[string]string{"developer": "anna", "branch": "fix"}, mine.Labels)
	assert.True(t, mine.Reserved)
	assert.False(t, instances[1].Reserved)
	assert.Empty(t, instances[1].Labels)

	tree := ls("tree")
	assert.Regexp(t, `mine  reserved  RUNNING .*  zone eu-1a  node laptop  build v9  labels branch=fix developer=anna`, tree)
	described := ls("describe", echoService)
	assert.Contains(t, described, "1 instance: one\n1 reserved: mine\n")
}

func TestReservedInstancesAreCountedApart(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveMine(t, nats)
	r := clitest.Run(t, nil, "ls", "--server", nats.URL())
	assert.Contains(t, r.Out, "only reserved")
	r = clitest.Run(t, nil, "health", echoService, "--server", nats.URL())
	assert.Equal(t, 1, r.Code, "no instance serves")

	serveEcho(t, nats, "one")
	r = clitest.Run(t, nil, "ls", "--server", nats.URL())
	assert.Regexp(t, `echo.v1.EchoService +1 \+ 1 reserved .* running`, r.Out)
	r = clitest.Run(t, nil, "ls", "-o", "json", "--server", nats.URL())
	var services []struct{ Instances, Running, Unhealthy, Reserved int }
	require.NoError(t, json.Unmarshal([]byte(r.Out), &services))
	require.Equal(t, []struct{ Instances, Running, Unhealthy, Reserved int }{{1, 1, 0, 1}}, services)
	r = clitest.Run(t, nil, "health", echoService, "--server", nats.URL())
	assert.Equal(t, 0, r.Code, r.Out)
	assert.Regexp(t, `mine \(reserved\) +unhealthy`, r.Out)
}

func TestWatchTellsWhatAnInstanceSaysOfItself(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	p := clitest.Start(t, nil, "watch", echoService, "--server", nats.URL())
	serveMine(t, nats)
	p.Out().Await(t, "zone eu-1a  node laptop  build v9  labels branch=fix developer=anna")
	p.Interrupt(t)
	assert.Contains(t, p.Wait(t).Out, "reserved")
}
