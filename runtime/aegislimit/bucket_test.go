package aegislimit

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAKeyKeepsItsBucketAsLongAsItMatters(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBuckets(1, 2, 2)
	one := b.of("one", now)
	require.True(t, one.AllowN(now, 2))
	two := b.of("two", now)
	require.True(t, two.AllowN(now, 1))

	require.Same(t, b.shared, b.of("three", now), "both are in use")
	require.Same(t, one, b.of("one", now), "which was not forgotten")
	require.Same(t, b.shared, b.of("four", now), "the first one is used, the second one not full again")

	later := now.Add(time.Second) // the second one is full again, the first one not
	three := b.of("three", later)
	require.NotSame(t, b.shared, three)
	require.NotSame(t, two, b.of("two", later))
	require.Same(t, b.shared, b.of("two", later), "three has not taken a token, but was used later than one, which is not full")
	require.Same(t, one, b.of("one", later))
}

func TestAFloodOfKeysStaysBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newBuckets(1, 1, 100)
	passed := 0
	for i := range 10_000 {
		if b.of(strconv.Itoa(i), now).AllowN(now, 1) {
			passed++
		}
	}
	require.Equal(t, 101, passed, "a hundred keys, and the shared bucket once")
	require.Len(t, b.byKey, 100)
	require.Equal(t, 100, b.used.Len())
}
