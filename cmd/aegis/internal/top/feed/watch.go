package feed

import (
	"bytes"
	"context"
	"errors"
	"time"
)

const (
	// silence is how long a stream may say nothing, not even a comment, until it is taken for
	// broken.
	silence = 45 * time.Second
	// firstPause and longestPause bound the pause before a stream is opened again.
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
)

// errSilent is the error of a stream that has said nothing for too long.
var errSilent = errors.New("the monitor has said nothing for 45 s")

// Event is one thing that a watch tells. At most one of its fields is set; if none is, the
// stream is alive.
type Event struct {
	// Document is a document as JSON.
	Document []byte
	// Err says why there is no stream now. The watch tries again.
	Err error
}

// Watch follows a live document until the context ends, and closes the channel then. It
// begins again whenever the stream breaks.
func (c *Client) Watch(ctx context.Context, path string) <-chan Event {
	events := make(chan Event)
	go func() {
		defer close(events)
		pause := firstPause
		for ctx.Err() == nil {
			got, err := c.follow(ctx, path, events)
			if got {
				pause = firstPause
			}
			if !tell(ctx, events, Event{Err: err}) || !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, longestPause)
		}
	}()
	return events
}

// follow reads one stream to its end. got tells whether a document came.
func (c *Client) follow(parent context.Context, path string, events chan<- Event) (got bool, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer quiet.Stop()
	body, err := c.open(ctx, path)
	if err == nil {
		alive := func() { quiet.Reset(silence) }
		err = readStream(body, func() {
			alive()
			tellNow(events, Event{})
		}, func(data []byte) bool {
			got = true
			return tell(ctx, events, Event{Document: bytes.Clone(data)})
		})
		_ = body.Close()
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return got, err
}

// tell hands an event over, and reports false if the context ends before.
func tell(ctx context.Context, events chan<- Event, e Event) bool {
	select {
	case events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// tellNow hands an event over if somebody waits for one.
func tellNow(events chan<- Event, e Event) {
	select {
	case events <- e:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
