package election

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// TestWaits has one row per reason to wait, or not to.
func TestWaits(t *testing.T) {
	t.Parallel()
	lease := widen(2 * time.Second)
	record := func(change func(*Record)) Entry {
		r := Record{
			Instance: "other", Process: "other", Term: 5, ServerID: "elsewhere",
			Lease: 2 * time.Second, Window: 100 * ms,
		}
		change(&r)
		return Entry{Created: created, Revision: 3, Record: r}
	}
	for _, test := range []struct {
		name   string
		config Config
		entry  Entry
		want   time.Duration
	}{
		{"held", Config{}, record(func(*Record) {}), lease},
		{"absent", Config{}, Entry{Created: created, Absent: true}, lease},
		{"deleted", Config{}, Entry{Created: created, Revision: 9, Absent: true}, lease},
		{"vacant", Config{}, record(func(r *Record) { r.ServerID = "" }), lease},
		{"vacant by this process", Config{}, record(func(r *Record) { r.ServerID, r.Process = "", "me" }), lease},
		{"released", Config{}, record(func(r *Record) { r.Released = true }), 0},
		{"released, not watched", Config{AwaitUnseenRelease: true}, record(func(r *Record) { r.Released = true }), lease},
		{"same name, another process", Config{}, record(func(r *Record) { r.Instance = "my-name" }), lease},
		{"a longer lease in the record", Config{}, record(func(r *Record) { r.Lease = 5 * time.Second }), widen(5 * time.Second)},
		{"a shorter lease in the record", Config{}, record(func(r *Record) { r.Lease = time.Second }), lease},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, test.config)
			f.store.entry = test.entry
			f.candidate.Stand(f.now)
			took := f.leadsAfter(10 * time.Second)
			require.GreaterOrEqual(t, took, test.want)
			require.LessOrEqual(t, took, test.want+5*ms)
			require.NotZero(t, f.store.last().Over, "a claim is always over a revision")
		})
	}
}

func TestEachRevisionRestartsTheTimer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(func(r *Record) { r.ServerID = "elsewhere" })
	for range 20 {
		f.run(time.Second)
		f.store.put(record)
		f.watch()
	}
	require.Nil(t, f.candidate.Lease())
	require.GreaterOrEqual(t, f.leadsAfter(3*time.Second), widen(2*time.Second)-2*ms)
}

func TestReleaseThatWasWatchedIsHonoured(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{AwaitUnseenRelease: true})
	record := f.follow(nil)
	record.Released = true
	f.store.put(record)
	f.watch()
	require.NotNil(t, f.candidate.Lease())
}

func TestStandbyReadsOncePerLeaseAndSeesWhatTheWatchHides(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Entry)
	}{
		{"rolled back", func(e *Entry) { e.Revision-- }},
		{"another bucket", func(e *Entry) { *e = Entry{Created: created + 1, Absent: true} }},
		{"purged", func(e *Entry) { *e = Entry{Created: created, Absent: true} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Config{})
			record := f.follow(func(r *Record) { r.ServerID = "elsewhere" })
			f.store.put(record)
			f.watch()
			reads, watches := f.store.reads, len(f.store.watches)
			f.run(1900 * ms)
			test.change(&f.store.entry)
			f.run(200 * ms)
			require.Greater(t, f.store.reads, reads)
			require.Len(t, f.store.watches, watches+1, "the watch starts anew")
			require.GreaterOrEqual(t, f.leadsAfter(3*time.Second), widen(2*time.Second)-200*ms)
		})
	}
}

func TestEarlyTakeover(t *testing.T) {
	t.Parallel()
	early := widen(100 * ms)
	late := widen(2*time.Second) - 600*ms
	for _, test := range []struct {
		name   string
		config Config
		record func(*Record)
		before func(*fixture) // while the leader is alive
		after  func(*fixture) // once it is gone
		want   time.Duration
	}{
		{name: "named prober", want: early},
		{name: "switched off", config: Config{DisableEarlyTakeover: true}, want: late},
		{name: "another server", record: func(r *Record) { r.ServerID = "S2" }, want: late},
		{name: "never answered", before: func(f *fixture) { f.link.mute = true }, want: late},
		{name: "answered on an earlier connection", want: late, after: func(f *fixture) {
			f.link.id.Reconnects++
			f.process.OnConnection(f.now)
		}},
		{name: "a larger window in the record", record: func(r *Record) { r.Window = 200 * ms }, want: widen(200 * ms)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, test.config)
			if test.before != nil {
				test.before(f)
			}
			f.follow(func(r *Record) {
				r.Probers[0] = "me"
				if test.record != nil {
					test.record(r)
				}
			})
			f.run(500 * ms)
			f.link.silent = true
			if test.after != nil {
				test.after(f)
			}
			f.run(test.want - 5*ms)
			require.Nil(t, f.candidate.Lease(), "too early")
			if test.want < late {
				f.leadsAfter(40 * ms)
				require.Equal(t, uint64(1), f.store.last().Over)
			}
		})
	}
}

func TestOneWhoDoesNotHearItselfDoesNotStand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.link.deaf = true
	f.follow(func(r *Record) { r.Released = true })
	f.run(10 * time.Second)
	require.Empty(t, f.store.writes)
	f.link.deaf = false
	f.leadsAfter(1100 * ms)
}

func TestEarlyTakeoverEndsWhen(t *testing.T) {
	t.Parallel()
	for name, revive := range map[string]func(*fixture){
		"a probe arrives": func(f *fixture) { f.link.silent = false },
		"the record is renewed": func(f *fixture) {
			f.link.silent = false
			f.store.put(f.store.entry.Record)
			f.watch()
		},
		"the own connection changes": func(f *fixture) {
			f.link.id.ClientID++
			f.process.OnConnection(f.now)
		},
		"somebody else takes over": func(f *fixture) {
			f.store.put(Record{Process: "third", Instance: "third", Term: 6, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms})
			f.watch()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, Config{})
			f.follow(func(r *Record) { r.Probers[0] = "me" })
			f.run(100 * ms)
			f.link.silent = true
			f.run(60 * ms)
			require.True(t, f.candidate.early)
			revive(f)
			f.run(31 * ms)
			require.False(t, f.candidate.early)
			f.run(300 * ms)
			require.Nil(t, f.candidate.Lease())
		})
	}
}

func TestLateNoRespondersIsIgnored(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	record := f.follow(func(r *Record) { r.Probers[0] = "me" })
	f.run(100 * ms)
	old := f.link.probes[len(f.link.probes)-1]
	f.store.put(record)
	f.watch()
	f.process.OnNoResponders(f.now, old.To, old.Number)
	require.False(t, f.candidate.early, "sent before this revision was known")
	f.process.OnNoResponders(f.now, "stranger", old.Number)
	f.process.OnNoResponders(f.now, old.To, old.Number+1000)
	require.False(t, f.candidate.early)
}

func TestProbesGrowNotWithGroups(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	for range 50 {
		store := &fakeStore{entry: Entry{Created: created}}
		store.put(Record{Process: "other", Instance: "other", Term: 5, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms})
		c, err := f.process.Add(Config{}, store, &fakeObserver{})
		require.NoError(t, err)
		c.Stand(f.now)
		c.OnRead(f.now, 1, store.entry, nil)
	}
	f.follow(nil)
	f.link.probes = nil
	f.run(5 * time.Second / 2)
	require.LessOrEqual(t, len(f.link.probes), 10, "every 250 to 750 ms unless named")
}

func TestProbesGrowNotWithCandidates(t *testing.T) {
	t.Parallel()
	const duration = 280 * time.Second
	for _, test := range []struct{ standbys, perCandidate int }{
		{0, 560}, {3, 560}, {4, 280}, {30, 20}, {62, 280 / 30}, {1000, 280 / 30},
	} {
		f := newFixture(t, Config{})
		f.follow(func(r *Record) { r.Standbys = test.standbys })
		f.link.probes = nil
		for range int(duration / time.Second) { // the leader goes on renewing
			f.run(time.Second)
			record := f.store.entry.Record
			f.store.put(record)
			f.watch()
		}
		require.InDelta(t, test.perCandidate, len(f.link.probes), 2+float64(test.perCandidate)/5, "with %d standbys", test.standbys)
	}
}

func TestBadRecordsAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, bad := range []error{ErrForeignRecord, ErrCorruptRecord, ErrFutureRecord} {
		f := newFixture(t, Config{})
		f.store.entry = Entry{Created: created, Revision: 4, Err: bad}
		f.candidate.Stand(f.now)
		f.run(10 * time.Second)
		require.Empty(t, f.store.writes)
		require.ErrorIs(t, f.observer.problems[0], bad)
		_, known := f.candidate.Leader()
		require.False(t, known)

		f.store.entry = Entry{Created: created, Revision: 5, Absent: true}
		f.watch()
		f.leadsAfter(3 * time.Second)
	}
}

func TestStoreErrorsAreReportedAndRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.store.fails = errors.New("jetstream is not enabled")
	f.candidate.Stand(f.now)
	f.run(time.Second)
	require.ErrorContains(t, f.observer.problems[0], "reading the leader record: jetstream is not enabled")
	require.InDelta(t, 20, f.store.reads, 2, "every half window")
	f.store.fails = nil
	f.leadsAfter(3 * time.Second)
}

func TestTermIsAboveEverything(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		record  Term
		created int64
		wall    time.Duration
		want    Term
	}{
		{"wall clock", 5, 1000, 3000 * time.Microsecond, 3001},
		{"record", 7000, 1000, 3000 * time.Microsecond, 7001},
		{"bucket", 5, 9_000_001, 3000 * time.Microsecond, 9002},
		{"wall clock before 1970", 5, 1000, -time.Hour, 6},
		{"last", maxTerm - 1, 1000, 0, maxTerm},
	} {
		f := newFixture(t, Config{})
		f.now.Wall = test.wall
		f.store.entry.Created = test.created
		f.candidate.see(f.now, Entry{Created: test.created, Record: Record{Process: "x", Term: test.record}})
		term, err := f.candidate.nextTerm(f.now)
		require.NoError(t, err, test.name)
		require.Equal(t, test.want, term, test.name)
	}
}

func TestTermExhausted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.follow(func(r *Record) { r.Term, r.Released = maxTerm, true })
	f.run(5 * time.Second)
	require.Empty(t, f.store.writes)
	require.ErrorIs(t, f.observer.problems[0], ErrTermExhausted)
	require.LessOrEqual(t, len(f.observer.problems), 4)
}

func TestClaimWhoseAcknowledgementIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, Config{})
	f.store.held = true
	f.store.put(Record{Instance: "other", Process: "other", Term: 5, ServerID: "S1", Lease: 2 * time.Second, Window: 100 * ms, Released: true})
	f.candidate.Stand(f.now)
	f.run(2 * ms)
	f.store.held = false
	f.settleStore() // the read; the claim follows
	f.store.held = true
	require.Len(t, f.store.writes, 1)
	_, err := f.store.apply(f.store.requests[0].write)
	require.NoError(t, err)
	f.store.requests = nil
	f.run(f.candidate.Timeout())
	f.store.held = false
	f.leadsAfter(10 * ms)
	require.Greater(t, f.store.last().Record.Term, f.store.writes[0].Record.Term)
}
