package pull

import (
	"sync"
	"sync/atomic"
)

// trouble is a kind of reason why a puller does not work.
type trouble int

const (
	searching trouble = iota // the consumer cannot be found
	pulling                  // the consumer does not deliver
	stalling                 // the consumer has too many messages under way
	acking                   // messages cannot be acknowledged
	kinds
)

// troubles are the reasons why a puller does not work at present.
type troubles struct {
	mu   sync.Mutex // guards errs and told, and keeps reports one after the other
	errs [kinds]error
	told bool // Works was called last; false at first, when neither was called
	// refused says that a trouble of the kind pulling lasts.
	refused atomic.Bool
}

// report tells that a kind of trouble has begun or, if err is nil, is over.
func (p *Puller) report(kind trouble, err error) {
	t := &p.troubles
	t.mu.Lock()
	defer t.mu.Unlock()
	over := err == nil && t.errs[kind] == nil && t.told
	if over {
		return
	}
	t.errs[kind] = err
	p.troubles.refused.Store(t.errs[pulling] != nil)
	for _, err := range t.errs {
		if err != nil {
			t.told = false
			p.o.Problem(err)
			return
		}
	}
	t.told = true
	p.o.Works()
}

// answered tells that the consumer answers, if a report has said that it does not.
func (p *Puller) answered() {
	if p.troubles.refused.Load() {
		p.report(pulling, nil)
	}
}
