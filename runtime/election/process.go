package election

import "time"

// Process has what all candidates of one operating-system process share: the contact with
// its NATS server, and the probes of other processes.
//
// A Process and its candidates form one state machine that is not safe for
// concurrent use: a driver gives it one event at a time, under one mutex or from
// one loop. The time of an event is read after it has arrived and before the
// method is called. Only [Candidate.Lease] and the methods of [Lease] may be
// called from anywhere at any time.
//
// After each event the driver sets a timer for [Process.Next] and calls
// [Process.Tick] when it fires. Being late is harmless for safety.
type Process struct {
	id, instance string
	link         Link
	contact      contact
	prober       prober
	candidates   []*Candidate
	mutation     mutation
}

// NewProcess returns the machine of a process without candidates. The id is new
// at each start and unique, the instance is the name for people; both are 1 to
// 64 of A-Z, a-z, 0-9, '_' and '-', else the error wraps [ErrInvalidConfig].
func NewProcess(id, instance string, link Link) (*Process, error) {
	if !validName(id) {
		return nil, invalid("process id %q: use 1 to %d letters, digits, '_' or '-'", id, maxName)
	}
	if !validName(instance) {
		return nil, invalid("instance %q: use 1 to %d letters, digits, '_' or '-'", instance, maxName)
	}
	p := &Process{id: id, instance: instance, link: link}
	p.contact = contact{process: p, epoch: newEpoch(ConnID{}, Instant{})}
	p.prober = prober{process: p, peers: map[string]*peer{}, sightings: map[string]sighting{}}
	return p, nil
}

// Add makes a candidate for one group. It does nothing before [Candidate.Stand].
// Zero durations of the configuration get their defaults; the error is that of
// [Config.Validate].
func (p *Process) Add(config Config, store Store, observer Observer) (*Candidate, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	c := &Candidate{
		process: p, config: config.withDefaults(), store: store, observer: observer,
		next: forever,
	}
	p.candidates = append(p.candidates, c)
	if p.contact.window == 0 || c.config.Window < p.contact.window {
		p.contact.window = c.config.Window
	}
	return c, nil
}

// Next returns when [Process.Tick] has to be called at the latest, by the
// monotonic clock. It may be in the past.
func (p *Process) Next() time.Duration {
	next := min(p.contact.due(), p.prober.due())
	for _, c := range p.candidates {
		next = min(next, c.stepAt())
	}
	return next
}

// Tick does what has become due in all candidates.
func (p *Process) Tick(now Instant) {
	p.observe(now)
	for _, c := range p.candidates {
		if now.Mono >= c.stepAt() {
			c.step(now)
		}
	}
	p.contact.tick(now)
	p.prober.tick(now)
}

// OnConnection tells that the connection was made, lost or renewed. Every other event
// notices such a change too; this one does at once.
func (p *Process) OnConnection(now Instant) { p.observe(now) }

// OnEcho tells that a message of [Link.SendSelf] came back.
func (p *Process) OnEcho(now Instant, number uint64) {
	p.observe(now)
	if !p.contact.lapsed(now) {
		p.contact.echo(now, number)
		return
	}
	for _, c := range p.candidates {
		if c.lease != nil {
			c.noticeGap(now)
		}
	}
	p.contact.echo(now, number)
	for _, c := range p.candidates {
		c.step(now)
	}
}

// OnProbe tells that another process has probed this one. If it returns true the
// driver answers, naming the NATS server that this process is connected to.
func (p *Process) OnProbe(now Instant, probe Probe) (answer bool) {
	p.observe(now)
	if p.prober.seen(now, probe) {
		for _, c := range p.candidates {
			c.welcome(now)
		}
	}
	return probe.WantAnswer && p.contact.connected()
}

// OnAnswer tells that the process answered the probe of this number, and which
// NATS server it said it is connected to.
func (p *Process) OnAnswer(now Instant, process, serverID string, number uint64) {
	p.observe(now)
	p.prober.answered(now, process, serverID, number)
}

// OnNoResponders tells that nobody was subscribed to the liveness subject of the
// process when the probe of this number arrived. Answers, "no responders" and
// echoes must be reported in the order in which their subscription got them.
func (p *Process) OnNoResponders(now Instant, process string, number uint64) {
	p.observe(now)
	p.prober.silent(now, process, number)
}

// observe compares the connection and the clocks with those of the last event. It comes
// first in every event, so that no event is judged by an identity that is over.
func (p *Process) observe(now Instant) {
	id := p.link.Identity()
	if p.mutation == noGeneration {
		id.Generation = 0
	}
	switch {
	case id != p.contact.epoch.id:
		p.contact.beginEpoch(now, id)
		p.prober.reset(now)
		for _, c := range p.candidates {
			c.onConnection(now)
		}
	case p.contact.jumped(now):
		// L8: times that were measured across the jump are void, and a lease must be
		// written anew before it counts.
		p.contact.epoch.close()
		p.contact.beginEpoch(now, id)
		for _, c := range p.candidates {
			c.step(now)
		}
	}
}

// Rouse tells that somebody waits to act for a lease that rests (L3): a message to oneself
// is sent at once, unless one was a moment ago, and often from now on.
func (p *Process) Rouse(now Instant) {
	p.observe(now)
	p.contact.want(now)
}

// repace sets how often this process sends a message to itself: as a leader's window needs
// it (L3), or as a standby needs it to stand (S1).
func (p *Process) repace(now Instant) {
	interval := time.Duration(0)
	for _, c := range p.candidates {
		if wanted := c.contactInterval(now); wanted > 0 && (interval == 0 || wanted < interval) {
			interval = wanted
		}
	}
	p.contact.pace(now, interval)
}

// contactInterval returns how often this candidate wants its process to send a message to
// itself, zero for never.
func (c *Candidate) contactInterval(now Instant) time.Duration {
	switch {
	case c.lease != nil && (c.tenure.suspended || c.lease.askedWithin(now, c.config.Lease)):
		return c.config.pace()
	case c.lease != nil:
		return c.config.restPace()
	case !c.standing:
		return 0
	case now.Mono >= c.claimAt(): // it waits for contact
		return c.config.Window
	default:
		return c.config.restPace()
	}
}
