package rollout_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

func tell(o *told, symbol string, sequences ...uint64) {
	for _, sequence := range sequences {
		o.add(&orderv1.Order{Symbol: symbol, Sequence: sequence})
	}
}

func TestEventsThatComeAgainAreInOrder(t *testing.T) {
	t.Parallel()
	o := newTold()
	tell(o, "A", 2, 5)
	tell(o, "B", 1, 3) // another symbol has an order of its own
	tell(o, "A", 2, 5, 7)
	require.Empty(t, o.disordered)
	require.Equal(t, 5, o.count())
	require.Equal(t, 2, o.again())
}

func TestEventsOutOfOrderAreSeen(t *testing.T) {
	t.Parallel()
	o := newTold()
	tell(o, "A", 2, 7, 5)
	require.Equal(t, []string{"order 5 of A came after order 7"}, o.disordered)
}
