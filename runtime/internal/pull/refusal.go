package pull

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	minPause = 50 * time.Millisecond
	maxPause = 4 * time.Second
	// manyRefusals in a row are no accident, and after those only every so-manieth
	// looks for the consumer before it asks again.
	manyRefusals = 3
	// transient is how long nobody may answer for a consumer that exists: its
	// leader may have been lost.
	transient = 2 * time.Second
)

// backoff is the pause after so many failures in a row: 50 ms, doubling up to 4 s,
// half of it by chance, so that those who wait for the same thing do not all come
// at once.
func backoff(failures int) time.Duration {
	d := maxPause
	if shift := failures - 1; shift < 7 {
		d = min(d, minPause<<max(shift, 0))
	}
	return d/2 + rand.N(d/2+1)
}

// refusals are those since something came the last time.
type refusals struct {
	count   int
	since   time.Time // of the first one
	doubted bool      // it was looked a second time after the last one
}

// status takes what JetStream says about a request.
func (p *Puller) status(status string, msg *nats.Msg) {
	now := time.Now()
	p.mu.Lock()
	p.alarm.seen = now
	var told error
	switch status {
	case "100": // a heartbeat
		p.asking.refusals = refusals{}
	case "404", "408":
		p.over(msg)
		p.again(now)
	default:
		if msg.Header.Get("Nats-Pending-Messages") != "" { // it was taken, and has ended
			p.over(msg)
			p.again(now)
		} else {
			told = p.refuse(now, status, msg)
		}
	}
	p.mu.Unlock()
	switch {
	case told != nil:
		p.report(pulling, told)
	case status == "100" || status == "404" || status == "408":
		p.answered()
	}
}

// over takes back what a request that has ended was not given. p.mu is held.
func (p *Puller) over(msg *nats.Msg) {
	n, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		n = p.asking.outstanding
	}
	p.asking.outstanding = max(0, p.asking.outstanding-n)
}

// again asks again when a request has ended; requests that end at once do not
// follow each other as fast as they can. p.mu is held.
func (p *Puller) again(now time.Time) {
	r := &p.asking.request
	if wait := restless - now.Sub(r.asked); wait > 0 && p.open && !r.came.After(r.asked) {
		p.rest(wait)
		return
	}
	p.ask()
}

// refuse takes a refusal, and returns what is to be told of it. Nobody answers
// for the consumer (503); it was deleted, it moved, has too many requests, or
// does not want this one (409, 400). p.mu is held.
func (p *Puller) refuse(now time.Time, status string, msg *nats.Msg) error {
	text := msg.Header.Get("Description")
	if n := p.asking.request.sizeOf(msg.Subject); n > 0 {
		p.asking.outstanding = max(0, p.asking.outstanding-n)
	} else {
		p.asking.outstanding = 0
	}
	if p.asking.request.learn(text) {
		p.ask()
		return nil
	}
	if !p.open {
		return nil
	}
	r := &p.asking.refusals
	r.count++
	r.doubted = false
	if r.count == 1 {
		r.since = now
	}
	nobody := status == "503"
	moved := text == "Consumer Deleted" || text == "Leadership Change"
	pause := time.Duration(0) // at first it is most likely that the consumer moves
	if r.count > 1 {
		pause = backoff(r.count - 1)
	}
	if r.count <= manyRefusals || r.count%manyRefusals == 0 || moved {
		p.look(pause)
	} else {
		p.rest(pause)
	}
	switch {
	case moved || r.count < 2:
		return nil
	case !nobody:
		return fmt.Errorf("%s %w: %s %s", p.source.Name, errRefused, status, text)
	case r.count >= manyRefusals && now.Sub(r.since) >= transient:
		return fmt.Errorf("%s exists, but nobody answers at %s: %w", p.source.Name, p.source.Subject, errNobody)
	}
	return nil
}

var (
	errRefused = errors.New("refuses to deliver")
	errNobody  = errors.New("that subject is not exported to this account, or not imported where the rest of JetStream's API is; " +
		"or the consumer has had no leader for a while. See docs/protocol.md, Another JetStream")
	errDenied = errors.New("NATS does not allow this user to publish")
	errUnread = errors.New("gives no sign of life, and its requests are not answered")
)

// unheard looks for a consumer that is silent. p.mu is held.
func (p *Puller) unheard() {
	r := &p.asking.refusals
	r.count++
	var told error
	if r.count > 1 {
		told = fmt.Errorf("%s %w: they are lost between here and there, or more requests wait than its max_waiting of %d",
			p.source.Name, errUnread, p.source.MaxWaiting)
	}
	p.look(0)
	if told != nil {
		p.later(func() { p.report(pulling, told) })
	}
}
