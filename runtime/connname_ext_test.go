package aegis_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/embednats"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// listed returns the names of the connections as `nats server report connections` has them.
func listed(t *testing.T, s *embednats.Server) []string {
	t.Helper()
	report, err := s.Connz(&server.ConnzOptions{})
	require.NoError(t, err)
	var names []string
	for _, c := range report.Conns {
		names = append(names, c.Name)
	}
	return names
}

func TestConnectionsSayTheirNameToNATS(t *testing.T) {
	t.Parallel()
	s, err := embednats.Run(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	program := filepath.Base(os.Args[0])

	connectTo(t, s.ClientURL(), aegis.WithInstance("orders-1"), aegis.WithBuild("v1.4.0"))
	require.Equal(t, []string{"orders-1 " + program + " v1.4.0"}, listed(t, s))
	connectTo(t, s.ClientURL(), aegis.WithNATSOptions(nats.Name("billing")), aegis.WithInstance("orders-2"))
	require.Contains(t, listed(t, s), "billing", "the name of the user's own goes over it")

	made := connectTo(t, s.ClientURL(), aegis.WithBuild("v2"))
	first, err := aegis.NewServer(made)
	require.NoError(t, err)
	second, err := aegis.NewServer(made)
	require.NoError(t, err)
	require.Contains(t, listed(t, s), first.Instance()+" "+program+" v2", "a name that is made up is that of the first server")
	require.NotEqual(t, first.Instance(), second.Instance())
	named, err := aegis.NewServer(made, aegis.WithInstance("mine"))
	require.NoError(t, err)
	require.Equal(t, "mine", named.Instance())

	given, err := aegis.NewConn(plain(t, made), silent())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, given.Close(context.Background())) })
	srv, err := aegis.NewServer(given)
	require.NoError(t, err)
	require.NotEmpty(t, srv.Instance())
	require.False(t, slices.Contains(listed(t, s), srv.Instance()), "the connection is the user's, and so is its name")
}
