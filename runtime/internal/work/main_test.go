package work

import (
	"testing"

	"github.com/aegisrpc/aegis/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Run(m) }
