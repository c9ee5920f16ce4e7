package aegis

import (
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
)

// Programs find commands again by their ids, as many as they like.
func TestOptionsOfAServiceAreParsedOnceForAllItsCommands(t *testing.T) {
	t.Parallel()
	service := testv1.File_aegistest_v1_commands_proto.Services().ByName("JobService")
	var specs serviceSpecs
	first, err := specs.of(service)
	require.NoError(t, err)
	again, err := specs.of(service)
	require.NoError(t, err)
	require.Same(t, first, again)
	_, err = specs.of(nil)
	require.ErrorContains(t, err, "the service's descriptor is missing")
}
