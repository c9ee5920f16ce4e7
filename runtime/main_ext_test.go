package aegis_test

import (
	"os"
	"testing"

	"github.com/aegisrpc/aegis/internal/leaktest"
)

// helperEnv names what a process does that is this test binary run again; see
// process_ext_test.go.
const helperEnv = "AEGIS_TEST_HELPER"

func TestMain(m *testing.M) {
	if kind := os.Getenv(helperEnv); kind != "" {
		os.Exit(runHelper(kind))
	}
	leaktest.Run(m)
}
