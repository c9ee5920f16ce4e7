package collect

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

const (
	// patience is how long a leader may take to answer.
	patience = time.Second
	// onItsWay is more than a message of a process that is gone takes.
	onItsWay = 2 * time.Second
	// comeback is how long others may take to connect again after NATS was away. In that
	// time it does not count that they are not there.
	comeback = 2 * time.Second
	// maxProbed bounds how many leaders are asked at once.
	maxProbed = 1000
	// The tokens before the process in reply subjects.
	replyAlive = "alive."
	replyHere  = "here."
)

// paceOf returns how often so many leaders are asked. A group is usually without a leader for
// 150 ms after its leader was killed, which is to be seen. However many there are, at most 200
// are asked in a second, or 50 while nobody looks.
func paceOf(leaders int) pace {
	second := time.Second * time.Duration(leaders)
	return pace{topic: interest.Figures, looked: max(50*time.Millisecond, second/200), unseen: max(time.Second, second/50), share: quarter}
}

// probes asks the leaders whether they are there. Each process listens on a subject of its
// own. When a process ends, however it does, NATS closes its connection and says of the next
// question that nobody listens.
//
// A server that stops gracefully does not listen there any more while its last handlers run,
// and leads until it releases its groups. So a second question goes to where candidates
// listen until that moment, and do not read what is sent: only if nobody listens there
// either, the leader is gone.
type probes struct {
	collector *Collector
	inbox     string
	denied    denial

	mu    sync.Mutex // guards the fields below
	open  map[string]*probe
	gone  map[string]time.Time // when NATS said of a process that it has no connection
	reset uint64               // the returns of the connection when open was cleared last
	since time.Time            // when that was, after the connection came back
}

// probe is what is known of a process that leads.
type probe struct {
	since time.Time // when the first question was sent that was not answered; zero if all were
	lost  time.Time // when NATS first said that nobody listens; zero if it does not say that
}

func newProbes(c *Collector) *probes {
	return &probes{collector: c, inbox: c.conn.NATS().NewInbox() + ".", open: map[string]*probe{}, gone: map[string]time.Time{}}
}

// isGone reports whether it has just shown that a process has no connection any more, so
// that what it has sent before may still come.
func (p *probes) isGone(process string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, gone := p.gone[process]
	return gone
}

// run asks until ctx ends.
func (p *probes) run(ctx context.Context) {
	c := p.collector
	live := strings.TrimSuffix(c.subjects.Live(""), ".")
	defer c.watchDenials(&p.denied, func(d *denials.Denial) bool { return d.Below(live) })()
	stopListening, err := c.listen(p.inbox+">", p.heard)
	if err != nil {
		return // the connection is closed for good
	}
	defer stopListening()
	for {
		began := time.Now()
		if !paceOf(p.ask()).wait(ctx, c.interest, began) {
			return
		}
	}
}

// ask asks all leaders once more, and returns how many there are.
func (p *probes) ask() int {
	c := p.collector
	state := c.in.Bus.Link.State()
	targets, now := p.targets(), time.Now()
	p.mu.Lock()
	if p.reset != state.Returns {
		p.reset, p.since = state.Returns, now
		clear(p.open) // the answers are lost
		p.denied.forget()
	}
	if !state.Up || !p.denied.due() {
		clear(p.open)
		p.mu.Unlock()
		return len(targets)
	}
	late := p.begin(now, targets)
	p.mu.Unlock()
	for process, since := range late {
		c.board.Missed(now, since, process)
	}
	for _, process := range targets {
		p.send(c.subjects.Live(process), replyAlive, process)
	}
	return len(targets)
}

// send sends a question. One that is lost is followed by others.
func (p *probes) send(subject, kind, process string) {
	_ = p.collector.conn.NATS().PublishRequest(subject, p.inbox+kind+process, nil)
}

// targets returns the processes that are to be asked.
func (p *probes) targets() []string {
	var list []string
	for _, t := range p.collector.board.ToProbe() {
		if wire.ValidInstance(t.Process) && len(list) < maxProbed {
			list = append(list, t.Process)
		}
	}
	return list
}

// begin notes that the targets are asked now, and returns since when those have not answered
// that are late; p.mu is held.
func (p *probes) begin(now time.Time, targets []string) (late map[string]time.Time) {
	late = make(map[string]time.Time)
	open := make(map[string]*probe, len(targets))
	for _, process := range targets {
		q := p.open[process]
		if q == nil {
			q = &probe{}
		}
		if q.since.IsZero() {
			q.since = now
		} else if now.Sub(q.since) >= patience {
			late[process] = q.since
		}
		open[process] = q
	}
	p.open = open
	maps.DeleteFunc(p.gone, func(_ string, at time.Time) bool { return now.Sub(at) >= onItsWay })
	return late
}

// heard takes an answer, or NATS's word that nobody listens.
func (p *probes) heard(msg *nats.Msg) {
	rest := strings.TrimPrefix(msg.Subject, p.inbox)
	nobody := len(msg.Data) == 0 && msg.Header.Get(headerStatus) == "503"
	if process, ok := strings.CutPrefix(rest, replyAlive); ok {
		if nobody {
			p.doubt(process)
		} else if _, stored := wire.StoredBy(msg.Data); !stored { // a stream that stores the question answers too
			p.answered(process)
		}
	} else if process, ok := strings.CutPrefix(rest, replyHere); ok && nobody {
		p.lost(process)
	}
}

// doubt takes NATS's word that a process does not listen, which may be as it stops.
func (p *probes) doubt(process string) {
	p.mu.Lock()
	q := p.open[process]
	if q != nil {
		q.since = time.Time{} // it is not silent: NATS has answered for it
		if q.lost.IsZero() {
			q.lost = time.Now()
		}
	}
	early := time.Since(p.since) < comeback
	p.mu.Unlock()
	if q != nil && !early {
		p.send(p.collector.subjects.Live(process)+"."+wire.LiveHere, replyHere, process)
	}
}

// lost takes NATS's word that the candidates of a process do not listen either.
func (p *probes) lost(process string) {
	p.mu.Lock()
	q := p.open[process]
	var at time.Time
	if q != nil && !q.lost.IsZero() {
		at = q.lost
		p.gone[process] = time.Now()
	}
	p.mu.Unlock()
	if !at.IsZero() {
		p.collector.board.Gone(at, process)
	}
}

func (p *probes) answered(process string) {
	p.mu.Lock()
	q := p.open[process]
	if q != nil {
		*q = probe{}
		delete(p.gone, process)
	}
	p.mu.Unlock()
	if q != nil {
		p.collector.board.Answered(time.Now(), process)
	}
}
