package election

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fixture is one candidate with a clock, a link and a store that the test moves
// by hand. The store answers at once unless it is held, the link echoes at once
// unless it is deaf.
type fixture struct {
	t         *testing.T
	now       Instant
	process   *Process
	candidate *Candidate
	link      *fakeLink
	store     *fakeStore
	observer  *fakeObserver
	resting   bool // nobody wants the leader to act
}

const created = int64(1_700_000_000_000_000_000)

func newFixture(t *testing.T, config Config) *fixture {
	t.Helper()
	f := &fixture{
		t: t, now: Instant{Mono: time.Hour, Wall: 1_800_000_000 * time.Second},
		link:     &fakeLink{id: ConnID{ServerID: "S1", ClientID: 1}},
		store:    &fakeStore{entry: Entry{Created: created, Absent: true}},
		observer: &fakeObserver{},
	}
	process, err := NewProcess("me", "my-name", f.link)
	require.NoError(t, err)
	candidate, err := process.Add(config, f.store, f.observer)
	require.NoError(t, err)
	f.process, f.candidate = process, candidate
	return f
}

// run lets time pass in steps of a millisecond and answers what is asked.
func (f *fixture) run(d time.Duration) {
	for end := f.now.Mono + d; f.now.Mono < end; {
		f.now.Mono += time.Millisecond
		f.now.Wall += time.Millisecond
		if l := f.candidate.Lease(); l != nil && !f.resting {
			l.ask(f.now)
		}
		if f.now.Mono >= f.process.Next() {
			f.process.Tick(f.now)
		}
		f.settle()
	}
}

func (f *fixture) settle() {
	for busy := true; busy; {
		busy = f.settleLink()
		busy = f.settleStore() || busy
	}
}

func (f *fixture) settleLink() bool {
	messages := f.link.messages
	f.link.messages = nil
	for _, m := range messages {
		switch {
		case m.probe == nil && !f.link.deaf:
			f.process.OnEcho(f.now, m.number)
		case m.probe == nil:
		case f.link.silent:
			f.process.OnNoResponders(f.now, m.probe.To, m.probe.Number)
		case m.probe.WantAnswer && !f.link.mute:
			f.process.OnAnswer(f.now, m.probe.To, f.link.id.ServerID, m.probe.Number)
		}
	}
	return len(messages) > 0
}

func (f *fixture) settleStore() bool {
	if f.store.held || len(f.store.requests) == 0 {
		return false
	}
	r := f.store.requests[0]
	f.store.requests = f.store.requests[1:]
	switch {
	case f.store.blind && r.write == nil:
		f.candidate.OnRead(f.now, r.number, Entry{}, errors.New("no answer"))
	case f.store.fails != nil && r.write == nil:
		f.candidate.OnRead(f.now, r.number, Entry{}, f.store.fails)
	case f.store.fails != nil:
		f.candidate.OnWritten(f.now, r.number, 0, f.store.fails)
	case r.write == nil:
		f.candidate.OnRead(f.now, r.number, f.store.entry, nil)
	default:
		revision, err := f.store.apply(r.write)
		f.candidate.OnWritten(f.now, r.number, revision, err)
	}
	return true
}

// lead makes the candidate a leader that serves.
func (f *fixture) lead() *Lease {
	f.t.Helper()
	f.store.put(Record{
		Instance: "other", Process: "other", Term: 5, ServerID: "S1", Lease: 2 * time.Second,
		Window: 100 * time.Millisecond, Released: true,
	})
	f.candidate.Stand(f.now)
	f.run(5 * time.Millisecond)
	lease := f.candidate.Lease()
	require.NotNil(f.t, lease)
	f.candidate.Led(f.now, lease.Term(), nil)
	require.True(f.t, lease.MayAct(f.now))
	return lease
}

// follow makes it a standby of another process.
func (f *fixture) follow(change func(*Record)) Record {
	record := Record{
		Instance: "other", Process: "other", Term: 5, ServerID: "S1", Lease: 2 * time.Second,
		Window: 100 * time.Millisecond,
	}
	if change != nil {
		change(&record)
	}
	f.store.put(record)
	f.candidate.Stand(f.now)
	f.run(time.Millisecond)
	return record
}

// watch shows the store's entry.
func (f *fixture) watch() {
	f.candidate.OnWatch(f.now, f.store.entry)
	f.settle()
}

// leadsAfter runs until the candidate leads and tells how long that took.
func (f *fixture) leadsAfter(limit time.Duration) time.Duration {
	f.t.Helper()
	start := f.now.Mono
	for f.candidate.Lease() == nil {
		require.Less(f.t, f.now.Mono-start, limit, "does not lead")
		f.run(time.Millisecond)
	}
	return f.now.Mono - start
}

type message struct {
	number uint64
	probe  *Probe
}

type fakeLink struct {
	id           ConnID
	messages     []message
	probes       []Probe
	deaf         bool // nothing sent to oneself comes back
	silent       bool // nobody is subscribed to the other's subject
	mute         bool // probes are not answered
	resubscribed int
}

func (l *fakeLink) Identity() ConnID { return l.id }

func (l *fakeLink) SendSelf(number uint64) {
	l.messages = append(l.messages, message{number: number})
}

func (l *fakeLink) SendProbe(p Probe) {
	l.messages = append(l.messages, message{probe: &p})
	l.probes = append(l.probes, p)
}

func (l *fakeLink) Resubscribe() {
	l.resubscribed++
	l.id.Generation++
}

type request struct {
	number uint64
	write  *Write
}

type fakeStore struct {
	entry    Entry
	requests []request
	writes   []Write
	watches  []int64
	reads    int
	held     bool
	blind    bool // reads fail
	fails    error
}

func (s *fakeStore) Read(number uint64) {
	s.reads++
	s.requests = append(s.requests, request{number: number})
}

func (s *fakeStore) Write(number uint64, w Write) {
	s.writes = append(s.writes, w)
	s.requests = append(s.requests, request{number: number, write: &w})
}

func (s *fakeStore) Watch(created int64) { s.watches = append(s.watches, created) }

func (s *fakeStore) put(r Record) {
	s.entry = Entry{Created: s.entry.Created, Revision: s.entry.Revision + 1, Record: r}
}

func (s *fakeStore) apply(w *Write) (uint64, error) {
	if w.Created != s.entry.Created || w.Over != s.entry.Revision {
		return 0, fmt.Errorf("%w: not %d", ErrRefused, w.Over)
	}
	s.put(w.Record)
	return s.entry.Revision, nil
}

func (s *fakeStore) last() Write { return s.writes[len(s.writes)-1] }

type fakeObserver struct {
	events   []string
	cause    error
	problems []error
}

func (o *fakeObserver) note(event string, l *Lease) {
	_ = l
	o.events = append(o.events, event)
}

func (o *fakeObserver) Leading(l *Lease)   { o.note("leading", l) }
func (o *fakeObserver) Serving(l *Lease)   { o.note("serving", l) }
func (o *fakeObserver) Suspended(l *Lease) { o.note("suspended", l) }
func (o *fakeObserver) Resumed(l *Lease)   { o.note("resumed", l) }
func (o *fakeObserver) Resigned()          { o.note("resigned", nil) }
func (o *fakeObserver) Problem(err error)  { o.problems = append(o.problems, err) }

func (o *fakeObserver) Lost(l *Lease, cause error) {
	o.note("lost", l)
	o.cause = cause
}
