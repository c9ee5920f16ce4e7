package flow

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func window(messages, bytes uint64) (Out, In) {
	in := NewIn(Window{messages, bytes})
	return NewOut(in.Limit()), in
}

func TestSenderStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	out, in := window(2, 100)
	require.True(t, out.Ready())
	require.NoError(t, in.Take(out.Next(1), 1))
	require.True(t, out.Ready())
	require.NoError(t, in.Take(out.Next(1), 1))
	require.False(t, out.Ready())
	require.ErrorIs(t, in.Take(out.Next(1), 1), ErrWindow)
}

func TestOneFrameMayExceedTheBytes(t *testing.T) {
	t.Parallel()
	out, in := window(10, 100)
	require.NoError(t, in.Take(out.Next(1000), 1000))
	require.False(t, out.Ready())
	require.ErrorIs(t, in.Take(out.Next(0), 0), ErrWindow)
}

func TestUndoneFramesWereNeverSent(t *testing.T) {
	t.Parallel()
	out, in := window(1, 10)
	out.Next(5)
	out.Undo(5)
	require.True(t, out.Settled())
	require.NoError(t, in.Take(out.Next(10), 10))
	require.EqualValues(t, 1, out.Sent())
}

func TestWhatBreaksTheOrder(t *testing.T) {
	t.Parallel()
	in := NewIn(Window{10, 100})
	require.ErrorIs(t, in.Take(0, 0), ErrDuplicate)
	require.ErrorIs(t, in.Take(2, 0), ErrGap)
	require.NoError(t, in.Take(1, 0))
	require.ErrorIs(t, in.Take(1, 0), ErrDuplicate)
	require.ErrorIs(t, in.Check(2), ErrGap)
	require.NoError(t, in.Check(1))
	_, err := in.Close(3)
	require.ErrorIs(t, err, ErrGap)
	_, err = in.Close(1)
	require.ErrorIs(t, err, ErrDuplicate)
	first, err := in.Close(2)
	require.NoError(t, err)
	require.True(t, first)
	require.True(t, in.Closed())
	first, err = in.Close(2)
	require.NoError(t, err, "the end may be sent again")
	require.False(t, first)
	_, err = in.Close(3)
	require.ErrorIs(t, err, ErrAfterEnd)
	require.ErrorIs(t, in.Take(3, 0), ErrAfterEnd)
	require.ErrorIs(t, in.Take(1, 0), ErrDuplicate)
}

func TestTheEndNeedsNoCredit(t *testing.T) {
	t.Parallel()
	out, in := window(1, 1)
	require.NoError(t, in.Take(out.Next(1), 1))
	require.False(t, out.Ready())
	_, err := in.Close(out.Next(0))
	require.NoError(t, err)
}

func TestAbsurdCreditsAreRefusedAndOldOnesIgnored(t *testing.T) {
	t.Parallel()
	out, _ := window(1, 10)
	require.ErrorIs(t, out.Credit(1, Limit{5, 50}), ErrCredit, "nothing was sent")
	require.ErrorIs(t, out.Credit(0, Limit{MaxLimit + 1, 50}), ErrCredit)
	require.ErrorIs(t, out.Credit(0, Limit{5, MaxLimit + 1}), ErrCredit)
	require.NoError(t, out.Credit(0, Limit{3, 30}))
	require.NoError(t, out.Credit(0, Limit{0, 0}))
	for range 3 {
		require.True(t, out.Ready())
		out.Next(1)
	}
	require.False(t, out.Ready())
	require.NoError(t, out.Credit(3, Limit{}))
	require.True(t, out.Settled())
	require.NoError(t, out.Credit(2, Limit{}))
	require.True(t, out.Settled(), "a credit that comes late takes nothing back")
}

// grants are on their way to the sender, in any order.
type grants []struct {
	received uint64
	limit    Limit
}

func (g *grants) deliver(t *testing.T, r *rand.Rand, out *Out) {
	t.Helper()
	i := r.IntN(len(*g))
	require.NoError(t, out.Credit((*g)[i].received, (*g)[i].limit))
	if r.IntN(4) > 0 { // or it comes again
		*g = append((*g)[:i], (*g)[i+1:]...)
	}
}

// Whatever the sizes and whatever happens to credits: what may be under way or
// unread stays within the window and one frame, and nothing ever waits for good.
func TestFlowIsBoundedAndNeverStuck(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := Window{Messages: 1 + r.Uint64N(8), Bytes: 1 + r.Uint64N(200)}
		out, in := window(w.Messages, w.Bytes)
		var consumed Limit
		var wire []int // sizes of frames that were sent and not taken
		var unread []int
		var under grants
		const frames = 400
		for consumed.Seq < frames {
			progress := false
			if out.Ready() && out.Sent() < frames && r.IntN(3) > 0 {
				size := r.IntN(60)
				require.Equal(t, out.Sent()+1, out.Next(size))
				wire = append(wire, size)
				progress = true
			}
			if len(wire) > 0 && r.IntN(3) > 0 {
				require.NoError(t, in.Take(in.Received()+1, wire[0]), "seed %d", seed)
				unread, wire = append(unread, wire[0]), wire[1:]
				progress = true
			}
			if len(unread) > 0 && r.IntN(3) > 0 {
				consumed.Seq++
				consumed.Bytes += uint64(unread[0])
				unread = unread[1:]
				if consumed.Reaches(in.Due()) {
					in.Grant(consumed)
					under = append(under, struct {
						received uint64
						limit    Limit
					}{in.Received(), in.Limit()})
				}
				progress = true
			}
			if len(under) > 0 && r.IntN(3) > 0 {
				under.deliver(t, r, &out)
				progress = true
			}
			held := 0
			for _, size := range slices.Concat(wire, unread) {
				held += size
			}
			require.LessOrEqual(t, uint64(len(wire)+len(unread)), w.Messages)
			require.Less(t, uint64(held), w.Bytes+60)
			stuck := !progress && !out.Ready() && len(wire)+len(unread)+len(under) == 0
			require.False(t, stuck, "seed %d: everything has been read, and nobody may send", seed)
		}
	}
}

// What is lost, repeated or swapped on the way is noticed, at the latest when the
// sender says how much it has sent.
func TestFaultsAreNoticed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		out, in := window(100, 1<<20)
		n := 2 + r.Uint64N(20)
		var wire []uint64
		for range n {
			wire = append(wire, out.Next(1))
		}
		i := r.IntN(len(wire) - 1)
		switch r.IntN(3) {
		case 0:
			wire = append(wire[:i], wire[i+1:]...)
		case 1:
			wire = append(wire[:i+1], wire[i:]...)
		case 2:
			wire[i], wire[i+1] = wire[i+1], wire[i]
		}
		var err error
		taken := uint64(0)
		for _, seq := range wire {
			if err = in.Take(seq, 1); err != nil {
				break
			}
			taken++
			require.Equal(t, taken, seq, "what is taken is in order")
		}
		if err == nil {
			err = in.Check(out.Sent())
		}
		require.Error(t, err, "seed %d: %v", seed, wire)
	}
}
