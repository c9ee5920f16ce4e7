package pull

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSignsOfLifeAreInTimeAlsoIfOneIsLate(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 30 * time.Second, time.Hour} {
		// The longest between two: the last look that was too early, and the next.
		require.LessOrEqual(t, max(wait/3, 2*renewal(wait)), wait/2+time.Millisecond, wait)
	}
}
