package call_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	"github.com/aegisrpc/aegis/internal/testproto/aegistest/v1/aegistestv1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// BenchmarkCall measures the whole command, from its start to its end: it connects, asks for
// the descriptors, calls, and prints.
func BenchmarkCall(b *testing.B) {
	nats := aegistest.StartNATS(b)
	aegistest.Serve(b, nats.Connect(b), func(srv *aegis.Server) error {
		return aegistestv1aegis.RegisterProbeServiceServer(srv, probe{})
	})
	for b.Loop() {
		r := clitest.Run(b, nil, "call", "aegistest.v1.ProbeService/Do", `{"text": "hi"}`, "--server", nats.URL())
		require.Equal(b, 0, r.Code, r.Err)
	}
}

// BenchmarkHelp measures `aegis --help` from its start to its end.
func BenchmarkHelp(b *testing.B) {
	for b.Loop() {
		require.Equal(b, 0, clitest.Run(b, nil, "--help").Code)
	}
}
