package selection

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (f *fixture) ids() []string {
	var ids []string
	for _, i := range f.Candidates() {
		ids = append(ids, i.ID())
	}
	return ids
}

func TestOnlyTheRunningAndHealthyAreCandidates(t *testing.T) {
	f := newFixture(1)
	f.Put(Info{ID: "c", State: StateRunning})
	f.Put(Info{ID: "a", State: StateRunning})
	f.Put(Info{ID: "b", State: StateStarting})
	f.Put(Info{ID: "d", State: StateStopping})
	f.Put(Info{ID: "e", State: StateRunning, Unhealthy: true})
	f.Put(Info{State: StateRunning})
	require.Equal(t, []string{"a", "c"}, f.ids())
	require.Equal(t, 5, f.Len(), "one without a name is nobody")

	require.True(t, f.Beat("e", Beat{}))
	require.True(t, f.Beat("a", Beat{Unhealthy: true}))
	f.Put(Info{ID: "b", State: StateRunning})
	f.Remove("c")
	f.Remove("nobody")
	require.Equal(t, []string{"b", "e"}, f.ids())
	require.False(t, f.Beat("c", Beat{}), "it is not known any more")
}

func TestReplaceRemovesAddsAndChanges(t *testing.T) {
	f := newFixture(1)
	f.fill(3)
	kept := f.Candidates()[1]
	f.Replace([]Info{running(4), running(1), {ID: name(2), Process: "p1", State: StateStopping}, running(4), {}})
	require.Equal(t, []string{name(1), name(4)}, f.ids())
	require.Equal(t, 3, f.Len())
	require.Same(t, kept, f.Candidates()[0])
	f.Replace(nil)
	require.Zero(t, f.Len())
	require.Empty(t, f.ids())
}

func TestADeadInstanceLivesAgainOnlyByASignOfLife(t *testing.T) {
	f := newFixture(1)
	p := f.Picker(nil)
	f.fill(1)
	die := func() {
		i, err := p.Pick(Call{})
		require.NoError(t, err)
		p.Finish(i, Outcome{Failure: FailureNoResponders})
		_, err = p.Pick(Call{})
		require.ErrorIs(t, err, ErrNoInstance)
	}

	die()
	f.Put(running(0))
	f.Replace([]Info{running(0)})
	require.Empty(t, f.ids(), "its stored record was read again")
	f.clock.move(DefaultQuarantine - 1)
	require.True(t, f.Beat(name(0), Beat{Process: "p1"}))
	require.Empty(t, f.ids(), "the heartbeat was on its way when it died")
	f.clock.move(1)
	require.False(t, f.Beat(name(0), Beat{Process: "p2"}))
	require.Empty(t, f.ids(), "the heartbeat of another process")
	require.True(t, f.Beat(name(0), Beat{Process: "p1"}))
	require.Len(t, f.ids(), 1)

	die()
	f.Put(Info{ID: name(0), Process: "p2", State: StateRunning})
	require.Len(t, f.ids(), 1, "another process has taken its place")
}

func TestTheFailureOfAnOldProcessSaysNothingAboutTheNewOne(t *testing.T) {
	f := newFixture(1)
	p := f.Picker(nil)
	f.fill(1)
	old, err := p.Pick(Call{})
	require.NoError(t, err)
	f.Put(Info{ID: name(0), Process: "p2", State: StateRunning})
	p.Finish(old, Outcome{Failure: FailureNoResponders})
	next, err := p.Pick(Call{})
	require.NoError(t, err)
	require.NotSame(t, old, next)
	require.Equal(t, "p2", next.Process())
	require.Equal(t, 1, next.Outstanding())
	require.Zero(t, old.Outstanding())
	require.False(t, old.Candidate())
}

func TestStoppingIsFinalWithinAProcess(t *testing.T) {
	f := newFixture(1)
	p := f.Picker(nil)
	f.fill(1)
	i, err := p.Pick(Call{})
	require.NoError(t, err)
	p.Finish(i, Outcome{Failure: FailureStopping})
	f.Put(running(0))
	f.Beat(name(0), Beat{})
	require.Empty(t, f.ids(), "a record that was older than the refusal")
	f.Put(Info{ID: name(0), Process: "p2", State: StateRunning})
	require.Len(t, f.ids(), 1)

	f.Put(Info{ID: "x", State: StateStopping})
	f.Put(Info{ID: "x", State: StateRunning})
	require.Len(t, f.ids(), 2, "of an unknown process the record is all there is")
}

func TestInFlightIsTheHeartbeatCorrectedByOwnCalls(t *testing.T) {
	f := newFixture(1)
	p := f.Picker(nil)
	f.fill(1)
	first, _ := p.Pick(Call{})
	_, _ = p.Pick(Call{})
	require.Equal(t, 2, first.InFlight())
	f.Beat(name(0), Beat{Load: Load{InFlight: 10, Latency: time.Second, Capacity: 256}})
	require.Equal(t, 10, first.InFlight(), "the two are among the ten")
	_, _ = p.Pick(Call{})
	require.Equal(t, 11, first.InFlight())
	for range 3 {
		p.Finish(first, Outcome{})
	}
	require.Equal(t, 8, first.InFlight())
	require.Equal(t, Load{InFlight: 10, Latency: time.Second, Capacity: 256}, first.Load())

	f.Beat(name(0), Beat{Load: Load{InFlight: -1, Latency: -1, Capacity: -1}})
	require.Equal(t, Load{}, first.Load(), "nonsense is nothing")
}

func TestObservedLatencyFades(t *testing.T) {
	var a latencyAverage
	require.Zero(t, a.get(0))
	a.add(0, 0)
	require.InDelta(t, 1, a.get(0), 0, "known, though nothing")
	a = latencyAverage{}
	a.add(time.Second-averageTime, 10*time.Millisecond)
	a.add(time.Second, 4*time.Millisecond)
	require.InDelta(t, float64(7*time.Millisecond), a.get(time.Second), 1)
	require.InDelta(t, float64(7*time.Millisecond), a.get(0), 1, "a clock read before the other call ended")
	require.InDelta(t, float64(7*time.Millisecond)/2, a.get(time.Second+fadeTime), 1)
	for range 100 { // one stall, which all calls of a moment meet
		a.add(time.Second+time.Microsecond, time.Second)
	}
	require.Less(t, a.get(time.Second), float64(8*time.Millisecond))
	a.add(time.Hour, time.Millisecond)
	require.Less(t, a.get(time.Hour), float64(2*time.Millisecond), "what is old counts for nothing")
}

func TestNamesOfStatesAndFailures(t *testing.T) {
	for s, want := range map[State]string{StateStarting: "STARTING", StateRunning: "RUNNING", StateStopping: "STOPPING", 9: "UNKNOWN"} {
		require.Equal(t, want, s.String())
	}
	for i, want := range []string{"NONE", "NO_RESPONDERS", "STOPPING", "OVERLOADED", "LOST", "CANCELED", "UNKNOWN"} {
		require.Equal(t, want, Failure(i).String())
	}
}
