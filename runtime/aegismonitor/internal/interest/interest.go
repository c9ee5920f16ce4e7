// Package interest counts who looks at what, so that the monitor reads often what somebody
// looks at, and rarely what nobody does.
package interest

import (
	"sync"
	"time"
)

// Topic is something that can be looked at.
type Topic int

// The topics.
const (
	Figures Topic = iota // rates, errors and latencies, and how leaders are
	Work                 // queues, events, streams and dead letters
	topics
)

// glance is how long somebody who asked once counts as looking.
const glance = 10 * time.Second

// Interest says what is looked at. The zero Interest is that of nobody, and is safe for
// concurrent use.
type Interest struct {
	mu      sync.Mutex // guards all fields
	lookers [topics]int
	last    [topics]time.Time
	woken   [topics]chan struct{} // closed when the first one looks
}

// Look begins to look at a topic until the function that it returns is called, once.
func (i *Interest) Look(t Topic) (leave func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lookers[t]++
	i.wake(t)
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.lookers[t]--
		i.last[t] = time.Now()
	}
}

// Glance looks at a topic for some seconds.
func (i *Interest) Glance(t Topic) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last[t] = time.Now()
	i.wake(t)
}

func (i *Interest) wake(t Topic) {
	if i.woken[t] != nil {
		close(i.woken[t])
		i.woken[t] = nil
	}
}

// Looked reports whether somebody looks at a topic, or has within some seconds.
func (i *Interest) Looked(t Topic) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lookers[t] > 0 || time.Since(i.last[t]) < glance
}

// Woken returns a channel that is closed when somebody begins to look at a topic.
func (i *Interest) Woken(t Topic) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.woken[t] == nil {
		i.woken[t] = make(chan struct{})
	}
	return i.woken[t]
}
