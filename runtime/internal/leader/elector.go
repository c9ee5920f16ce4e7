// Package leader drives the state machines of package election over NATS: the
// records are in a KV bucket, liveness is a subject per process.
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

// inboxLength is far more than what a process is sent between two turns of its
// loop. What does not fit is dropped, which counts as lost contact.
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
	Warn      func(string) // about a bucket that cannot have the replicas that are asked for
}

// Elector runs the candidates of one process in one loop.
type Elector struct {
	nc       *nats.Conn
	clock    election.Clock
	instance string
	subjects wire.Subjects
	process  *election.Process
	link     *link
	records  *records
	watch    *watcher
	groups   map[string]*Group // by service.group

	inbox   chan *nats.Msg
	events  chan func(election.Instant)
	ctx     context.Context //nolint:containedctx // the elector's life
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	whos    []*nats.Subscription
	started bool // the loop runs; set before Start returns

	// denials are those of the connection; unwatch ends the watch.
	denials *denials.Denials
	unwatch func()
}

// Group is one candidate.
type Group struct {
	elector   *Elector
	service   string
	group     string
	id        string // service.group
	candidate *election.Candidate
	standing  *standing
	asked     *nats.Subscription // to all questions who leads; nil unless it is this one
}

// New makes an elector without groups.
func New(o Options) (*Elector, error) {
	e := &Elector{
		nc: o.NATS, clock: o.Clock, instance: o.Instance, subjects: wire.NewSubjects(o.Namespace), denials: o.JetStream.Denials(), unwatch: func() {},
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
	e.link.process = e.process
	e.watch = &watcher{records: e.records, warn: o.Warn, report: e.reported}
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

// Start subscribes and begins to stand in all groups.
func (e *Elector) Start() error {
	e.unwatch = e.denials.Watch(e.concerns, e.denied)
	e.link.Resubscribe()
	if e.link.sub == nil {
		return fmt.Errorf("cannot subscribe to %s>", e.link.prefix)
	}
	for _, g := range e.groups {
		// One candidate gets each question, and the leader all of them, see Announce.
		sub, err := e.nc.ChanQueueSubscribe(e.subjects.Who(g.service, g.group), wire.Queue, e.inbox)
		if err != nil {
			return err
		}
		e.whos = append(e.whos, sub)
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
	e.cancel()
	e.unwatch()
	for _, sub := range e.whos {
		_ = sub.Unsubscribe() // fails only if it is gone already
	}
	e.watch.close()
	e.tasks.Wait()
	for _, g := range e.groups {
		g.Retract()
	}
	e.link.close()
}

// concerns reports whether NATS has refused what each candidate needs besides its
// store: to hear itself, and to be asked who leads.
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

func (e *Elector) denied(d *denials.Denial) {
	err := fmt.Errorf("election: NATS does not allow this user what a candidate needs; see the least permissions in docs/protocol.md: %w", d.Err)
	reconnects := e.nc.Stats().Reconnects
	e.post(func(election.Instant) {
		for _, g := range e.groups {
			g.standing.deny(reconnects, err)
		}
	})
}

// post hands an event to the loop.
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
				e.answerWho(msg)
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

// answerWho tells who leads, as far as this candidate knows.
func (e *Elector) answerWho(msg *nats.Msg) {
	for _, g := range e.groups {
		if msg.Reply == "" || msg.Subject != e.subjects.Who(g.service, g.group) {
			continue
		}
		_ = e.nc.Publish(msg.Reply, g.leader().Encode())
	}
}

// leader is who leads as far as this candidate knows: itself, whether it serves yet or
// not, or whom the record names. The record that it holds itself it may not have seen.
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
		g.asked, _ = e.nc.ChanSubscribe(e.subjects.Who(g.service, g.group), e.inbox)
	}
	_ = e.nc.Publish(e.subjects.Led(g.service, g.group), l.Encode())
}

// Retract follows Announce when the term is over. It is called from within
// Observer.Lost.
func (g *Group) Retract() {
	if g.asked != nil {
		_ = g.asked.Unsubscribe() // fails only if it is gone already
		g.asked = nil
	}
}

// reported is called by the watcher.
func (e *Elector) reported(id string, entry election.Entry) {
	if g := e.groups[id]; g != nil {
		e.post(func(now election.Instant) {
			g.standing.looked(entry, nil, func() { g.candidate.OnWatch(now, entry) })
		})
	}
}

// Led brings the outcome of OnLeading.
func (g *Group) Led(term election.Term, err error) {
	g.elector.post(func(now election.Instant) { g.candidate.Led(now, term, err) })
}

// Resign ends the candidacy.
func (g *Group) Resign() { g.elector.post(g.candidate.Resign) }

// Drained says that nothing of the term is in flight any more.
func (g *Group) Drained() { g.elector.post(g.candidate.Drained) }

// Lease is the current lease, nil for a standby.
func (g *Group) Lease() *election.Lease { return g.candidate.Lease() }

// Read, Write and Watch make a Group the store of its candidate.
func (g *Group) Read(operation uint64) {
	g.task(func(ctx context.Context) {
		entry, err := g.elector.records.read(ctx, g.service, g.group)
		reconnects := g.elector.nc.Stats().Reconnects
		g.elector.post(func(now election.Instant) {
			g.standing.connected(reconnects)
			g.standing.looked(entry, err, func() { g.candidate.OnRead(now, operation, entry, err) })
		})
	})
}

// Write is the compare-and-set.
func (g *Group) Write(operation uint64, w election.Write) {
	g.task(func(ctx context.Context) {
		revision, err := g.elector.records.write(ctx, g.service, g.group, w)
		g.elector.post(func(now election.Instant) {
			g.standing.wrote(err, func() { g.candidate.OnWritten(now, operation, revision, err) })
		})
	})
}

// Watch reports revisions.
func (g *Group) Watch(created int64) {
	e := g.elector
	e.tasks.Go(func() { e.watch.follow(e.ctx, g.id, created) })
}

// task runs an operation of the store for as long as the candidate waits for it.
func (g *Group) task(f func(context.Context)) {
	e := g.elector
	e.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(e.ctx, g.candidate.Timeout())
		defer cancel()
		f(ctx)
	})
}
