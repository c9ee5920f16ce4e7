// Package denials tells goroutines that wait for an answer that NATS does not allow the
// connection's user to publish or subscribe where they have. NATS does not answer them
// then: it reports an error of the whole connection, once.
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

// Denial says where NATS does not allow the user to publish or to subscribe.
type Denial struct {
	// Subject is where the user may not publish, or not subscribe.
	Subject   string
	Subscribe bool
	// Err is the error of NATS; it wraps nats.ErrPermissionViolation.
	Err error
}

// Publishing reports whether the denial is about publishing to a subject.
func (d *Denial) Publishing(subject string) bool { return !d.Subscribe && d.Subject == subject }

// Below reports whether the denial is about publishing to a subject or to one below it.
func (d *Denial) Below(subject string) bool {
	rest, ok := strings.CutPrefix(d.Subject, subject)
	return ok && !d.Subscribe && (rest == "" || rest[0] == '.')
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// Parse returns the denial in an error of nats.go, or nil if the error is about something
// else.
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

// RefusesPublishing returns the subject to which the user may not publish, if an error of
// nats.go names one.
func RefusesPublishing(err error) (subject string, ok bool) {
	d := Parse(err)
	if d == nil || d.Subscribe {
		return "", false
	}
	return d.Subject, true
}

// The pauses between two looks at the last error of a connection whose errors nobody
// reports. They double, as most denials come at once.
const (
	firstLook = 10 * time.Millisecond
	lastLook  = time.Second
)

// Denials are the denials of one connection. They are safe for concurrent use.
type Denials struct {
	nc     *nats.Conn
	silent bool // nobody calls Heard, so the look goroutine reads the connection's last error
	count  atomic.Uint64

	mu      sync.Mutex // guards the fields below
	waiting map[*waiter]struct{}
	taken   map[string]time.Time // when a denial came that somebody waited for, by its text
	heard   error                // the last one
	more    chan struct{}        // closed by Heard; nil while no Settle waits
	idle    chan struct{}        // closed when the last waiter stops; nil while look does not run
	pause   time.Duration        // before the next look
}

type waiter struct {
	concerns func(*Denial) bool
	tell     func(*Denial)
}

// New makes the denials of a connection. told says that Heard is called with all
// asynchronous errors of the connection. Where it is not, a goroutine reads the last error
// of the connection while somebody waits, and may miss an error that another one follows
// at once.
func New(nc *nats.Conn, told bool) *Denials {
	return &Denials{nc: nc, silent: !told, waiting: make(map[*waiter]struct{}), taken: make(map[string]time.Time)}
}

// takenFor is how long a denial that somebody has waited for counts as theirs when it
// comes again: several may have published, and one denial ends the wait of all.
const takenFor = time.Minute

// Heard takes an asynchronous error of the connection. It reports whether somebody has
// waited for this denial, or for the same one within a minute.
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

// take notes whether somebody has waited for a denial, and reports whether anybody has
// within takenFor; d.mu is held.
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

// settleTime bounds the wait of Settle: an error from before the first call of Heard never
// comes.
const settleTime = time.Second

// Settle returns when Heard has had all denials of NATS so far. It is called after a flush:
// the connection knows of a denial a moment before it reports it. Settle returns at once
// where nobody calls Heard, and after a second in any case.
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

// Count returns how many denials were heard. While the number is the same, NATS still
// allows everything that it has allowed before.
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

// look reads the last error of the connection until nobody waits any more.
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

// Context returns a context that ends when a denial comes that concerns the caller. The
// function ends the context and returns the denial if one came; it is called once.
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
