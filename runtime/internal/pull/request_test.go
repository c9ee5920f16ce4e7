package pull

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimitsAreLearnedOnceAndOnlyDownwards(t *testing.T) {
	t.Parallel()
	var r request
	for _, c := range []struct {
		text  string
		batch int
		want  bool
	}{
		{"Exceeded MaxRequestBatch of 100", 100, true},
		{"Exceeded MaxRequestBatch of 100", 100, false},
		{"Exceeded MaxRequestBatch of 200", 100, false},
		{"Exceeded MaxRequestBatch of 7", 7, true},
		{"Exceeded MaxRequestBatch of 0", 7, false},
		{"Exceeded MaxRequestBatch of x", 7, false},
		{"Exceeded MaxRequestExpires of 1m30s", 7, true},
		{"Exceeded MaxRequestExpires of 90s", 7, false},
		{"Exceeded MaxRequestExpires of -1s", 7, false},
		{"Exceeded MaxWaiting", 7, true},
		{"Exceeded MaxWaiting", 7, false},
		{"Bad Request - Priority Group missing", 7, false},
	} {
		require.Equal(t, c.want, r.learn(c.text), c.text)
		require.Equal(t, c.batch, r.maxBatch, c.text)
	}
	require.Equal(t, 90*time.Second, r.maxExpires)
	require.True(t, r.alone)
	r.limit(Source{MaxBatch: 300})
	require.Equal(t, request{maxBatch: 300}, r, "a look may find more")
}

func TestRequestsFillTheRoomWithinTheirLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r                    request
		n, outstanding, want int
	}{
		{request{}, 1000, 0, 1000},
		{request{}, 10, 11, 0},
		{request{}, 0, 0, 0},
		{request{}, -5, 0, 0},
		{request{maxBatch: 100}, 1000, 0, 100},
		{request{maxBatch: 100}, 1000, 700, 100},
		{request{maxBatch: 100}, 1000, 701, 0},
		{request{maxBatch: 100}, 50, 0, 50},
		{request{alone: true}, 1000, 0, 1000},
		{request{alone: true}, 1000, 1, 0},
	} {
		require.Equal(t, c.want, c.r.next(c.n, c.outstanding), "%+v", c)
	}
}
