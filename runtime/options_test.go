package aegis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	singleactivev1 "github.com/aegisrpc/aegis/internal/codegen/golden/singleactive"
	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/election"
)

func TestPausesOfCallsAreThoseOfTheProto(t *testing.T) {
	t.Parallel()
	service, err := serviceSpec(testv1.File_aegistest_v1_testing_proto.Services().ByName("ProbeService"))
	require.NoError(t, err)
	for _, m := range service.Methods {
		if m.Name != "Get" { // 5 ms to 20 ms
			continue
		}
		a := &attempt{clientMethod: &clientMethod{method: m}}
		for n, millis := range []int{5, 10, 20, 20} {
			want := time.Duration(millis) * time.Millisecond
			a.number = n + 1
			between(t, a.backoff(), want*8/10, want*12/10)
		}
		return
	}
	t.Fatal("there is no Get")
}

func TestProbeIntervalIsThatOfTheProto(t *testing.T) {
	t.Parallel()
	service, err := serviceSpec(singleactivev1.File_singleactive_singleactive_proto.Services().ByName("BookService"))
	require.NoError(t, err)
	s, err := newService(&Server{}, service, nil)
	require.NoError(t, err)
	require.Equal(t, election.Config{Lease: time.Second, Window: 50 * time.Millisecond, Probe: 15 * time.Millisecond}, s.election)
}
