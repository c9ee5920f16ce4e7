package testonly

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgramThatIsNoTestDoesNotStart(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "run", "./testdata/product").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "panic: aegistest: this program is no test, and links github.com/aegisrpc/aegis/runtime/aegistest; import that in _test.go files alone")
	require.NotContains(t, string(out), "it runs")
}
