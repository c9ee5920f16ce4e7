package aegiskeda

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// lookTimeout bounds a look. It is longer than NATS takes to elect a leader in most cases.
	lookTimeout = 4 * time.Second
	// lookKept is for how long what a look has found is good for everybody who asks.
	lookKept = 500 * time.Millisecond
	// lookShare is how much of the time may be spent looking: what took long, as a count of
	// a million commands that no worker was ever there for, is kept for that many times as long.
	lookShare = 4
	// lookForgotten is for how long what nobody asks for is remembered.
	lookForgotten = time.Minute
)

// errClosed is what everybody gets who asks after Close.
var errClosed = errors.New("the scaler stops")

// subject is what is looked at: the commands of a method, its events for a group, or, with no
// method, the calls that the instances of a service refuse.
type subject struct {
	service, method, group string
}

// figures are what a look finds.
type figures struct {
	waiting, underWay float64       // commands or events
	age               time.Duration // of the oldest that waits
	refused           float64       // calls per second
}

// looks is one look for all who ask about the same at the same time, or soon after each other.
type looks struct {
	read  func(ctx context.Context, of subject) (figures, error)
	start func(func(ctx context.Context)) // runs a function in the background

	mu     sync.Mutex // guards what follows
	known  map[subject]*look
	closed bool
}

// look is one look at a subject.
type look struct {
	done  chan struct{} // closed when all that follows is set
	found figures
	err   error
	until time.Time // for how long it is good
}

// over tells whether the look is no good any more, or was not lately.
func (l *look) over(now time.Time, since time.Duration) bool {
	select {
	case <-l.done:
		return now.After(l.until.Add(since))
	default:
		return false
	}
}

// at returns the figures of a subject, which are at most lookKept old or, if it takes long to
// find them, a small multiple of that time.
func (l *looks) at(ctx context.Context, of subject) (figures, error) {
	one, err := l.join(of)
	if err != nil {
		return figures{}, err
	}
	select {
	case <-one.done:
		return one.found, one.err
	case <-ctx.Done():
		return figures{}, ctx.Err()
	}
}

// join returns the look that is under way or still good, or begins one.
func (l *looks) join(of subject) (*look, error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	if one := l.known[of]; one != nil && !one.over(now, 0) {
		return one, nil
	}
	for other, one := range l.known {
		if one.over(now, lookForgotten) {
			delete(l.known, other)
		}
	}
	one := &look{done: make(chan struct{})}
	l.known[of] = one
	l.start(func(ctx context.Context) {
		defer close(one.done)
		one.found, one.err = l.read(ctx, of)
		ended := time.Now()
		one.until = ended.Add(max(lookKept, lookShare*ended.Sub(now)))
	})
	return one, nil
}

// close lets no look begin any more, and calls end.
func (l *looks) close(end context.CancelFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	end()
}
