package pull

// heldList is the messages that a puller holds, the oldest first. The mutex of the
// puller guards it, and the fields of its messages.
type heldList struct {
	head, tail *Message
	bySequence map[uint64]*Message // the same messages
	count      int
	parked     int // messages among them that take no room
}

func (l *heldList) add(m *Message) {
	m.held, m.prev = true, l.tail
	l.bySequence[m.Sequence] = m
	if l.tail != nil {
		l.tail.next = m
	} else {
		l.head = m
	}
	l.tail = m
	l.count++
}

func (l *heldList) remove(m *Message) {
	m.held = false
	if m.parked {
		m.parked = false
		l.parked--
	}
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		l.head = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		l.tail = m.prev
	}
	m.prev, m.next = nil, nil
	l.count--
	if l.bySequence[m.Sequence] == m {
		delete(l.bySequence, m.Sequence)
	}
}

var inProgress = []byte("+WPI")

// hold holds a message that was delivered. It returns false if the puller holds the
// message already: NATS delivers a held message once more if signs of life have not
// reached NATS, as while the consumer had no leader. The handler goes on then, and its
// outcome answers the last delivery. p.mu is held.
func (p *Puller) hold(m *Message) bool {
	held := p.held.bySequence[m.Sequence]
	if held == nil || !held.Time.Equal(m.Time) { // a stream that was made anew counts anew
		p.held.add(m)
		return true
	}
	held.delivered, held.reply, held.renewed = m.delivered, m.reply, m.renewed
	p.ask()
	return false
}

// release lets go of a message, and returns the subject on which NATS is answered.
func (p *Puller) release(m *Message) (reply string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.held {
		p.held.remove(m)
		p.ask()
	}
	return m.reply
}

// Park keeps the message from being delivered to another instance, as before, but
// makes room for another message: the parked one waits for something, and others need
// not wait with it.
func (m *Message) Park() {
	p := m.puller
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.held && !m.parked {
		m.parked = true
		p.held.parked++
		p.ask()
	}
}
