package instances_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

type echo struct{}

func (echo) Echo(_ context.Context, req *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	return &echov1.EchoResponse{Text: req.GetText()}, nil
}

// serveEcho starts an instance of the echo service with this name.
func serveEcho(t *testing.T, nats *aegistest.NATS, name string) {
	t.Helper()
	aegistest.Serve(t, nats.Connect(t), func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	}, aegis.WithInstance(name))
}

func TestLsShowsServicesAndTheirInstances(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)

	r := clitest.Run(t, nil, "ls", "--server", nats.URL())
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Err, "No service runs here")
	r = clitest.Run(t, nil, "ls", "-o", "json", "--server", nats.URL())
	assert.JSONEq(t, "[]", r.Out)

	serveEcho(t, nats, "one")
	serveEcho(t, nats, "two")
	r = clitest.Run(t, nil, "ls", "--server", nats.URL())
	require.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "SERVICE")
	assert.Contains(t, r.Out, "echo.v1.EchoService")

	r = clitest.Run(t, nil, "ls", "echo.v1.EchoService", "-o", "json", "--server", nats.URL())
	require.Equal(t, 0, r.Code, r.Err)
	var instances []struct{ Instance, State string }
	require.NoError(t, json.Unmarshal([]byte(r.Out), &instances))
	require.Len(t, instances, 2)
	assert.Equal(t, "one", instances[0].Instance)
	assert.Equal(t, "RUNNING", instances[0].State)
}

func TestLsOfAnUnknownServiceSuggestsANearOne(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	r := clitest.Run(t, nil, "ls", "echo.v1.EchoServce", "--server", nats.URL())
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Out)
	assert.Contains(t, r.Err, "did you mean echo.v1.EchoService?")
}

func TestWrongUseIsExitCode2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"lz"},
		{"ls", "--outptu", "json"},
		{"ls", "a", "b"},
		{"ls", "-o", "xml"},
		{"ls", "--timeout", "0s"},
		{"demo", "--server", "nats://127.0.0.1:1"},
	} {
		r := clitest.Run(t, nil, args...)
		assert.Equal(t, 2, r.Code, args)
		assert.Empty(t, r.Out, args)
		assert.Contains(t, r.Err, "aegis: ", args)
	}
}

func TestTheEnvironmentSaysWhereNATSIs(t *testing.T) {
	t.Parallel()
	nats := aegistest.StartNATS(t)
	serveEcho(t, nats, "one")
	r := clitest.Run(t, []string{"NATS_URL=" + nats.URL()}, "ls")
	assert.Equal(t, 0, r.Code, r.Err)
	assert.Contains(t, r.Out, "echo.v1.EchoService")
}

func TestWithoutNATSTheErrorSaysWhere(t *testing.T) {
	t.Parallel()
	r := clitest.Run(t, nil, "ls", "--server", "nats://127.0.0.1:1")
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Err, "nats://127.0.0.1:1")
	assert.NotContains(t, r.Err, "goroutine")
}
