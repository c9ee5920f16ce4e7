package pull

import "time"

// renewal is how often it is looked at what is held: often enough that a message
// whose consumer waits for so long is renewed in time even if some of these looks
// are late.
func renewal(ackWait time.Duration) time.Duration {
	if ackWait == 0 {
		return tick
	}
	return max(min(tick, ackWait/4), time.Millisecond)
}

// renew keeps what is held. Giving back what nobody has begun yet would be
// easier on those who wait, but it counts as a delivery. What was sent before a
// connection was lost may be lost as well: all is renewed then. p.mu is held.
func (p *Puller) renew(now time.Time, interval time.Duration, all bool) {
	if p.source.AckWait == 0 {
		return
	}
	for m := p.kept.head; m != nil; m = m.next {
		if !all && now.Sub(m.renewed)+interval < p.source.AckWait/3 {
			continue // the next look is early enough
		}
		if p.o.NATS.Publish(m.reply, inProgress) != nil {
			return // the next one may get through
		}
		m.renewed = now
	}
}

var inProgress = []byte("+WPI")

// hold holds a message, or returns false if that is so already. NATS delivers what is
// held once more if signs of life have not reached it, as while its consumer had no
// leader: the handler goes on, and its outcome is the answer to the last delivery.
// p.mu is held.
func (p *Puller) hold(m *Message) bool {
	held := p.kept.bySequence[m.Sequence]
	if held == nil || !held.Time.Equal(m.Time) { // a stream that was made anew counts anew
		p.add(m)
		return true
	}
	held.delivered, held.reply, held.renewed = m.delivered, m.reply, m.renewed
	p.ask()
	return false
}

func (p *Puller) add(m *Message) {
	m.held, m.prev = true, p.kept.tail
	p.kept.bySequence[m.Sequence] = m
	if p.kept.tail != nil {
		p.kept.tail.next = m
	} else {
		p.kept.head = m
	}
	p.kept.tail = m
	p.kept.count++
}

// remove lets go of a message, and returns the subject on which NATS is answered.
func (p *Puller) remove(m *Message) (reply string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.held {
		p.unlink(m)
		p.ask()
	}
	return m.reply
}

// unlink is remove; p.mu is held.
func (p *Puller) unlink(m *Message) {
	m.held = false
	if m.parked {
		m.parked = false
		p.kept.parked--
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		p.kept.head = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		p.kept.tail = m.prev
	}
	m.prev, m.next = nil, nil
	p.kept.count--
	if p.kept.bySequence[m.Sequence] == m {
		delete(p.kept.bySequence, m.Sequence)
	}
}

// Park keeps the message from being delivered to somebody else, as before, and no
// longer counts it among those that there is room for: it waits for something, and
// others need not wait with it.
func (m *Message) Park() {
	p := m.puller
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.held && !m.parked {
		m.parked = true
		p.kept.parked++
		p.ask()
	}
}
