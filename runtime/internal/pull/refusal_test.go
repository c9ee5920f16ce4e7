package pull

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPausesGrowAndEnd(t *testing.T) {
	t.Parallel()
	for failures := range 100 {
		d := backoff(failures)
		most := maxPause
		if failures < 8 {
			most = min(most, minPause<<max(failures-1, 0))
		}
		require.LessOrEqual(t, d, most)
		require.GreaterOrEqual(t, d, most/2)
	}
}
