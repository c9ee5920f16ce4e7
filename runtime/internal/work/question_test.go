package work

import (
	"testing"

	"github.com/stretchr/testify/require"
)

type takes struct {
	received uint64
	held     int
}

func (t *takes) Received() uint64 { return t.received }
func (t *takes) Held() int        { return t.held }

func TestConsumerIsAskedLessOftenWhileNothingHappens(t *testing.T) {
	t.Parallel()
	p := &takes{}
	q := &question{puller: p}
	floor := uint64(7)
	asked := func(ticks int) (at []int) {
		for n := range ticks {
			if q.due() {
				q.ask()
				q.answer(floor)
				at = append(at, n)
			}
		}
		return at
	}
	require.Equal(t, []int{0, 1, 3, 7, 15, 27, 39}, asked(40), "once a minute in the end")

	p.received, p.held = 1, 1
	require.Equal(t, []int{0, 1, 2, 3}, asked(4), "a message came, and is held")
	p.held = 0
	require.Equal(t, []int{0, 2, 6}, asked(10))
	for q.passed+1 < q.pause {
		q.due()
	}
	floor++ // by another instance
	require.Equal(t, []int{0, 1, 3}, asked(6))
}
