package specs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	testv1 "github.com/aegisrpc/aegis/internal/testproto/aegistest/v1"
	"github.com/aegisrpc/aegis/runtime/internal/specs"
)

// Programs find commands again by their ids, as many as they like.
func TestOptionsOfAServiceAreParsedOnceForAllItsCommands(t *testing.T) {
	t.Parallel()
	service := testv1.File_aegistest_v1_commands_proto.Services().ByName("JobService")
	var known specs.Specs
	first, err := known.Of(service)
	require.NoError(t, err)
	again, err := known.Of(service)
	require.NoError(t, err)
	require.Same(t, first, again)
	_, err = known.Of(nil)
	require.ErrorContains(t, err, "the service's descriptor is missing")
}
