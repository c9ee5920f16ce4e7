package election

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHandOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	require.False(t, f.candidate.HandOver(f.now, lease.Term()+1), "of another term")
	require.True(t, f.candidate.HandOver(f.now, lease.Term()))
	require.False(t, lease.MayAct(f.now), "no new handlers")
	require.False(t, f.candidate.HandOver(f.now, lease.Term()), "it is handed over already")
	f.run(5 * time.Second)
	require.Equal(t, ReplySend, lease.Reply(f.now), "those in flight may reply")
	require.False(t, f.store.entry.Record.Released)

	f.candidate.HandedOver(f.now, lease.Term()+1)
	f.settle()
	require.False(t, f.store.entry.Record.Released, "of another term")
	f.candidate.HandedOver(f.now, lease.Term())
	f.settle()
	require.Equal(t, ReplyLost, lease.Reply(f.now))
	require.True(t, f.store.entry.Record.Released)
	require.ErrorIs(t, f.observer.cause, ErrHandedOver)
	require.Equal(t, []string{"leading", "serving", "lost"}, f.observer.events, "it stands on")
}

// The one that has handed over lets the others go first, and leads again if nobody does.
func TestStandBackAfterAHandOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	require.True(t, f.candidate.HandOver(f.now, lease.Term()))
	f.candidate.HandedOver(f.now, lease.Term())
	f.settle()
	require.False(t, f.candidate.MayFollow(f.now))
	f.run(2200 * ms)
	require.Nil(t, f.candidate.Lease(), "within a lease and the margin")
	f.leadsAfter(100 * ms)
	require.Greater(t, f.candidate.Lease().Term(), lease.Term())
}

// A standby that is held back leaves a released record to another one, for a while.
func TestHoldBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(nil)
	require.True(t, f.candidate.MayFollow(f.now))
	f.candidate.HoldBack(f.now, record.Term-1)
	require.True(t, f.candidate.MayFollow(f.now), "of a term that is over")
	f.candidate.HoldBack(f.now, record.Term)
	require.False(t, f.candidate.MayFollow(f.now))
	record.Released = true
	f.store.put(record)
	f.watch()
	f.run(2200 * ms)
	require.Nil(t, f.candidate.Lease())
	f.leadsAfter(100 * ms)
}

// A lease that is lost while handlers end is no hand-over: nothing is released, and the
// rest of the lease is waited out as ever.
func TestHandOverWhileTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	require.True(t, f.candidate.HandOver(f.now, lease.Term()))
	f.store.held = true
	f.run(3 * time.Second)
	require.Equal(t, ReplyLost, lease.Reply(f.now))
	require.ErrorIs(t, f.observer.cause, ErrLeaseExpired)
	f.candidate.HandedOver(f.now, lease.Term())
	f.store.held = false
	f.settle()
	require.False(t, f.store.entry.Record.Released)
}

// A server that stops while it hands over resigns as ever.
func TestResignDuringAHandOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	require.True(t, f.candidate.HandOver(f.now, lease.Term()))
	f.candidate.Resign(f.now)
	f.candidate.Drained(f.now)
	f.candidate.HandedOver(f.now, lease.Term())
	f.settle()
	require.True(t, f.store.entry.Record.Released)
	require.Equal(t, []string{"leading", "serving", "lost", "resigned"}, f.observer.events)
}
