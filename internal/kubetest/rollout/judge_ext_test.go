package rollout_test

import (
	"context"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
)

// judge ends the load, logs its figures and fails if anything was lost, or if more calls than some of
// each thousand were not answered before their deadline. Of others none may fail.
func (w *cluster) judge(unanswered int) {
	t := w.t
	w.awaitGone(w.ctx, w.deleted)
	ctx, cancel := context.WithTimeout(w.ctx, deadline)
	defer cancel()
	t.Cleanup(w.report) // also if it fails
	last := w.load.accepted()
	w.until(ctx, func() bool { return w.load.seen() >= last })
	w.load.stop()
	w.load.works.Wait()
	book := w.wholeBook()
	for _, o := range w.told { // no order's event is lost
		w.until(ctx, func() bool { return o.count() >= len(book) })
	}
	require.Empty(t, violations(w.load.operations, book))
	require.Equal(t, w.load.asked, book[asked])
	for name, o := range w.told {
		require.Empty(t, o.disordered, name)
		require.Len(t, o.times, len(book), "%s was told of orders that are not in the book", name)
	}
	for i, sequence := range w.load.watched {
		require.EqualValues(t, i+1, sequence, "WatchOrders misses or repeats an order")
	}
	require.NoError(t, w.load.resultsStay(w.ctx))
	require.NoError(t, w.letters())
	all, late := w.load.count()
	require.Len(t, w.load.failures, late, "calls that failed")
	require.LessOrEqual(t, late*1000, all*unanswered, "calls without an answer")
	require.Zero(t, w.killed.Load(), "pods that do not end within their grace period")
	require.Zero(t, w.failed.Load(), "pods that end badly")
}

// report logs the figures.
func (w *cluster) report() {
	w.t.Logf("order %d is the last, %d commands, %d watches, %d orders watched", w.load.accepted(), w.load.commands(), w.load.watches.Load(), w.load.seen())
	w.load.mu.Lock()
	const most = 20
	for _, f := range w.load.failures[:min(most, len(w.load.failures))] {
		w.t.Log(f)
	}
	for _, of := range slices.Sorted(maps.Keys(w.load.calls)) {
		c := w.load.calls[of]
		w.t.Logf("%s: %d calls, %d failed, the longest %.0f ms", of, c.all, c.failed, c.longest.Seconds()*1000)
	}
	w.load.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.told)) {
		o := w.told[name]
		w.t.Logf("%s: %d events, %d of them again, at most %.0f ms between two, until %s",
			name, o.count(), o.again(), o.longest.Seconds()*1000, o.until.Format("05.000"))
	}
	gaps, _ := w.load.gaps()
	for _, gap := range gaps {
		w.t.Log(gap)
	}
	w.kubelet.mu.Lock()
	defer w.kubelet.mu.Unlock()
	for _, line := range w.leading {
		w.t.Log(line)
	}
}

// wholeBook is the orders by their ids, of which none is there twice.
func (w *cluster) wholeBook() map[string]entry {
	book := map[string]entry{}
	for after := uint64(0); ; {
		resp, err := w.load.client.ListOrders(w.ctx, &orderv1.ListOrdersRequest{After: after})
		require.NoError(w.t, err)
		if len(resp.GetOrders()) == 0 {
			return book
		}
		for _, o := range resp.GetOrders() {
			after = o.GetSequence()
			require.NotContains(w.t, book, o.GetId(), "an order is in the book twice")
			book[o.GetId()] = entryOf(o)
		}
	}
}
