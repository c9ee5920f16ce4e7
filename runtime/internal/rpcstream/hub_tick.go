package rpcstream

import (
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// What a hub does again and again, as long as it has streams, or last frames that are
// not confirmed.

const (
	hubInterval = 250 * time.Millisecond
	// hubLateness is how late a tick shows that this process was paused. What other
	// processes have sent meanwhile waits in its socket, so that they look silent.
	hubLateness = time.Second
	// syncTicks is the number of ticks from one look at the streams to the next.
	syncTicks = 4
	// A process that has not been heard for askPeerAfter is asked whether it is
	// there, every askPeerEvery; after peerSilence it is taken for dead.
	askPeerAfter = 500 * time.Millisecond
	askPeerEvery = 500 * time.Millisecond
	peerSilence  = 2500 * time.Millisecond
	// A last frame is sent every farewellTicks ticks, farewellSends times in all.
	farewellTicks = 4
	farewellSends = 3
)

// ticker is the clock of a hub, and what its goroutine remembers from one tick to the
// next.
type ticker struct {
	epoch   time.Time
	clock   atomic.Int64 // ns since epoch, at the last tick
	running bool         // guarded by Hub.mu

	// The fields below belong to the goroutine of the ticker.
	returns uint64    // of the link, at the last tick
	came    uint64    // bytes that had come over the connection at the last tick
	scan    []*Stream // scratch
}

// now returns the time since the hub was made, in ns.
func (h *Hub) now() int64 { return int64(time.Since(h.ticker.epoch)) }

// tickWhileNeeded starts the ticker unless it runs; h.mu is held.
func (h *Hub) tickWhileNeeded() {
	if h.ticker.running {
		return
	}
	h.ticker.clock.Store(h.now())
	h.ticker.returns = h.link.Returns()
	h.ticker.running = h.start(h.tickUntilIdle)
}

func (h *Hub) tickUntilIdle() {
	ticker := time.NewTicker(hubInterval)
	defer ticker.Stop()
	for n := 1; ; n++ {
		closed := false
		select {
		case <-ticker.C:
			h.tick(n)
		case <-h.done:
			closed = true
		}
		h.mu.Lock()
		if closed { // nothing can be sent any more
			clear(h.farewells)
		}
		if len(h.streams)+len(h.farewells) == 0 || closed {
			h.ticker.running = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
	}
}

func (h *Hub) tick(n int) {
	now := h.now()
	paused := now-h.ticker.clock.Swap(now) > int64(hubInterval+hubLateness)
	came := h.nc.Stats().InBytes
	comes := came != h.ticker.came
	h.ticker.came = came
	h.tickPeers(now, paused, comes)
	h.tickFarewells()
	state := h.link.State()
	cameUp := state.Up && state.Returns != h.ticker.returns
	if cameUp {
		h.ticker.returns = state.Returns
	}
	if n%syncTicks == 0 || cameUp {
		h.tickStreams(cameUp)
	}
}

// tickPeers asks the processes that have been silent, and gives up those that do not
// answer. While NATS answers late although bytes come, the silence is that of the link, in
// whose queue the answers are. The processes are asked all the same, which tells them that
// this one is there.
func (h *Hub) tickPeers(now int64, paused, comes bool) {
	var ask, dead []*peer
	lags := h.transit.Lags()
	h.mu.RLock()
	for _, p := range h.peers {
		if paused {
			p.asked = 0
		}
		if paused || lags && comes {
			p.heard.Store(now)
		}
		silent := now - p.heard.Load()
		switch {
		case silent >= int64(peerSilence):
			dead = append(dead, p)
		case (lags || silent >= int64(askPeerAfter)) && now-p.asked >= int64(askPeerEvery), paused:
			p.asked = now
			ask = append(ask, p)
		}
	}
	h.mu.RUnlock()
	if len(ask) > 0 {
		h.transit.Ask() // to learn whether the link is slow
	}
	for _, p := range ask {
		h.askPeer(p)
	}
	for _, p := range dead {
		h.lost(p, false)
	}
}

// askPeer asks whether a process is there. Its answer, or NATS's word that nobody listens,
// comes to Deliver.
func (h *Hub) askPeer(p *peer) {
	if p.alone != nil {
		p.alone.ping()
		return
	}
	_ = h.nc.PublishRequest(p.ask, h.Prefix+peerToken(p.id), nil) // if it is lost, the next one may come
}

// tickFarewells sends last frames again that were not confirmed.
func (h *Hub) tickFarewells() {
	var again []*nats.Msg
	h.mu.Lock()
	for id, f := range h.farewells {
		if f.ticks++; f.ticks%farewellTicks != 0 {
			continue
		}
		if f.sent++; f.sent > farewellSends {
			delete(h.farewells, id)
			continue
		}
		again = append(again, f.msg)
	}
	h.mu.Unlock()
	for _, msg := range again {
		_ = h.nc.PublishMsg(msg)
	}
}

// tickStreams has all streams compare notes with their other ends.
func (h *Hub) tickStreams(cameUp bool) {
	h.mu.RLock()
	h.ticker.scan = h.ticker.scan[:0]
	for _, s := range h.streams {
		h.ticker.scan = append(h.ticker.scan, s)
	}
	h.mu.RUnlock()
	for i, s := range h.ticker.scan {
		s.synchronize(cameUp)
		h.ticker.scan[i] = nil
	}
	if cap(h.ticker.scan) > 1<<10 && len(h.ticker.scan) < cap(h.ticker.scan)/4 {
		h.ticker.scan = nil
	}
}
