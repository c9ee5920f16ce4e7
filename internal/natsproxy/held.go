package natsproxy

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Held stands between a client, or a NATS server, and a NATS server. What it
// holds back it delivers when it is opened again, as a network does whose packets
// are sent again: writes that come late are part of what is tested.
type Held struct {
	*Proxy

	There Gate // to the target
	Back  Gate // from it

	latency atomic.Int64  // in nanoseconds, of each direction
	ended   chan struct{} // closed by Close
	end     sync.Once
}

// NewHeld starts a proxy that lets everything through.
func NewHeld(target string) (*Held, error) {
	h := &Held{ended: make(chan struct{})}
	h.OpenAll()
	var err error
	h.Proxy, err = Start(target, Pumps{
		Before:   func() { h.There.wait(); h.Back.wait() }, // a client that connects through a hole waits
		Closing:  func() { h.end.Do(func() { close(h.ended) }); h.OpenAll() },
		ToServer: func(to, from net.Conn) { h.pump(to, from, &h.There) },
		ToClient: func(to, from net.Conn) { h.pump(to, from, &h.Back) },
	})
	return h, err
}

// ShutAll holds back what is sent in both directions.
func (h *Held) ShutAll() { h.There.Shut(); h.Back.Shut() }

// OpenAll lets through what is sent in both directions, and what was held back.
func (h *Held) OpenAll() { h.There.Open(); h.Back.Open() }

// Delay has all that is read from now on arrive that much later, in each direction. The
// order stays, and as many bytes pass as before.
func (h *Held) Delay(latency time.Duration) { h.latency.Store(int64(latency)) }

// mostUnderWay is how many reads of one direction may be under way at once.
const mostUnderWay = 256

// packet is what one read has brought.
type packet struct {
	data []byte
	due  time.Time
}

// pump copies in one direction, as the gate and the latency allow.
func (h *Held) pump(to, from net.Conn, g *Gate) {
	underWay := make(chan packet, mostUnderWay)
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		h.deliver(to, from, underWay, g)
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			underWay <- packet{bytes.Clone(buffer[:n]), time.Now().Add(time.Duration(h.latency.Load()))}
		}
		if err != nil {
			break
		}
	}
	close(underWay)
	<-delivered
}

// deliver writes packets when they are due, until underWay is closed. After a failure it
// ends the other connection and takes the rest without writing it.
func (h *Held) deliver(to, from net.Conn, underWay <-chan packet, g *Gate) {
	failed := false
	for p := range underWay {
		if failed {
			continue
		}
		if wait := time.Until(p.due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-h.ended:
			}
		}
		g.wait()
		if _, err := to.Write(p.data); err != nil {
			failed = true
			shut(from)
		}
	}
}
