package leader

import "sync"

// running counts what runs in the name of a term, so that a leader that hands over knows
// when nothing does. It is safe for concurrent use. The zero value is ready for use.
type running struct {
	mu     sync.Mutex      // guards the rest
	count  int             // handlers, and streams
	ends   map[any]func()  // ends what lasts for any time, when the term is handed over
	asked  bool            // the term is being handed over
	nobody []chan struct{} // closed when nothing runs
}

// Enter counts a handler of the term. It comes before the lease is looked at: a leader that
// hands over first lets nothing more begin, and then waits for what is counted. Leave
// follows.
func (r *running) Enter() { r.enter(nil, nil) }

// EnterLasting is Enter for a stream, which may last for any time: end is called when the
// term is handed over. It is called in another goroutine, at most once, and not after Leave
// has returned with the same key, unless it runs already.
func (r *running) EnterLasting(key any, end func()) { r.enter(key, end) }

func (r *running) enter(key any, end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	switch {
	case end == nil:
	case r.asked:
		go end()
	default:
		if r.ends == nil {
			r.ends = make(map[any]func())
		}
		r.ends[key] = end
	}
}

// Leave follows Enter, with nil, and EnterLasting, with its key.
func (r *running) Leave(key any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count--
	delete(r.ends, key)
	if r.count == 0 {
		for _, c := range r.nobody {
			close(c)
		}
		r.nobody = nil
	}
}

// wind ends what lasts for any time, and returns a channel that is closed when nothing
// runs.
func (r *running) wind() <-chan struct{} {
	done := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = true
	for key, end := range r.ends {
		go end()
		delete(r.ends, key)
	}
	if r.count == 0 {
		close(done)
	} else {
		r.nobody = append(r.nobody, done)
	}
	return done
}
