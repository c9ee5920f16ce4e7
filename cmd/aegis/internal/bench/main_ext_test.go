package bench_test

import (
	"os"
	"testing"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(m.Run()) // which needs no command
	}
	clitest.Main(m)
}
