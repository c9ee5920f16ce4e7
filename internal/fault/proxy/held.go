// Package proxy has the two proxies that the fault harness puts in front of NATS
// servers: Held holds a whole connection up and cuts it, SlowAPI holds up nothing
// but requests to JetStream.
package proxy

import (
	"net"
	"sync"

	"github.com/aegisrpc/aegis/internal/natsproxy"
)

// Held stands between a client, or a NATS server, and a NATS server. What it
// holds back it delivers when it is opened again, as a network does whose packets
// are sent again: writes that come late are part of what is tested.
type Held struct {
	*natsproxy.Proxy

	There Gate // to the target
	Back  Gate // from it
}

// NewHeld starts a proxy that lets everything through.
func NewHeld(target string) (*Held, error) {
	h := &Held{}
	h.OpenAll()
	var err error
	h.Proxy, err = natsproxy.Start(target, natsproxy.Pumps{
		Before:   func() { h.There.wait(); h.Back.wait() }, // a client that connects through a hole waits
		Closing:  h.OpenAll,
		ToServer: func(to, from net.Conn) { pump(to, from, &h.There) },
		ToClient: func(to, from net.Conn) { pump(to, from, &h.Back) },
	})
	return h, err
}

// ShutAll holds back what is sent in both directions.
func (h *Held) ShutAll() { h.There.Shut(); h.Back.Shut() }

// OpenAll lets through what is sent in both directions, and what was held back.
func (h *Held) OpenAll() { h.There.Open(); h.Back.Open() }

// pump copies in one direction, as the gate allows.
func pump(to, from net.Conn, g *Gate) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

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
