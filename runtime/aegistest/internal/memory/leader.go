package memory

import (
	"context"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
)

type groupKey struct{ service, group string }

// group is a single active group: its first server leads. The mutex of the hub guards it.
type group struct {
	key      groupKey
	standing []member // in the order in which they came
	leader   member   // of term
	term     leader.Info
	base     context.Context //nolint:containedctx // that of the term's handlers; nil without a leader
	end      context.CancelFunc
	leads    bool // OnLeading has returned
}

// stand has a server stand for the groups of a service. The caller holds the mutex.
func (h *Hub) stand(s *server, service *inmemory.Service) {
	if service.OnLeading == nil {
		return
	}
	for _, m := range service.Spec.Methods {
		if m.Group == "" || service.Methods[m.Name] == nil {
			continue
		}
		key := groupKey{service.Spec.Name, m.Group}
		g := h.leaders[key]
		if g == nil {
			g = &group{key: key}
			h.leaders[key] = g
		}
		if !slices.ContainsFunc(g.standing, func(m member) bool { return m.server == s }) {
			g.standing = append(g.standing, member{s, service})
		}
		h.elect(g)
	}
}

// elect begins a term if nobody leads. The caller holds the mutex.
func (h *Hub) elect(g *group) {
	if g.base != nil || len(g.standing) == 0 {
		return
	}
	h.lastToken = max(h.lastToken+1, uint64(time.Now().UnixMicro()))
	g.leader = g.standing[0]
	g.term = leader.Info{Service: g.key.service, Group: g.key.group, Token: h.lastToken, Since: time.Now()}
	g.base, g.end = context.WithCancel(g.leader.server.Base)
	go h.load(g.base, g, g.leader, g.term)
}

// load runs OnLeading. A leader that fails is the last to stand again, a lease later.
func (h *Hub) load(base context.Context, g *group, m member, term leader.Info) {
	err := m.service.OnLeading(base, term)
	h.mu.Lock()
	defer h.mu.Unlock()
	if g.base != base {
		return // the term is over
	}
	defer h.wake()
	if err == nil {
		g.leads = true
		m.server.Led(term, true)
		h.pumpAll()
		return
	}
	m.server.Logger.Error("aegis: OnLeading failed", "service", term.Service, "group", term.Group, "err", err)
	h.endTerm(g)
	g.standing = append(slices.Delete(g.standing, 0, 1), m)
	h.at(time.Now().Add(m.service.Spec.Election.Lease), func() { h.elect(g) })
}

// endTerm ends the term of a group. The caller holds the mutex.
func (h *Hub) endTerm(g *group) {
	if g.base == nil {
		return
	}
	g.end()
	if g.leads {
		g.leader.server.Led(g.term, false)
	}
	g.base, g.leads = nil, false
}

// resign has a server lead and stand no more, and others follow.
func (h *Hub) resign(s *server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.leaders {
		g.standing = slices.DeleteFunc(g.standing, func(m member) bool { return m.server == s })
		if g.base != nil && g.leader.server == s {
			h.endTerm(g)
			h.elect(g)
		}
	}
	h.wake()
}
