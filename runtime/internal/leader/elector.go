// Package leader drives the state machines of package election over NATS: a KV bucket
// has the records, and each process has a subject on which others find out whether it
// lives.
package leader

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// inboxLength is far more than the messages that a process gets between two turns of
// its loop. NATS drops a message that does not fit, which counts as lost contact.
const inboxLength = 8192

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	JetStream *stores.Stores
	Namespace string
	Process   string // new at each start
	Instance  string
	Clock     election.Clock
	Bucket    bucket.Settings
	Warn      func(string) // is told why the bucket does not get the replicas that are asked for
}

// Elector runs the candidates of one process in one loop.
type Elector struct {
	nc       *nats.Conn
	clock    election.Clock
	id       string // of the process
	instance string
	subjects wire.Subjects
	process  *election.Process
	link     *link
	records  *records
	watch    *watcher
	groups   map[string]*Group // by service.group
	roused   []*Term           // that wait for the next message to itself; the loop's

	inbox   chan *nats.Msg              // filled by the subscriptions, emptied by the loop; never closed
	events  chan func(election.Instant) // filled by post, emptied by the loop; never closed
	ctx     context.Context             //nolint:containedctx // the elector's life, from New to Stop
	cancel  context.CancelFunc
	tasks   sync.WaitGroup       // the loop, and each operation of the store
	whos    []*nats.Subscription // to the questions who leads, and who stands, two a group
	started bool                 // the loop runs; set before Start returns

	denials *denials.Denials // of the connection
	unwatch func()           // ends the watch of the denials
}

// Group is the candidate of this process in one group.
type Group struct {
	elector   *Elector
	service   string
	group     string
	id        string // service.group
	candidate *election.Candidate
	standing  *standing
	// asked are the subscriptions of a leader: to all questions who leads, and to the
	// request to hand over.
	asked      []*nats.Subscription
	leadership *Leadership // nil for a group without a duty
}

// New makes an elector without groups.
func New(o Options) (*Elector, error) {
	e := &Elector{
		nc: o.NATS, clock: o.Clock, id: o.Process, instance: o.Instance, subjects: wire.NewSubjects(o.Namespace), denials: o.JetStream.Denials(), unwatch: func() {},
		groups:  make(map[string]*Group),
		inbox:   make(chan *nats.Msg, inboxLength),
		events:  make(chan func(election.Instant), inboxLength),
		records: newRecords(&o),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.link = newLink(o.NATS, e.subjects, o.Process, e.inbox)
	var err error
	if e.process, err = election.NewProcess(o.Process, o.Instance, e.link); err != nil {
		return nil, err
	}
	e.link.process, e.link.echoed = e.process, e.wakeRoused
	e.watch = &watcher{records: e.records, warn: o.Warn, report: e.reportEntry}
	return e, nil
}

// Add makes a candidate, before Start.
func (e *Elector) Add(service, group string, cfg election.Config, observer Observer) (*Group, error) {
	g := &Group{elector: e, service: service, group: group, id: service + "." + group, standing: &standing{Observer: observer}}
	c, err := e.process.Add(cfg, g, g.standing)
	if err != nil {
		return nil, err
	}
	g.candidate = c
	e.groups[g.id] = g
	e.watch.filter = append(e.watch.filter, e.records.filter(service, group))
	return g, nil
}

// Start subscribes, and begins to stand for election in all groups.
func (e *Elector) Start() error {
	e.unwatch = e.denials.Watch(e.concerns, e.denied)
	e.link.Resubscribe()
	if e.link.sub == nil {
		return fmt.Errorf("cannot subscribe to %s>", e.link.prefix)
	}
	for _, g := range e.groups {
		// NATS gives each question to one of the candidates; the leader hears all, see Announce.
		sub, err := e.nc.ChanQueueSubscribe(e.subjects.Who(g.service, g.group), wire.Queue, e.inbox)
		if err != nil {
			return err
		}
		all, err := e.nc.ChanSubscribe(e.subjects.AskAll(g.service, g.group), e.inbox)
		if err != nil {
			return err
		}
		e.whos = append(e.whos, sub, all)
	}
	e.post(func(now election.Instant) {
		for _, g := range e.groups {
			g.candidate.Stand(now)
		}
	})
	e.started = true
	e.tasks.Go(e.loop)
	return nil
}

// Started reports whether Start has succeeded. Candidates of an elector that was
// not started have never stood: there is nothing to resign.
func (e *Elector) Started() bool { return e.started }

// Stop ends the loop. Candidates that lead must have resigned before.
func (e *Elector) Stop() {
	e.cancel() // the loop and the operations of the store return, and post gives up
	e.unwatch()
	for _, sub := range e.whos {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	e.watch.close()
	e.tasks.Wait() // from here on only this goroutine uses the candidates
	for _, g := range e.groups {
		g.Retract()
	}
	e.link.close() // last: without it other processes take this one for dead
}

// concerns reports whether NATS has refused to a candidate a right that it needs besides
// those of its store: to hear itself, or to be asked who leads.
func (e *Elector) concerns(d *denials.Denial) bool {
	if d.Publishing(e.link.prefix + wire.LiveSelf) {
		return true
	}
	for _, g := range e.groups {
		if d.Subscribe && d.Subject == e.subjects.Who(g.service, g.group) {
			return true
		}
	}
	return d.Subscribe && d.Subject == e.link.prefix+">"
}

// denied passes a refusal on to all candidates.
func (e *Elector) denied(d *denials.Denial) {
	err := fmt.Errorf("election: NATS does not allow this user what a candidate needs; see the least permissions in docs/protocol.md: %w", d.Err)
	reconnects := e.nc.Stats().Reconnects
	e.post(func(election.Instant) {
		for _, g := range e.groups {
			g.standing.deny(reconnects, err)
		}
	})
}

// post hands an event to the loop. After Stop it drops the event.
func (e *Elector) post(event func(election.Instant)) {
	select {
	case e.events <- event:
	case <-e.ctx.Done():
	}
}

// loop gives the process one event at a time.
func (e *Elector) loop() {
	status := e.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer e.nc.RemoveStatusListener(status)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case event := <-e.events:
			event(e.clock.Now())
		case msg := <-e.inbox:
			if !e.link.receive(e.clock.Now, msg) {
				e.answer(msg)
			}
		case s := <-status:
			if s == nats.CONNECTED {
				e.tasks.Go(func() { e.watch.renew(e.ctx) })
			}
			e.process.OnConnection(e.clock.Now())
		case <-timer.C:
			e.process.Tick(e.clock.Now())
		}
		timer.Reset(e.process.Next() - e.clock.Now().Mono)
	}
}

// rouse has the process send itself a message, and wakes the term when that is back.
func (e *Elector) rouse(t *Term) {
	e.post(func(now election.Instant) {
		e.roused = append(e.roused, t)
		e.process.Rouse(now)
	})
}

// wakeRoused is called within the loop when a message to itself has come back.
func (e *Elector) wakeRoused() {
	for _, t := range e.roused {
		t.wake()
	}
	e.roused = e.roused[:0]
}

// answer answers the question who leads a group, as far as its candidate knows, and
// others about the group.
func (e *Elector) answer(msg *nats.Msg) {
	for _, g := range e.groups {
		if msg.Reply != "" && msg.Subject == e.subjects.Who(g.service, g.group) {
			_ = e.nc.Publish(msg.Reply, g.leader().Encode())
			return
		}
		if g.takeAsked(msg) {
			return
		}
	}
}

// leader returns the leader that this candidate knows of: the candidate itself, whether
// it serves yet or not, or the one that the record names. A candidate that leads is asked
// first, as it may not have seen the record that it has written.
func (g *Group) leader() wire.Leader {
	if lease := g.candidate.Lease(); lease != nil {
		return wire.Leader{Term: uint64(lease.Term()), Instance: g.elector.instance}
	}
	if record, ok := g.candidate.Leader(); ok {
		return wire.Leader{Term: uint64(record.Term), Instance: record.Instance}
	}
	return wire.Leader{}
}

// Announce tells clients and candidates that the leader of a term serves. It is
// called from within Observer.Serving.
func (g *Group) Announce(term election.Term) {
	e := g.elector
	l := wire.Leader{Term: uint64(term), Instance: e.instance}
	if g.asked == nil {
		// From now on the leader itself hears every question, as another candidate
		// may hang, or not know of it yet. If it cannot, one of all of them answers.
		for _, subject := range []string{e.subjects.Who(g.service, g.group), e.subjects.AskLeader(g.service, g.group)} {
			if sub, err := e.nc.ChanSubscribe(subject, e.inbox); err == nil {
				g.asked = append(g.asked, sub)
			}
		}
	}
	_ = e.nc.Publish(e.subjects.Led(g.service, g.group), l.Encode())
}

// Retract follows Announce when the term is over. It is called from within
// Observer.Lost.
func (g *Group) Retract() {
	for _, sub := range g.asked {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	g.asked = nil
}

// reportEntry takes an entry that the watcher has seen.
func (e *Elector) reportEntry(id string, entry election.Entry) {
	if g := e.groups[id]; g != nil {
		e.post(func(now election.Instant) {
			g.standing.seeEntry(entry, nil, func() { g.candidate.OnWatch(now, entry) })
		})
	}
}

// Led tells the candidate how OnLeading has ended: err is nil if the term can be served.
func (g *Group) Led(term election.Term, err error) {
	g.elector.post(func(now election.Instant) { g.candidate.Led(now, term, err) })
}

// Resign ends the candidacy, and the term if the candidate leads.
func (g *Group) Resign() { g.elector.post(g.candidate.Resign) }

// Drained tells the candidate that no call of its term is in flight any more.
func (g *Group) Drained() { g.elector.post(g.candidate.Drained) }

// Lease returns the current lease, nil for a standby. It is safe for concurrent use.
func (g *Group) Lease() *election.Lease { return g.candidate.Lease() }

// Read asks for the record of the group. Read, Write and Watch make a Group the store of
// its candidate, see [election.Store].
func (g *Group) Read(operation uint64) {
	g.task(func(ctx context.Context) {
		entry, err := g.elector.records.read(ctx, g.service, g.group)
		reconnects := g.elector.nc.Stats().Reconnects
		g.elector.post(func(now election.Instant) {
			g.standing.connected(reconnects)
			g.standing.seeEntry(entry, err, func() { g.candidate.OnRead(now, operation, entry, err) })
		})
	})
}

// Write is the compare-and-set of the record.
func (g *Group) Write(operation uint64, w election.Write) {
	g.task(func(ctx context.Context) {
		revision, err := g.elector.records.write(ctx, g.service, g.group, w)
		g.elector.post(func(now election.Instant) {
			g.standing.seeWrite(err, func() { g.candidate.OnWritten(now, operation, revision, err) })
		})
	})
}

// Watch reports the revisions of the record in the bucket that was created then.
func (g *Group) Watch(created int64) {
	e := g.elector
	e.tasks.Go(func() { e.watch.follow(e.ctx, g.id, created) })
}

// task runs an operation of the store in the background, for as long as the candidate
// waits for its outcome.
func (g *Group) task(f func(context.Context)) {
	e := g.elector
	e.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, g.candidate.Timeout())
		defer cancel()
		f(ctx)
	})
}
