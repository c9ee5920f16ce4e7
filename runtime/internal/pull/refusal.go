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
	// manyRefusals in a row are no accident. After them the puller looks for the consumer
	// only with every third refusal, and else just asks again.
	manyRefusals = 3
	// transient is how long a consumer that exists may leave requests unanswered before
	// that is a trouble: its leader may just have been lost.
	transient = 2 * time.Second
)

// backoff returns the pause after so many failures in a row: 50 ms, doubling up to 4 s,
// half of it random, so that the pullers of several instances do not all ask at once.
func backoff(failures int) time.Duration {
	d := maxPause
	if shift := failures - 1; shift < 7 {
		d = min(d, minPause<<max(shift, 0))
	}
	return d/2 + rand.N(d/2+1)
}

// refusals count the refusals since the last message or sign of life of the consumer.
type refusals struct {
	count   int
	since   time.Time // when the first one came
	doubted bool      // the consumer was looked for a second time after the last one
}

// status takes a message of JetStream about a request.
func (p *Puller) status(status string, msg *nats.Msg) {
	now := time.Now()
	p.mu.Lock()
	p.request.seen = now
	var told error
	switch status {
	case "100": // a heartbeat
		p.refusals = refusals{}
	case "404", "408":
		p.over(msg)
		p.again(now)
	default:
		if msg.Header.Get("Nats-Pending-Messages") != "" { // the request was taken, and has ended
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

// over subtracts the messages that a request which has ended did not get. p.mu is held.
func (p *Puller) over(msg *nats.Msg) {
	n, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	if err != nil {
		n = p.request.outstanding
	}
	p.request.outstanding = max(0, p.request.outstanding-n)
}

// again asks again when a request has ended, but not at once if requests end as soon as
// they are sent. p.mu is held.
func (p *Puller) again(now time.Time) {
	r := &p.request
	if wait := restless - now.Sub(r.asked); wait > 0 && p.open && !r.came.After(r.asked) {
		p.rest(wait)
		return
	}
	p.ask()
}

// refuse takes a refusal, and returns the trouble that it is, if any. Either nobody
// answers for the consumer (503), or the consumer was deleted, has moved, has too many
// requests or does not take this one (409, 400). p.mu is held.
func (p *Puller) refuse(now time.Time, status string, msg *nats.Msg) error {
	text := msg.Header.Get("Description")
	if n := p.request.sizeOf(msg.Subject); n > 0 {
		p.request.outstanding = max(0, p.request.outstanding-n)
	} else {
		p.request.outstanding = 0
	}
	if p.request.learn(text) {
		p.ask()
		return nil
	}
	if !p.open {
		return nil
	}
	r := &p.refusals
	r.count++
	r.doubted = false
	if r.count == 1 {
		r.since = now
	}
	nobody := status == "503"
	moved := text == "Consumer Deleted" || text == "Leadership Change"
	pause := time.Duration(0) // the first refusal most likely comes from a consumer that moves
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

// unheard looks for a consumer that gives no sign of life. p.mu is held.
func (p *Puller) unheard() {
	r := &p.refusals
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
