package aegisadmin

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// widest is how many messages are asked for at once.
	widest = 64
	// wideBytes bounds the size of the messages that are held, but for one.
	wideBytes = 4 << 20
)

// reader reads the messages of some subjects of a stream in order. It asks for several at
// once where they lie close together, and holds no more than those.
type reader struct {
	stores          *stores.Stores
	stream, subject string

	next  uint64 // the sequence from which on nothing was read
	width int    // how many are asked for at once
	held  []*stores.Stored
}

// read returns the next message; nil after the last one.
func (r *reader) read(ctx context.Context) (*stores.Stored, *status.Status) {
	if len(r.held) == 0 {
		if why := r.fill(ctx); why != nil || len(r.held) == 0 {
			return nil, why
		}
	}
	msg := r.held[0]
	r.held = r.held[1:]
	return msg, nil
}

// fill asks for the first message from each of the next sequences on. So it gets all
// messages up to the last that it gets, some of them several times.
func (r *reader) fill(ctx context.Context) *status.Status {
	r.next, r.width = max(r.next, 1), max(r.width, 1)
	got := make([]*stores.Stored, r.width)
	failed := make([]*status.Status, r.width)
	var asking sync.WaitGroup
	for i := range r.width {
		asking.Go(func() { got[i], failed[i] = r.stores.From(ctx, r.stream, r.subject, r.next+uint64(i)) })
	}
	asking.Wait()
	for _, why := range failed {
		if why != nil {
			return why
		}
	}
	got = slices.DeleteFunc(got, func(m *stores.Stored) bool { return m == nil })
	slices.SortFunc(got, func(a, b *stores.Stored) int { return cmp.Compare(a.Sequence, b.Sequence) })
	r.held = slices.CompactFunc(got, func(a, b *stores.Stored) bool { return a.Sequence == b.Sequence })
	if len(r.held) == 0 {
		return nil
	}
	r.next = r.held[len(r.held)-1].Sequence + 1
	size := 0
	for _, m := range r.held {
		size += len(m.Data)
	}
	switch {
	case len(r.held) < r.width || size > wideBytes/2:
		r.width = max(len(r.held)/2, 1)
	default:
		r.width = min(2*r.width, widest)
	}
	return nil
}
