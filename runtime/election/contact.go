package election

import "time"

// selfRing bounds the messages to oneself that are under way. An older one that
// still comes back is ignored.
const selfRing = 128

// selfMessage is a message to oneself that is under way.
type selfMessage struct {
	number uint64
	sent   time.Duration
	epoch  *epoch
	// peer and probe name the probe that this message was sent after (S5).
	peer  *peer
	probe uint64
}

// contact finds out whether a process hears itself through its NATS server. All candidates
// of the process share it: a leader's window (L3) and a standby's permission to stand (S1)
// both depend on it.
type contact struct {
	process *Process
	epoch   *epoch
	number  uint64                // of the last message
	under   [selfRing]selfMessage // the messages under way, by number

	interval    time.Duration // between messages to oneself, 0 for none
	window      time.Duration // the shortest of the candidates'
	next        time.Duration // when to send the next one
	last        time.Duration // when the last one was sent
	silentSince time.Duration // since when no message has come back (L6)
}

func (k *contact) connected() bool { return k.epoch.id.Connected() }

// within reports whether a message that was sent less than d ago has come back on the
// present connection (S1).
func (k *contact) within(now Instant, d time.Duration) bool {
	return now.Mono < k.epoch.lastSent()+d
}

// jumped reports whether the machine was suspended since the last contact (L8).
func (k *contact) jumped(now Instant) bool {
	return k.window > 0 && k.process.mutation != noWallClock && k.epoch.jumped(now, k.window/2)
}

// beginEpoch begins a new epoch: messages that were sent before it count no more.
func (k *contact) beginEpoch(now Instant, id ConnID) {
	if id != k.epoch.id {
		k.silentSince = now.Mono
	}
	k.epoch.leave()
	k.epoch = newEpoch(id, now)
	k.next = now.Mono
}

// pace sets the interval and brings the next message forward where needed.
func (k *contact) pace(now Instant, interval time.Duration) {
	if interval == k.interval {
		return
	}
	k.interval = interval
	k.next = min(k.next, now.Mono+interval)
}

// due returns when tick has something to do.
func (k *contact) due() time.Duration {
	if k.interval == 0 || !k.connected() {
		return forever
	}
	return min(k.next, k.silentSince+resubscribeAfter)
}

// tick sends the message that is due, and renews a subscription that brings none.
func (k *contact) tick(now Instant) {
	if now.Mono < k.due() {
		return
	}
	if now.Mono >= k.silentSince+resubscribeAfter {
		k.resubscribe(now)
	}
	if now.Mono >= k.next {
		k.process.repace(now)
		k.refresh(now)
	}
}

// resubscribe makes the liveness subscription anew. The NATS server may have refused it or
// taken it back, and nats.go does not always know (L6).
func (k *contact) resubscribe(now Instant) {
	k.silentSince = now.Mono
	k.process.link.Resubscribe()
	k.process.observe(now)
}

// send publishes a message to oneself; after names the peer of the probe that it follows,
// nil for none.
func (k *contact) send(now Instant, after *peer, probe uint64) {
	k.number++
	k.last = now.Mono
	if k.epoch.awaited.Load() == int64(forever) {
		k.epoch.awaited.Store(int64(now.Mono))
	}
	k.under[k.number%selfRing] = selfMessage{
		number: k.number, sent: now.Mono, epoch: k.epoch, peer: after, probe: probe,
	}
	k.process.link.SendSelf(k.number)
}

// lapsed reports whether contact was lost, so that candidates may have to learn that it is
// back.
func (k *contact) lapsed(now Instant) bool { return !k.within(now, k.window) }

// refresh sends a message to oneself, and later the next one.
func (k *contact) refresh(now Instant) {
	k.send(now, nil, 0)
	k.next = now.Mono + k.interval
}

// accompany sends a message to oneself that would be due within half an interval at rest
// anyway: beside something else that is sent now, it does not wake the process once more.
func (k *contact) accompany(now Instant, rest time.Duration) {
	k.process.repace(now)
	if k.interval >= rest && now.Mono >= k.last+k.interval/2 {
		k.refresh(now)
	}
}

// want sends a message to oneself now, unless one was sent within the present interval.
func (k *contact) want(now Instant) {
	k.process.repace(now)
	if k.connected() && k.interval > 0 && now.Mono >= k.last+k.interval {
		k.refresh(now)
	}
}

// settle notes which message may come back next: those before this one never do, as NATS
// keeps their order.
func (k *contact) settle(number uint64) {
	next := &k.under[(number+1)%selfRing]
	if next.number == number+1 && next.epoch == k.epoch {
		k.epoch.awaited.Store(int64(next.sent))
		return
	}
	k.epoch.awaited.Store(int64(forever))
}

// echo takes a message that came back.
func (k *contact) echo(now Instant, number uint64) {
	m := &k.under[number%selfRing]
	if m.number != number || number == 0 {
		return
	}
	m.number = 0 // a second delivery says nothing
	counts := m.epoch
	if counts != k.epoch && k.process.mutation != contactOverReconnect {
		return // L3: it was sent on another connection
	}
	k.settle(number)
	if m.sent > counts.lastSent() {
		counts.sent.Store(int64(m.sent)) // L3: the time before it was sent
	}
	counts.skew.Store(int64(now.skew()))
	k.silentSince = now.Mono
	if m.peer != nil && m.peer.refused < m.probe {
		m.peer.alive(now) // S5: "no responders" would have come before this message
	}
}
