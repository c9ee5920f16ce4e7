package access

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A wrong token or password costs one of some guesses, which come back one at a time.
const (
	guessesAtOnce = 10
	guessEvery    = 2 * time.Second
	// maxAddresses bounds the addresses that are remembered.
	maxAddresses = 4096
)

// guesses counts wrong tokens and passwords by the address that they come from. The zero
// value has none.
type guesses struct {
	mu   sync.Mutex // guards from
	from map[netip.Prefix]*rate.Limiter
}

// try has right compare a token or a password, if the address has a guess left. They are
// compared one after the other, so that many connections guess no more often than one.
func (g *guesses) try(from netip.Prefix, right func() bool) Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.from[from]
	if l != nil && l.Tokens() < 1 {
		return Limited
	}
	if right() {
		return Welcome
	}
	if l == nil {
		if g.from == nil {
			g.from = make(map[netip.Prefix]*rate.Limiter)
		}
		g.makeRoom()
		l = rate.NewLimiter(rate.Every(guessEvery), guessesAtOnce)
		g.from[from] = l
	}
	l.Allow()
	return Wrong
}

// makeRoom forgets addresses that have all guesses again; if there is none of them, any one.
func (g *guesses) makeRoom() {
	if len(g.from) < maxAddresses {
		return
	}
	for at, l := range g.from {
		if l.Tokens() >= guessesAtOnce {
			delete(g.from, at)
		}
	}
	for at := range g.from {
		if len(g.from) < maxAddresses {
			return
		}
		delete(g.from, at)
	}
}

// remote returns the address that a request comes from; of IPv6 the network, as one machine
// has as many addresses of it as it wants.
func remote(r *http.Request) netip.Prefix {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{} // all of those share their guesses
	}
	bits := 32
	if at.Addr().Unmap().Is6() {
		bits = 64
	}
	prefix, err := at.Addr().Unmap().WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
