// Package denials tells those who wait for an answer that NATS does not allow the
// connection's user to ask. NATS does not answer then: it says so beside, once, to
// the whole connection.
package denials

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Denial is one thing that NATS does not allow the user.
type Denial struct {
	// Subject is where the user may not publish, or not subscribe.
	Subject   string
	Subscribe bool
	// Err is what NATS has said; it wraps nats.ErrPermissionViolation.
	Err error
}

// Publishing reports whether it is about publishing to a subject.
func (d *Denial) Publishing(subject string) bool { return !d.Subscribe && d.Subject == subject }

// Below reports whether it is about publishing to a subject or to one below it.
func (d *Denial) Below(subject string) bool {
	rest, ok := strings.CutPrefix(d.Subject, subject)
	return ok && !d.Subscribe && (rest == "" || rest[0] == '.')
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// Parse reads an error of nats.go; nil if it is about something else.
func Parse(err error) *Denial {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	return &Denial{Subject: m[2], Subscribe: strings.EqualFold(m[1], "subscription"), Err: err}
}

// RefusesSubscription reports whether an error of nats.go says that the user may not
// subscribe somewhere.
func RefusesSubscription(err error) bool {
	d := Parse(err)
	return d != nil && d.Subscribe
}

// RefusesPublishing returns where the user may not publish, if an error of nats.go says
// so.
func RefusesPublishing(err error) (subject string, ok bool) {
	d := Parse(err)
	if d == nil || d.Subscribe {
		return "", false
	}
	return d.Subject, true
}

// How often the last error of a connection is looked at that nobody tells of. The
// pauses double, as most denials come at once.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// Denials are those of one connection. They are safe for concurrent use.
type Denials struct {
	nc     *nats.Conn
	silent bool // nobody calls Heard, and so the connection's last error is looked at
	count  atomic.Uint64

	mu      sync.Mutex
	waiting map[*waiter]struct{}
	taken   map[string]time.Time // what somebody has waited for, and when, by the text
	heard   error                // the last one
	more    chan struct{}        // closed when that becomes another one; nil while nobody waits for that
	idle    chan struct{}        // closed when nobody waits any more; nil while nobody looks
	pause   time.Duration        // before the next look
}

type waiter struct {
	concerns func(*Denial) bool
	tell     func(*Denial)
}

// New makes the denials of a connection. Told says that Heard is called with all of
// its asynchronous errors. Where it is not, the last error of the connection is
// looked at while somebody waits, and one that another error follows at once may
// be missed.
func New(nc *nats.Conn, told bool) *Denials {
	return &Denials{nc: nc, silent: !told, waiting: make(map[*waiter]struct{}), taken: make(map[string]time.Time)}
}

// takenFor is how long a denial that somebody has waited for is theirs if it comes
// again: several may have published, and one denial ends the wait of all.
const takenFor = time.Minute

// Heard takes an asynchronous error of the connection. It reports whether somebody
// has waited for it, or for the same one within a minute.
func (d *Denials) Heard(err error) bool {
	denial := Parse(err)
	if denial == nil {
		return false
	}
	d.count.Add(1)
	var concerned []*waiter
	d.mu.Lock()
	for w := range d.waiting {
		if w.concerns(denial) {
			concerned = append(concerned, w)
		}
	}
	d.mu.Unlock()
	for _, w := range concerned {
		w.tell(denial)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard = err
	if d.more != nil {
		close(d.more)
		d.more = nil
	}
	return d.take(err.Error(), len(concerned) > 0)
}

// take notes that somebody has waited, and reports whether anybody has; d.mu is held.
func (d *Denials) take(text string, waited bool) bool {
	now := time.Now()
	if waited {
		maps.DeleteFunc(d.taken, func(_ string, at time.Time) bool { return now.Sub(at) >= takenFor })
		d.taken[text] = now
		return true
	}
	at, ok := d.taken[text]
	return ok && now.Sub(at) < takenFor
}

// settleTime bounds the wait for what the connection knows already. What was said
// before anybody called Heard never comes.
const settleTime = time.Second

// Settle returns when all was heard that NATS has denied so far, as the connection
// knows it a moment before it tells: call it after a flush. It returns at once where
// nobody calls Heard, and after a second in any case.
func (d *Denials) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for !d.silent {
		last := d.nc.LastError()
		if Parse(last) == nil {
			return
		}
		d.mu.Lock()
		if d.heard == last { //nolint:errorlint // is it this one?
			d.mu.Unlock()
			return
		}
		if d.more == nil {
			d.more = make(chan struct{})
		}
		more := d.more
		d.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// Count is how many denials were heard: while it is the same, what NATS has allowed
// before it allows still.
func (d *Denials) Count() uint64 { return d.count.Load() }

// Watch calls tell with each denial that concerns the caller, until stop is called.
// Neither function may wait; tell may be called once more after stop.
func (d *Denials) Watch(concerns func(*Denial) bool, tell func(*Denial)) (stop func()) {
	w := &waiter{concerns, tell}
	var last error
	if d.silent {
		last = d.nc.LastError() // which waits while nats.go dials
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[w] = struct{}{}
	d.pause = firstLook
	if d.silent && d.idle == nil {
		d.idle = make(chan struct{})
		go d.look(d.idle, last)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, w)
		if len(d.waiting) == 0 && d.idle != nil {
			close(d.idle)
			d.idle = nil
		}
	}
}

// look looks at the last error of the connection until nobody waits any more.
func (d *Denials) look(idle <-chan struct{}, last error) {
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-idle:
			return
		}
		if now := d.nc.LastError(); now != last { //nolint:errorlint // is it another one?
			last = now
			d.Heard(now)
		}
		d.mu.Lock()
		timer.Reset(d.pause)
		d.pause = min(2*d.pause, lastLook)
		d.mu.Unlock()
	}
}

// Context returns a context that ends when NATS denies what concerns the caller. The
// function stops that. It returns the denial if there was one, and is called once.
func (d *Denials) Context(ctx context.Context, concerns func(*Denial) bool) (context.Context, func() *Denial) {
	ctx, cancel := context.WithCancel(ctx)
	var denial atomic.Pointer[Denial]
	stop := d.Watch(concerns, func(n *Denial) {
		denial.Store(n)
		cancel()
	})
	return ctx, func() *Denial {
		stop()
		cancel()
		return denial.Load()
	}
}
