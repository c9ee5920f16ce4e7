package natsproxy

import "sync"

// Gate lets one direction through or holds it back. Open it before its first use.
type Gate struct {
	mu   sync.Mutex    // guards hold
	hold chan struct{} // closed while the gate is open
}

// Open lets everything through.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold == nil {
		g.hold = make(chan struct{})
	}
	select {
	case <-g.hold:
	default:
		close(g.hold)
	}
}

// Shut holds everything back until Open.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.hold:
		g.hold = make(chan struct{})
	default: // it is shut
	}
}

// wait returns when the gate is open.
func (g *Gate) wait() {
	for {
		g.mu.Lock()
		hold := g.hold
		g.mu.Unlock()
		<-hold
		g.mu.Lock()
		same := hold == g.hold
		g.mu.Unlock()
		if same {
			return
		}
	}
}
