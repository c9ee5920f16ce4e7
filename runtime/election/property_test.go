package election

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRandomEvents gives a candidate any event at any time, also such as no world
// would produce, and checks what must hold whatever happens.
func TestRandomEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		f := newFixture(t, Config{Lease: 500 * ms})
		rng := rand.New(rand.NewPCG(seed, 1))
		check := &invariants{fixture: f}
		for range 3000 {
			f.randomEvent(rng)
			check.now(t)
		}
	}
}

func (f *fixture) randomEvent(rng *rand.Rand) {
	number := uint64(rng.IntN(40))
	switch rng.IntN(28) {
	case 0:
		f.candidate.Stand(f.now)
	case 1:
		if rng.IntN(10) == 0 {
			f.candidate.Resign(f.now)
		}
	case 2:
		f.candidate.Drained(f.now)
	case 3:
		f.candidate.OnRead(f.now, number, f.randomEntry(rng), nil)
	case 4:
		f.candidate.OnRead(f.now, f.candidate.operations, f.randomEntry(rng), f.randomError(rng))
	case 5:
		f.candidate.OnWritten(f.now, f.candidate.operations, uint64(rng.IntN(50)), f.randomError(rng))
	case 6:
		f.candidate.OnWatch(f.now, f.randomEntry(rng))
	case 7:
		f.process.OnNoResponders(f.now, "other", f.process.prober.number)
	case 8:
		f.process.OnAnswer(f.now, "other", "S1", number)
	case 9:
		f.process.OnProbe(f.now, Probe{From: "third", ServerID: "S1", WantAnswer: rng.IntN(2) == 0})
	case 10:
		if rng.IntN(10) == 0 {
			f.link.id = ConnID{ServerID: []string{"", "S1", "S2"}[rng.IntN(3)], ClientID: number}
			f.process.OnConnection(f.now)
		}
	case 11:
		if l := f.candidate.Lease(); l != nil {
			f.candidate.Led(f.now, l.Term(), f.randomError(rng))
		}
	case 12:
		f.now.Wall += time.Duration(rng.IntN(200)-100) * ms
	case 13:
		f.link.deaf = rng.IntN(4) == 0
	case 14:
		f.store.held = rng.IntN(3) == 0
	case 15:
		f.store.entry = f.randomEntry(rng)
	case 16:
		if l := f.candidate.Lease(); l != nil {
			f.candidate.HandOver(f.now, l.Term())
		}
	case 17:
		if l := f.candidate.Lease(); l != nil {
			f.candidate.HandedOver(f.now, l.Term())
		}
	case 18:
		f.candidate.HoldBack(f.now, Term(number))
	case 19:
		_ = f.candidate.MayFollow(f.now)
	default:
		f.run(time.Duration(rng.IntN(40)) * ms)
	}
}

func (f *fixture) randomError(rng *rand.Rand) error {
	return []error{nil, nil, ErrRefused, errors.New("timeout")}[rng.IntN(4)]
}

func (f *fixture) randomEntry(rng *rand.Rand) Entry {
	e := Entry{Created: created + int64(rng.IntN(8)/7), Revision: uint64(rng.IntN(50))}
	switch rng.IntN(6) {
	case 0:
		e.Absent = true
	case 1:
		e.Err = ErrCorruptRecord
	default:
		e.Record = Record{
			Process: []string{"me", "other", "third"}[rng.IntN(3)], Instance: "my-name",
			Term: Term(rng.IntN(100) + 1), ServerID: []string{"S1", "S2", ""}[rng.IntN(3)],
			Lease: 500 * ms, Window: 100 * ms, Released: rng.IntN(5) == 0,
		}
		e.Record.Probers[0] = []string{"me", "other"}[rng.IntN(2)]
	}
	return e
}

// invariants is what holds after each event.
type invariants struct {
	fixture *fixture
	seen    int
	leading bool
	lease   *Lease
	highest Term
}

func (i *invariants) now(t *testing.T) {
	t.Helper()
	f := i.fixture
	for _, event := range f.observer.events[i.seen:] {
		switch event {
		case "leading":
			require.False(t, i.leading, "a term begins inside another")
			i.leading = true
		case "serving", "suspended", "resumed":
			require.True(t, i.leading, "%s outside a term", event)
		case "lost":
			require.True(t, i.leading, "a term is lost twice")
			i.leading = false
		}
	}
	i.seen = len(f.observer.events)

	lease := f.candidate.Lease()
	if i.lease != nil && i.lease != lease {
		require.Equal(t, ReplyLost, i.lease.Reply(f.now), "a lease outlives its term")
	}
	if lease != nil && lease != i.lease {
		require.Greater(t, lease.Term(), i.highest, "terms increase")
		i.highest = lease.Term()
	}
	i.lease = lease
	if lease != nil && lease.MayAct(f.now) {
		require.True(t, i.leading)
		require.Less(t, f.now.Mono, lease.Until())
		require.Equal(t, ReplySend, lease.Reply(f.now))
		require.LessOrEqual(t, lease.Until(), f.now.Mono+500*ms)
	}
	f.process.Tick(f.now)
	require.Greater(t, f.process.Next(), f.now.Mono, "a tick leaves something due")
	for _, w := range f.store.writes {
		require.LessOrEqual(t, w.Record.Term, maxTerm)
	}
	f.store.writes = f.store.writes[:0]
}

// BenchmarkLeader is a second of a leader's life: 40 messages to itself and two
// renewals.
func BenchmarkLeader(b *testing.B) {
	link := &fakeLink{id: ConnID{ServerID: "S1", ClientID: 1}}
	store := &fakeStore{entry: Entry{Created: created, Revision: 1, Record: Record{Process: "other", Term: 5, Released: true}}}
	process, err := NewProcess("me", "my-name", link)
	require.NoError(b, err)
	candidate, err := process.Add(Config{}, store, &fakeObserver{})
	require.NoError(b, err)
	f := &fixture{
		t: &testing.T{}, now: Instant{Mono: time.Hour}, process: process, candidate: candidate,
		link: link, store: store, observer: &fakeObserver{},
	}
	candidate.Stand(f.now)
	events := 0
	for b.Loop() {
		for end := f.now.Mono + time.Second; f.now.Mono < end; events++ {
			f.now.Mono = max(f.now.Mono, process.Next())
			process.Tick(f.now)
			f.settle()
			store.writes = store.writes[:0]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(events), "ns/tick")
}
