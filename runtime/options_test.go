package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	singleactivev1 "github.com/aegisrpc/aegis/internal/codegen/golden/singleactive"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/specs"
)

func TestProbeIntervalIsThatOfTheProto(t *testing.T) {
	t.Parallel()
	service, err := specs.Read(singleactivev1.File_singleactive_singleactive_proto.Services().ByName("BookService"))
	require.NoError(t, err)
	s, err := newService(&Server{}, service, nil)
	require.NoError(t, err)
	require.Equal(t, election.Config{Lease: time.Second, Window: 50 * time.Millisecond, Probe: 15 * time.Millisecond}, s.election)
}
