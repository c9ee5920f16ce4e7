package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

func TestOrderBalanceFindsWhatMustNotBe(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*orderBalance)
		want   string
	}{
		"Good":     {func(*orderBalance) {}, ""},
		"Lost":     {func(b *orderBalance) { b.listed = b.listed[:2] }, "- 1 orders were accepted and are not in the book, or not where the client was told, such as demo-3"},
		"Moved":    {func(b *orderBalance) { b.accepted[1].Sequence = 3 }, "- 1 orders were accepted and are not in the book, or not where the client was told, such as demo-2"},
		"Doubled":  {func(b *orderBalance) { b.listed = append(b.listed, listedOrder(2, 4, 9)) }, "- 1 orders are in the book more than once, such as demo-2"},
		"Stranger": {func(b *orderBalance) { b.listed = append(b.listed, listedOrder(7, 4, 9)) }, "- 1 orders are in the book and were not accepted, such as demo-7"},
		"Gap":      {func(b *orderBalance) { b.listed[2].Sequence, b.accepted[2].Sequence = 4, 4 }, "- order 3 of the book has the sequence 4"},
		"OldTerm":  {func(b *orderBalance) { b.listed[2].Term = 4 }, "- order 3 of the book is of term 4, after one of term 9"},
		"Garbled":  {func(b *orderBalance) { b.listed[2].Quantity = 5 }, "- order 3 of the book, demo-3, has the quantity 5"},
		"Few":      {func(b *orderBalance) { b.load.count = 4 }, "- 4 orders were to be placed, and 3 were accepted"},
		"Untold":   {func(b *orderBalance) { delete(b.audiences[0].deliveries, "demo-2") }, "- 1 orders were accepted and not told to risk, such as demo-2"},
		"Rumour":   {func(b *orderBalance) { b.audiences[0].deliveries["demo-9"]++ }, "- 1 orders were told to risk and not accepted, such as demo-9"},
		"Again":    {func(b *orderBalance) { b.audiences[0].note(0, "demo-1", true) }, ""},
		"Late": {func(b *orderBalance) {
			delete(b.audiences[0].deliveries, "demo-1")
			b.audiences[0].note(0, "demo-1", true)
		}, "- 1 orders were told to risk after a later one of their symbol, such as demo-1"},
		"Undone": {func(b *orderBalance) { b.commands.canceled = 0 }, "- 6 commands were to be done and 1 canceled, and 6 and 0 were"},
		"WrongSum": {func(b *orderBalance) {
			b.commands.done[5] = &orderv1.ReconcileBookResponse{Instance: "order-1", Bought: 7}
		}, "- order-1 added up 7 bought and 0 sold, and the book says 6 and 0"},
		"NoLeader": {func(b *orderBalance) { b.failovers = b.failovers[:1] }, "- 2 leaders were lost, and another followed 1 times"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &orderBalance{
				load:      orderLoad{load: load{count: 3}},
				accepted:  []acceptedOrder{{ID: "demo-1", Sequence: 1}, {ID: "demo-2", Sequence: 2}, {ID: "demo-3", Sequence: 3}},
				failovers: []time.Duration{1, 1},
				audiences: []*orderAudience{{name: "risk", handled: []int{3}, deliveries: map[string]int{"demo-1": 1, "demo-2": 1, "demo-3": 1}}},
				listed:    []*orderv1.Order{listedOrder(1, 1, 5), listedOrder(2, 2, 9), listedOrder(3, 3, 9)},
			}
			b.commands = &orderReconciling{canceled: 1, done: make([]*orderv1.ReconcileBookResponse, orderCommands)}
			c.change(b)
			for i, sum := range b.commands.done {
				if sum == nil {
					b.commands.done[i] = &orderv1.ReconcileBookResponse{Bought: bought(b.listed)}
				}
			}
			if c.want == "" {
				require.NoError(t, b.check())
				return
			}
			require.EqualError(t, b.check(), c.want)
		})
	}
}

func bought(orders []*orderv1.Order) (all int64) {
	for _, o := range orders {
		all += o.GetQuantity()
	}
	return all
}

func listedOrder(n int64, sequence, term uint64) *orderv1.Order {
	return &orderv1.Order{Id: orderRequest(n).GetId(), Quantity: n, Sequence: sequence, Term: term}
}
