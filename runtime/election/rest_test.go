package election

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// resting makes the candidate a leader that nobody has asked to act for a while.
func resting(t *testing.T, config Config) (*fixture, *Lease) {
	t.Helper()
	f := newFixture(t, config)
	lease := f.lead()
	f.resting = true
	f.run(2 * f.candidate.config.Lease)
	return f, lease
}

// selfMessages counts the messages to oneself during a time.
func (f *fixture) selfMessages(d time.Duration) uint64 {
	before := f.process.contact.number
	f.run(d)
	return f.process.contact.number - before
}

func TestLeaderThatNobodyAsksRests(t *testing.T) {
	t.Parallel()
	f, lease := resting(t, Config{})
	require.InDelta(t, 20, f.selfMessages(10*time.Second), 1)
	require.Equal(t, lease, f.candidate.Lease(), "it leads on")
	require.Equal(t, []string{"leading", "serving"}, f.observer.events, "it is not suspended")

	f.resting = false
	lease.MayAct(f.now)
	f.process.Rouse(f.now)
	f.settle()
	require.InDelta(t, 40, f.selfMessages(time.Second), 1, "asked again")
}

func TestLeaderActsAsSoonAsItIsRoused(t *testing.T) {
	t.Parallel()
	f, lease := resting(t, Config{})
	f.run(restPace - f.now.Mono%restPace + 200*ms) // between two messages
	require.False(t, lease.MayAct(f.now), "without contact nothing acts")
	require.Equal(t, ReplyHold, lease.Reply(f.now))
	require.True(t, lease.Rests(f.now))
	f.process.Rouse(f.now)
	f.process.Rouse(f.now)
	require.Len(t, f.link.messages, 1, "one message for all that wait")
	require.False(t, lease.MayAct(f.now))
	f.settle()
	require.True(t, lease.MayAct(f.now))
	require.False(t, lease.Rests(f.now))
	require.Equal(t, []string{"leading", "serving"}, f.observer.events)
}

// A message to oneself that is missing suspends a leader that rests as it does any other.
func TestLeaderThatRestsNoticesThatItIsDeaf(t *testing.T) {
	t.Parallel()
	f, lease := resting(t, Config{})
	f.link.deaf = true
	f.process.Rouse(f.now)
	f.run(restPace + 101*ms)
	require.False(t, lease.MayAct(f.now))
	require.False(t, lease.Rests(f.now), "so that calls are refused, and do not wait")
	require.Equal(t, []string{"leading", "serving", "suspended"}, f.observer.events)
	f.link.deaf = false
	f.run(26 * ms)
	require.True(t, lease.MayAct(f.now), "suspended, it asks often")
	require.Equal(t, "resumed", f.observer.events[3])

	f.link.deaf = true
	f.run(2600 * ms)
	require.ErrorIs(t, f.observer.cause, ErrNoContact, "L6")
}

func TestLeaderThatRestsOnAnotherConnectionIsSuspended(t *testing.T) {
	t.Parallel()
	f, lease := resting(t, Config{})
	f.store.held = true
	f.run(ms)
	f.link.id.ClientID++
	f.process.OnConnection(f.now)
	f.run(f.candidate.config.Window)
	require.False(t, lease.MayAct(f.now))
	require.False(t, lease.Rests(f.now), "contact has to wait for a write")
	require.Contains(t, f.observer.events, "suspended")
	f.store.held = false
	f.run(time.Second)
	require.Equal(t, lease, f.candidate.Lease())
	require.Equal(t, "resumed", f.observer.events[len(f.observer.events)-1])
}

func TestStandbyRestsAndStillStands(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(nil)
	beat := func() {
		f.store.put(record)
		f.watch()
	}
	for range 8 {
		beat()
		f.run(500 * ms)
	}
	before := f.process.contact.number
	for range 20 {
		beat()
		f.run(500 * ms)
		require.True(t, f.candidate.MayFollow(f.now))
	}
	require.EqualValues(t, 20, f.process.contact.number-before)

	record.Released = true
	beat()
	f.settle()
	require.NotNil(t, f.candidate.Lease(), "S4: at once, by a message to itself")
}

func TestStandbyThatIsDeafClaimsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(nil)
	f.run(time.Second)
	f.link.deaf = true
	f.run(900 * ms) // more than three windows
	record.Released = true
	f.store.put(record)
	f.watch()
	f.run(time.Second)
	require.Nil(t, f.candidate.Lease(), "S1")
	f.link.deaf = false
	require.Less(t, f.leadsAfter(time.Second), 101*ms, "it asks once in a window")
}
