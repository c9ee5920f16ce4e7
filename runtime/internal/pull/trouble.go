package pull

import "sync"

// trouble is a kind of reason why no messages come.
type trouble int

const (
	searching trouble = iota // the consumer cannot be found
	pulling                  // it does not deliver
	stalling                 // too much of it is under way
	acking                   // what was handled cannot be acknowledged
	kinds
)

// troubles are the present ones.
type troubles struct {
	mu   sync.Mutex
	errs [kinds]error
	told bool // that there is none; at first nobody knows
}

// report tells that there is a trouble, or, if err is nil, no more.
func (p *Puller) report(kind trouble, err error) {
	t := &p.troubles
	t.mu.Lock()
	defer t.mu.Unlock()
	over := err == nil && t.errs[kind] == nil && t.told
	if over {
		return
	}
	t.errs[kind] = err
	p.refused.Store(t.errs[pulling] != nil)
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

// answered tells that the consumer answers, if it was told that it does not.
func (p *Puller) answered() {
	if p.refused.Load() {
		p.report(pulling, nil)
	}
}
