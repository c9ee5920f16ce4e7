package collect

import (
	"context"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

const (
	// lettersTimeout bounds the reading of the dead letters of a service.
	lettersTimeout = 30 * time.Second
	// manyLetters are so many that they are read at most once in manyPause.
	manyLetters = 2000
	manyPause   = time.Minute
	// lettersShare is the greatest part of the time that reading the letters of a service
	// may take: a twentieth.
	lettersShare = 20
	// deadKind is the kind of the stream that has dead letters.
	deadKind = "dead"
)

// letters reads the dead letters of services when they have changed. All letters of a
// service have to be read to put them into groups, so that how often is bounded.
type letters struct {
	*Collector

	wake chan struct{} // of one: something is to be read; never closed

	mu      sync.Mutex // guards all below
	streams map[string]*deadStream
}

// deadStream is the stream of the dead letters of a service.
type deadStream struct {
	last, messages uint64    // as they are now
	read           [2]uint64 // as they were when they were read
	known          bool      // they could be read
	next           time.Time // when they may be read again
}

func newLetters(c *Collector) *letters {
	return &letters{Collector: c, wake: make(chan struct{}, 1), streams: make(map[string]*deadStream)}
}

// look takes in which streams a service has. all says that these are all of them.
func (l *letters) look(service string, streams []aegisadmin.Stream, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last, messages uint64
	found := false
	for i := range streams {
		if streams[i].Kind == deadKind {
			last, messages, found = streams[i].LastSequence, streams[i].Messages, true
		}
	}
	s := l.streams[service]
	if !found && (!all || s == nil) {
		return
	}
	if s == nil {
		s = &deadStream{}
		l.streams[service] = s
	}
	s.last, s.messages = last, messages
}

// catchUp has what has changed be read.
func (l *letters) catchUp() {
	select {
	case l.wake <- struct{}{}:
	default: // it is about to be
	}
}

// forget forgets a service that has no durable work any more, and so no dead letters.
func (l *letters) forget(service string) {
	l.mu.Lock()
	_, known := l.streams[service]
	delete(l.streams, service)
	l.mu.Unlock()
	if known {
		l.board.DeadLetters(time.Now(), service, nil)
	}
}

// run reads what has changed until ctx ends.
func (l *letters) run(ctx context.Context) {
	for sleep(ctx, manyPause, l.wake) {
		for _, service := range l.due() {
			l.read(ctx, service)
		}
		l.tellReady()
	}
}

// due returns the services whose letters have changed and may be read now.
func (l *letters) due() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for service, s := range l.streams {
		if !s.current() && !time.Now().Before(s.next) {
			list = append(list, service)
		}
	}
	return list
}

func (s *deadStream) current() bool { return s.known && s.read == [2]uint64{s.last, s.messages} }

// read reads the letters of a service.
func (l *letters) read(ctx context.Context, service string) {
	l.mu.Lock()
	s := l.streams[service]
	if s == nil {
		l.mu.Unlock()
		return
	}
	now := [2]uint64{s.last, s.messages}
	l.mu.Unlock()
	began := time.Now()
	var groups []aegisadmin.LetterGroup
	var err error
	if now[1] > 0 {
		reading, cancel := context.WithTimeout(ctx, lettersTimeout)
		defer cancel()
		groups, err = l.admin.DeadLetterGroups(reading, service)
	}
	if ctx.Err() != nil {
		return
	}
	took := time.Since(began)
	l.mu.Lock()
	s.next = began.Add(lettersShare * took)
	if now[1] >= manyLetters || err != nil {
		s.next = latest(s.next, began.Add(manyPause))
	}
	s.read, s.known = now, err == nil
	forgotten := l.streams[service] != s
	l.mu.Unlock()
	if forgotten {
		return
	}
	if err != nil {
		l.sources.failed(ctx, monitorapi.SourceDeadLetters, err)
		return
	}
	l.board.DeadLetters(time.Now(), service, groups)
}

// tellReady says that dead letters can be read, if those of all services were.
func (l *letters) tellReady() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		if !s.known {
			return
		}
	}
	l.sources.ready(monitorapi.SourceDeadLetters)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
