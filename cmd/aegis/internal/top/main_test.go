package top

import (
	"testing"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }
