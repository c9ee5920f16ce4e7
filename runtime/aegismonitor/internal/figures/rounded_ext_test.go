package figures_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

func TestFiguresAreRoundedToSignificantDigits(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]float64{
		0: 0, 1: 1, 1234.5678: 1235, 0.00123456: 0.001235, 99999: 100000, 0.1 + 0.2: 0.3, -2.71828: -2.718,
		math.MaxFloat64: math.MaxFloat64, math.SmallestNonzeroFloat64: math.SmallestNonzeroFloat64,
	} {
		require.InEpsilon(t, 1+want, 1+figures.Rounded(x, 4), 1e-12, "%v", x)
	}
	require.True(t, math.IsNaN(figures.Rounded(math.NaN(), 4)))
}
