package election

import (
	"hash/fnv"
	"strconv"
	"time"
)

// maxSightings bounds how many probing processes are remembered.
const maxSightings = 1024

// peer is another process that leads groups for which this process stands by.
// One probe serves all these groups (S6).
type peer struct {
	prober     *prober
	process    string
	candidates []*Candidate

	interval time.Duration // between probes, 0 for none
	next     time.Duration // when to send the next one
	waiting  bool          // a candidate waits for the end of the leader's window (S5)

	floor    uint64 // probes up to this number were sent on another connection
	refused  uint64 // the last probe that got "no responders"
	earnedOn string // the NATS server that has brought an answer on this connection; "": none
}

// sighting is a process that has probed this one.
type sighting struct {
	server string        // the NATS server of that process
	at     time.Duration // of its last probe
	rank   uint64        // its order among those that can be named
}

// prober sends the probes of a process, and remembers the processes that probe it. Its size
// depends on the number of processes, and not on that of groups or candidates.
type prober struct {
	process   *Process
	peers     map[string]*peer
	order     []*peer
	number    uint64
	sightings map[string]sighting
}

// attach makes the candidate follow a process; an empty name detaches it.
func (r *prober) attach(now Instant, c *Candidate, process string) {
	if c.peer != nil && c.peer.process == process {
		c.peer.retime(now)
		return
	}
	if c.peer != nil {
		c.peer.drop(now, c)
	}
	if process == "" {
		return
	}
	p := r.peers[process]
	if p == nil {
		p = &peer{prober: r, process: process, floor: r.number}
		r.peers[process] = p
		r.order = append(r.order, p)
	}
	p.candidates = append(p.candidates, c)
	c.peer = p
	p.retime(now)
}

// drop takes a candidate off the peer, and the peer away with the last one.
func (p *peer) drop(now Instant, c *Candidate) {
	c.peer = nil
	p.candidates = remove(p.candidates, c)
	if len(p.candidates) > 0 {
		p.retime(now)
		return
	}
	delete(p.prober.peers, p.process)
	p.prober.order = remove(p.prober.order, p)
}

// remove takes one element out of a list and keeps the order.
func remove[T comparable](list []T, gone T) []T {
	for i, item := range list {
		if item == gone {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

// retime sets how often the peer is probed: as often as the most eager of its
// candidates wants.
func (p *peer) retime(now Instant) {
	interval := time.Duration(0)
	p.waiting = false
	for _, c := range p.candidates {
		if wanted := c.probeInterval(); wanted > 0 && (interval == 0 || wanted < interval) {
			interval = wanted
		}
		p.waiting = p.waiting || c.early
	}
	if interval != p.interval {
		p.next = min(p.next, now.Mono+interval)
		if p.interval == 0 {
			p.next = now.Mono
		}
		p.interval = interval
	}
}

// reset discards all that was learnt of the peers on another connection (S5 c).
func (r *prober) reset(now Instant) {
	for _, p := range r.order {
		p.floor = r.number
		p.earnedOn = ""
		p.alive(now)
		p.retime(now)
	}
}

// alive ends the waits for the end of this peer's window: the peer has answered, or may have
// (S5).
func (p *peer) alive(now Instant) {
	if !p.waiting {
		return
	}
	for _, c := range p.candidates {
		c.early = false
	}
	p.retime(now)
}

// due returns when tick has something to do.
func (r *prober) due() time.Duration {
	due := forever
	if !r.process.contact.connected() {
		return due
	}
	for _, p := range r.order {
		if p.interval > 0 {
			due = min(due, p.next)
		}
	}
	return due
}

// tick sends the probes that are due.
func (r *prober) tick(now Instant) {
	if !r.process.contact.connected() {
		return
	}
	for _, p := range r.order {
		if p.interval > 0 && now.Mono >= p.next {
			p.next = now.Mono + p.pause()
			r.probe(now, p)
		}
	}
}

// pause returns the time until the next probe. Processes that take turns do so by chance:
// each waits half to one and a half times its interval.
func (p *peer) pause() time.Duration {
	if p.interval < slowProbe {
		return p.interval
	}
	chance := rank(p.prober.process.id, strconv.FormatUint(p.prober.number, 10))
	return p.interval/2 + time.Duration(chance%uint64(p.interval))
}

// probe asks for an answer until one came. While a wait runs, a message to
// oneself follows on the same subscription: if it comes back without the
// probe's "no responders", somebody has received the probe (S5).
func (r *prober) probe(now Instant, p *peer) {
	r.number++
	id := r.process.contact.epoch.id
	r.process.link.SendProbe(Probe{
		To: p.process, From: r.process.id, ServerID: id.ServerID,
		Number: r.number, WantAnswer: p.earnedOn != id.ServerID,
	})
	if p.waiting {
		r.process.contact.send(now, p, r.number)
	}
}

// answered takes an answer. From then on "no responders" of this peer count (S5 a): probes
// from here do reach it, on this connection and through this NATS server.
func (r *prober) answered(now Instant, process, serverID string, number uint64) {
	p := r.peers[process]
	if p == nil || number <= p.floor || number > r.number {
		return
	}
	if own := r.process.contact.epoch.id.ServerID; serverID == own || r.process.mutation == anyServer {
		p.earnedOn = own
	}
	if number > p.refused {
		p.alive(now)
	}
}

// silent takes a "no responders" for a probe.
func (r *prober) silent(now Instant, process string, number uint64) {
	p := r.peers[process]
	if p == nil || number > r.number {
		return
	}
	stale := r.process.mutation == staleNoResponders
	if number <= p.floor && !stale {
		return // S5 (c): it is about another connection
	}
	p.refused = max(p.refused, number)
	if p.earnedOn == "" && r.process.mutation != unearned && !stale {
		return // S5 (a)
	}
	for _, c := range p.candidates {
		c.onSilence(now, number)
	}
	p.retime(now)
}

// seen remembers the process that has probed this one (S6). It reports whether that process
// can be named as a prober now, and could not before.
func (r *prober) seen(now Instant, probe Probe) (candidate bool) {
	s, known := r.sightings[probe.From]
	if !known && (len(r.sightings) >= maxSightings || !validName(probe.From) || probe.ServerID == "") {
		return false // a record with such a name could not be decoded
	}
	if !known {
		s.rank = rank(r.process.id, probe.From)
	}
	moved := !known || s.server != probe.ServerID
	s.server, s.at = probe.ServerID, now.Mono
	r.sightings[probe.From] = s
	return moved && s.server == r.process.contact.epoch.id.ServerID
}

// choose names the probers: by hash, among the processes on the same NATS server whose
// probes came within the last lease. The hash has no group in it, so that all groups of
// this process name the same ones. standbys counts all processes on this server that may
// still run.
func (r *prober) choose(now Instant, within time.Duration) (chosen [MaxProbers]string, standbys int) {
	var ranks [MaxProbers]uint64
	server := r.process.contact.epoch.id.ServerID
	for process, s := range r.sightings {
		age := now.Mono - s.at
		if age > MaxLease {
			delete(r.sightings, process)
			continue
		}
		if s.server == server {
			standbys++
		}
		switch {
		case age > within || s.server != server:
		case chosen[0] == "" || s.rank > ranks[0]:
			chosen[1], ranks[1] = chosen[0], ranks[0]
			chosen[0], ranks[0] = process, s.rank
		case chosen[1] == "" || s.rank > ranks[1]:
			chosen[1], ranks[1] = process, s.rank
		}
	}
	return chosen, standbys
}

// rank returns a number that looks random, and is always the same for the two names. It
// orders the possible probers of a leader, in another way for each leader.
func rank(one, other string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(one))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(other))
	return h.Sum64()
}
