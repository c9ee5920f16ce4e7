// Package watch tells changes to several readers, each of which reads at its own pace
// and misses none.
package watch

import (
	"context"
	"sync"
)

// Changes tells its readers of each change. The zero value is ready for use, by
// several goroutines at once.
type Changes[T any] struct {
	mu      sync.Mutex // guards both, and is taken before that of a reader
	readers map[*Reader[T]]struct{}
	closed  bool
}

// Reader has the changes that one reader has not read yet, however many there are. Its
// Next is called by one goroutine at a time.
type Reader[T any] struct {
	changes *Changes[T]
	news    chan struct{} // of one: the reader has to look again; never closed

	mu     sync.Mutex // guards both
	unread []T
	closed bool
}

// Tell tells all readers of a change. It never waits for them.
func (c *Changes[T]) Tell(change T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.readers {
		r.add(change)
	}
}

// Close ends the changes. Readers, also later ones, read the changes so far and no more.
func (c *Changes[T]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for r := range c.readers {
		r.end()
	}
}

// Read returns a reader that begins with some changes of its own. Close follows.
func (c *Changes[T]) Read(first []T) *Reader[T] {
	r := &Reader[T]{changes: c, news: make(chan struct{}, 1), unread: first}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.closed = c.closed
	if c.readers == nil {
		c.readers = make(map[*Reader[T]]struct{})
	}
	c.readers[r] = struct{}{}
	return r
}

// Close ends the reading.
func (r *Reader[T]) Close() {
	r.changes.mu.Lock()
	defer r.changes.mu.Unlock()
	delete(r.changes.readers, r)
}

// Next waits for the next change. It returns false when ctx has ended or the changes
// are closed, and all that came before has been read.
func (r *Reader[T]) Next(ctx context.Context) (change T, ok bool) {
	for {
		r.mu.Lock()
		if len(r.unread) > 0 {
			change, r.unread = r.unread[0], r.unread[1:]
			r.mu.Unlock()
			return change, true
		}
		closed := r.closed
		r.mu.Unlock()
		if closed || ctx.Err() != nil {
			return change, false
		}
		select {
		case <-r.news:
		case <-ctx.Done():
		}
	}
}

func (r *Reader[T]) add(change T) {
	r.mu.Lock()
	r.unread = append(r.unread, change)
	r.mu.Unlock()
	r.wake()
}

func (r *Reader[T]) end() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wake()
}

func (r *Reader[T]) wake() {
	select {
	case r.news <- struct{}{}:
	default: // the reader is about to look
	}
}
