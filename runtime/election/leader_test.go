package election

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeaderRenewsFourTimesPerLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	writes, reads := len(f.store.writes), f.store.reads
	for range 100 {
		f.run(100 * ms)
		require.True(t, lease.MayAct(f.now))
	}
	require.InDelta(t, 20, len(f.store.writes)-writes, 1)
	require.InDelta(t, 10, f.store.reads-reads, 1)
	require.Equal(t, []string{"leading", "serving"}, f.observer.events)
}

func TestNothingIsServedBeforeOnLeadingReturns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.store.put(Record{Instance: "o", Process: "o", Term: 5, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms, Released: true})
	f.candidate.Stand(f.now)
	f.run(10 * time.Second)
	lease := f.candidate.Lease()
	require.NotNil(t, lease, "the lease is renewed meanwhile")
	require.False(t, lease.MayAct(f.now))
	f.candidate.Led(f.now, lease.Term()+1, nil)
	require.False(t, lease.MayAct(f.now), "another term")
	f.candidate.Led(f.now, lease.Term(), nil)
	require.True(t, lease.MayAct(f.now))
	f.candidate.Led(f.now, lease.Term(), errors.New("twice"))
	require.True(t, lease.MayAct(f.now))
}

func TestFailedOnLeadingReleasesAndStandsAside(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.store.put(Record{Instance: "o", Process: "o", Term: 5, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms, Released: true})
	f.candidate.Stand(f.now)
	f.run(5 * ms)
	cause := errors.New("no snapshot")
	f.candidate.Led(f.now, f.candidate.Lease().Term(), cause)
	f.settle()
	require.True(t, f.store.entry.Record.Released)
	require.ErrorIs(t, f.observer.cause, ErrNotReady)
	require.ErrorIs(t, f.observer.cause, cause)
	require.GreaterOrEqual(t, f.leadsAfter(3*time.Second), widen(2*time.Second)-ms)
}

func TestLeaseCountsFromBeforeTheWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	f.store.held = true
	f.run(600 * ms) // a renewal was sent, and is answered late
	sent := f.candidate.operation.sent
	f.run(300 * ms)
	f.store.held = false
	f.settle()
	require.Equal(t, sent, f.candidate.tenure.written)
}

// The bucket of the record may have been deleted and made anew, and an old write
// may have come late there: then renewals succeed that nobody else sees.
func TestLeaseEndsUnlessTheBucketIsProven(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	proven := f.candidate.tenure.proven
	f.store.blind = true
	f.run(proven + 2*time.Second - ms - f.now.Mono)
	require.True(t, lease.MayAct(f.now))
	require.Equal(t, proven+2*time.Second, lease.Until(), "the last renewal is younger")
	f.run(ms)
	require.False(t, lease.MayAct(f.now))
	require.ErrorIs(t, f.observer.cause, ErrLeaseExpired)
}

func TestNothingIsServedBeforeTheBucketIsProven(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(nil)
	record.Released = true
	f.store.put(record)
	f.store.blind = true
	f.watch()
	f.run(500 * ms)
	lease := f.candidate.Lease()
	require.NotNil(t, lease, "the claim has landed")
	f.candidate.Led(f.now, lease.Term(), nil)
	require.Equal(t, []string{"leading"}, f.observer.events)
	require.False(t, lease.MayAct(f.now))
	f.store.blind = false
	f.run(100 * ms)
	require.Equal(t, []string{"leading", "serving"}, f.observer.events)
	require.True(t, lease.MayAct(f.now))
}

func TestLeaderWithoutProofOfTheBucketStepsDown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(nil)
	record.Released = true
	f.store.put(record)
	f.store.blind = true
	f.watch()
	f.run(1990 * ms)
	require.NotNil(t, f.candidate.Lease())
	f.run(20 * ms)
	require.Equal(t, []string{"leading", "lost"}, f.observer.events)
}

func TestLeaderStepsDownAtTheEndOfItsLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.store.held = true
	until := lease.Until()
	f.run(until - f.now.Mono - ms)
	require.True(t, lease.MayAct(f.now))
	f.run(ms)
	require.False(t, lease.MayAct(f.now))
	require.Equal(t, ReplyLost, lease.Reply(f.now))
	require.ErrorIs(t, f.observer.cause, ErrLeaseExpired)
	f.store.requests = f.store.requests[len(f.store.requests)-1:]
	f.store.held = false
	require.GreaterOrEqual(t, f.leadsAfter(4*time.Second), widen(2*time.Second)-ms, "its own record is waited out as well")
}

func TestRenewalThatTimedOutGivesItsRevisionOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.store.held = true
	f.run(510 * ms)
	until := lease.Until()
	_, err := f.store.apply(f.store.requests[0].write)
	require.NoError(t, err)
	f.store.requests = nil
	f.run(480 * ms)
	require.Nil(t, f.store.requests)
	f.run(30 * ms)
	require.Len(t, f.store.requests, 1, "it reads before it writes")
	require.Nil(t, f.store.requests[0].write)
	require.Equal(t, until, lease.Until())
	f.store.held = false
	f.run(2 * ms)
	require.Greater(t, lease.Until(), until)
	require.True(t, lease.MayAct(f.now))
}

func TestAcknowledgementOverAnotherConnectionDoesNotBind(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ConnID){
		"reconnected":  func(id *ConnID) { id.Reconnects++ },
		"server":       func(id *ConnID) { id.ServerID = "S2" },
		"client":       func(id *ConnID) { id.ClientID++ },
		"subscription": func(id *ConnID) { id.Generation++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Config{})
			lease := f.lead()
			f.store.held = true
			f.run(510 * ms)
			until := lease.Until()
			change(&f.link.id)
			renewal := f.store.requests[0]
			f.store.requests = nil
			revision, err := f.store.apply(renewal.write)
			require.NoError(t, err)
			f.candidate.OnWritten(f.now, renewal.number, revision, nil)
			require.Equal(t, until, lease.Until())
			f.run(150 * ms)
			require.False(t, lease.MayAct(f.now), "contact on a connection without a lease write")
			require.Equal(t, ReplyHold, lease.Reply(f.now))
			f.store.held = false
			f.run(5 * ms)
			require.True(t, lease.MayAct(f.now), "renewed by compare-and-set")
			require.Equal(t, f.link.id.ServerID, f.store.entry.Record.ServerID)
		})
	}
}

func TestLeaderIsSuspendedWithoutContactAndResigns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.run(50 * ms)
	f.link.deaf = true
	f.run(101 * ms)
	require.False(t, lease.MayAct(f.now))
	require.Equal(t, ReplyHold, lease.Reply(f.now))
	f.run(25 * ms) // the message that is missing was sent up to a quarter of a window later
	require.Equal(t, []string{"leading", "serving", "suspended"}, f.observer.events)
	f.link.deaf = false
	f.run(26 * ms)
	require.True(t, lease.MayAct(f.now))
	require.Equal(t, "resumed", f.observer.events[3])

	f.link.deaf = true
	f.run(2200 * ms)
	require.ErrorIs(t, f.observer.cause, ErrNoContact)
	require.True(t, f.store.entry.Record.Released)
	require.Equal(t, 2, f.link.resubscribed, "once a second")
	f.run(10 * time.Second)
	require.Nil(t, f.candidate.Lease(), "it stays out")
	f.link.deaf = false
	f.leadsAfter(1100 * ms)
}

func TestGapThatNobodySawIsReported(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	f.run(50 * ms)
	f.process.contact.send(f.now, nil, 0)
	number := f.process.contact.number
	f.link.messages = nil
	f.now.Mono += 60 * ms
	f.now.Wall += 60 * ms
	f.process.contact.send(f.now, nil, 0) // without a tick in between
	f.link.messages = nil
	f.now.Mono += 50 * ms
	f.now.Wall += 50 * ms
	f.process.OnEcho(f.now, number+1)
	require.Equal(t, []string{"leading", "serving", "suspended", "resumed"}, f.observer.events)
}

func TestSuspendedMachineNeedsANewRenewal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.run(10 * ms)
	f.now.Wall += time.Minute // and the monotonic clock stood still
	require.False(t, lease.MayAct(f.now))
	f.store.held = true
	f.run(90 * ms)
	require.False(t, lease.MayAct(f.now), "contact alone is not enough")
	f.store.held = false
	f.run(30 * ms)
	require.True(t, lease.MayAct(f.now))
}

func TestLeaderStopsAtOnceWhen(t *testing.T) {
	t.Parallel()
	other := Record{Instance: "third", Process: "third", Term: 9, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms}
	for name, take := range map[string]func(*fixture){
		"another's record is watched": func(f *fixture) {
			f.store.put(other)
			f.watch()
		},
		"another's record is read after a refusal": func(f *fixture) {
			f.store.put(other)
			f.run(510 * ms)
		},
		"the record is deleted": func(f *fixture) {
			f.store.entry = Entry{Created: created, Revision: f.store.entry.Revision + 1, Absent: true}
			f.watch()
		},
		"the bucket is another": func(f *fixture) {
			f.store.entry = Entry{Created: created + 1, Absent: true}
			f.run(510 * ms)
		},
		"the record is no record": func(f *fixture) {
			f.store.entry = Entry{Created: created, Revision: f.store.entry.Revision + 1, Err: ErrForeignRecord}
			f.watch()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Config{})
			lease := f.lead()
			take(f)
			require.Equal(t, ReplyLost, lease.Reply(f.now))
			require.ErrorIs(t, f.observer.cause, ErrSuperseded)
			writes := len(f.store.writes)
			f.run(time.Second)
			for _, w := range f.store.writes[writes:] {
				require.Empty(t, w.Record.ServerID, "only a vacant record may come at once")
			}
		})
	}
}

func TestOldRevisionsOnTheWatchAreNoTakeover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.candidate.OnWatch(f.now, Entry{Created: created, Revision: 1, Record: Record{Process: "other", Term: 5}})
	f.watch()
	require.True(t, lease.MayAct(f.now))
}

func TestResign(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	lease := f.lead()
	f.candidate.Resign(f.now)
	require.False(t, lease.MayAct(f.now), "no new handlers")
	f.run(5 * time.Second)
	require.Equal(t, ReplySend, lease.Reply(f.now), "those in flight may reply")
	require.False(t, f.store.entry.Record.Released)
	f.candidate.Drained(f.now)
	f.settle()
	require.Equal(t, ReplyLost, lease.Reply(f.now))
	released := f.store.entry.Record
	require.True(t, released.Released)
	require.Equal(t, lease.Term(), released.Term)
	require.Equal(t, "me", released.Process)
	require.Equal(t, []string{"leading", "serving", "lost", "resigned"}, f.observer.events)
	f.run(10 * time.Second)
	require.Nil(t, f.candidate.Lease())
	f.candidate.Stand(f.now)
	f.leadsAfter(150 * ms)
}

func TestResignOfAStandbyIsOverAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.follow(nil)
	f.candidate.Resign(f.now)
	require.Equal(t, []string{"resigned"}, f.observer.events)
	f.run(10 * time.Second)
	require.Empty(t, f.store.writes)
	require.Equal(t, never, min(never, f.process.Next()))
}

func TestResignDuringAClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.follow(nil)
	f.store.held = true
	record := f.store.entry.Record
	record.Released = true
	f.store.put(record)
	f.watch()
	require.Equal(t, claiming, f.candidate.operation.kind)
	f.candidate.Resign(f.now)
	require.Empty(t, f.observer.events)
	f.store.held = false
	f.run(5 * ms)
	require.Equal(t, []string{"resigned"}, f.observer.events)
	require.True(t, f.store.entry.Record.Released)
	require.Equal(t, "me", f.store.entry.Record.Process)
}

func TestReleaseAfterARenewalThatTimedOutReadsFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	f.store.held = true
	f.run(1005 * ms) // sent, and given up
	lost := f.store.requests[0]
	f.store.requests = f.store.requests[1:]
	_, err := f.store.apply(lost.write)
	require.NoError(t, err)
	f.candidate.Resign(f.now)
	f.candidate.Drained(f.now)
	f.store.held = false
	f.settle()
	require.True(t, f.store.entry.Record.Released)
	require.Equal(t, "resigned", f.observer.events[len(f.observer.events)-1])
}

func TestReleaseThatCannotBeWrittenEndsWithTheLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	f.store.held = true
	f.candidate.Resign(f.now)
	f.candidate.Drained(f.now)
	f.run(2010 * ms)
	require.Equal(t, []string{"leading", "serving", "lost", "resigned"}, f.observer.events)
}

func TestProbersAreNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	for _, p := range []Probe{
		{From: "a", ServerID: "S1"}, {From: "b", ServerID: "S1"}, {From: "c", ServerID: "S1"}, {From: "far", ServerID: "S2"},
	} {
		require.False(t, f.process.OnProbe(f.now, p))
		p.WantAnswer = true
		require.True(t, f.process.OnProbe(f.now, p))
	}
	f.run(2 * ms)
	require.Equal(t, 2, f.store.entry.Record.probers(), "they are named at once")
	f.run(510 * ms)
	first := f.store.entry.Record.Probers
	require.Subset(t, []string{"a", "b", "c"}, first[:])
	require.NotEqual(t, first[0], first[1])
	require.Equal(t, 3, f.store.entry.Record.Standbys, "one is elsewhere")
	f.run(500 * ms)
	require.Equal(t, first, f.store.entry.Record.Probers, "the choice is stable")
	f.process.OnProbe(f.now, Probe{From: first[1], ServerID: "S1"})
	f.run(1600 * ms)
	require.Equal(t, [MaxProbers]string{first[1]}, f.store.entry.Record.Probers, "those not heard for a lease are dropped")
	require.Equal(t, 3, f.store.entry.Record.Standbys, "they may take turns in probing")
}

func TestForgedMessagesAreIgnored(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.lead()
	for _, from := range []string{"", "a.b", "*", string(make([]byte, 100))} {
		f.process.OnProbe(f.now, Probe{From: from, ServerID: "S1"})
	}
	f.process.OnProbe(f.now, Probe{From: "a"})
	for i := range 5000 {
		f.process.OnProbe(f.now, Probe{From: fmt.Sprint("x", i), ServerID: "S2"})
	}
	require.Len(t, f.process.prober.sightings, maxSightings)
	f.process.OnEcho(f.now, 0)
	f.process.OnEcho(f.now, 1<<60)
	f.process.OnNoResponders(f.now, "", 0)
	f.process.OnAnswer(f.now, "nobody", "S1", 7)
	f.candidate.OnRead(f.now, 0, Entry{}, nil)
	f.candidate.OnWritten(f.now, 1<<60, 9, nil)
	f.run(time.Second)
	require.Zero(t, f.store.entry.Record.probers())
	require.True(t, f.candidate.Lease().MayAct(f.now))
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "a.b", "a b", "*", ">", "é", string(make([]byte, 65))} {
		_, err := NewProcess(bad, "i", &fakeLink{})
		require.ErrorIs(t, err, ErrInvalidConfig)
		_, err = NewProcess("p", bad, &fakeLink{})
		require.ErrorIs(t, err, ErrInvalidConfig)
	}
	p, err := NewProcess("p-1_A", "i", &fakeLink{})
	require.NoError(t, err)
	_, err = p.Add(Config{Lease: 1}, &fakeStore{}, &fakeObserver{})
	require.ErrorIs(t, err, ErrInvalidConfig)
}
