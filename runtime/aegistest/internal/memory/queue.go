package memory

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// queue has the commands of a method that have not ended.
type queue struct {
	service *spec.Service
	method  *spec.Method
	pending []*command // by level, and then in the order in which they came
	running map[*server]int
}

func (h *Hub) queueOf(service *spec.Service, m *spec.Method) *queue {
	key := string(m.Desc.FullName())
	q := h.queues[key]
	if q == nil {
		q = &queue{service: service, method: m, running: make(map[*server]int)}
		h.queues[key] = q
	}
	return q
}

// workCommands begins the commands that have waited for a worker. The caller holds the
// mutex.
func (h *Hub) workCommands(service *inmemory.Service) {
	for _, m := range service.Spec.Methods {
		if m.Command != nil {
			h.pumpQueue(h.queueOf(service.Spec, m))
		}
	}
}

// Send stores a command, unless one with its key is there.
func (h *Hub) Send(ctx context.Context, out *inmemory.Outgoing, s *inmemory.Sending, req proto.Message) (inmemory.CommandHandle, *status.Status) {
	if ctx.Err() != nil {
		return nil, status.Of(ctx.Err()).WithNotRun(true)
	}
	req, _, why := copied(req, status.InvalidArgument, "the command "+string(out.Method.Desc.FullName()))
	if why != nil {
		return nil, why
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.newID(out.Method, s.Key)
	if c := h.commands[commandKey(out.Service.Name, out.Method.Name, id)]; c != nil {
		return c, nil
	}
	m := &Message{Service: out.Service, Method: out.Method, Body: req, Header: out.Header, ID: id, Time: time.Now()}
	c := newCommand(h, m, s)
	h.commands[commandKey(out.Service.Name, out.Method.Name, id)] = c
	h.sent = append(h.sent, m)
	q := h.queueOf(out.Service, out.Method)
	q.add(c)
	if c.due.After(time.Now()) {
		h.at(c.due, func() { h.pumpQueue(q) })
	}
	h.pumpQueue(q)
	h.wake()
	return c, nil
}

// add puts a command behind those of its level.
func (q *queue) add(c *command) {
	rank := func(c *command) int { return slices.Index(wire.Levels(), c.level) }
	at := slices.IndexFunc(q.pending, func(other *command) bool { return rank(other) > rank(c) })
	if at < 0 {
		at = len(q.pending)
	}
	q.pending = slices.Insert(q.pending, at, c)
}

// workers returns the servers that have room. The caller holds the mutex.
func (h *Hub) workers(q *queue) (free []taken) {
	if group := q.method.Group; group != "" {
		g := h.leaders[groupKey{q.service.Name, group}]
		if g == nil || !g.leads || g.leader.server.stopping || h.groupWorks(g) || g.leader.service.Methods[q.method.Name] == nil {
			return nil
		}
		term := g.term
		return []taken{{g.leader, g.base, &term}}
	}
	for _, m := range h.targetsOf(q.service.Name).members {
		if m.service.Methods[q.method.Name] != nil && q.running[m.server] < m.service.CommandsAtOnce {
			free = append(free, taken{member: m, base: m.server.Base})
		}
	}
	slices.SortStableFunc(free, func(a, b taken) int { return q.running[a.server] - q.running[b.server] })
	return free
}

// groupWorks reports whether a command of a group runs: a leader works one at a time. The
// caller holds the mutex.
func (h *Hub) groupWorks(g *group) bool {
	for _, q := range h.queues {
		if q.service.Name == g.key.service && q.method.Group == g.key.group && q.running[g.leader.server] > 0 {
			return true
		}
	}
	return false
}

// nextCommand returns the command that can begin next, and the worker that has room for it; nil
// if there is none. The caller holds the mutex.
func (h *Hub) nextCommand(q *queue, now time.Time) (*command, *taken) {
	for _, c := range q.pending {
		switch {
		case c.by == nil && !c.due.After(now):
			if free := h.workers(q); len(free) > 0 {
				return c, &free[0]
			}
			return nil, nil
		case q.method.Group != "" && c.by == nil:
			return nil, nil // a leader works them in order
		}
	}
	return nil, nil
}

// pumpQueue begins all commands that can begin. The caller holds the mutex.
func (h *Hub) pumpQueue(q *queue) {
	for {
		c, w := h.nextCommand(q, time.Now())
		switch {
		case c == nil:
			return
		case c.attempt == 0 && !c.expiry.IsZero() && time.Now().After(c.expiry):
			h.endCommand(q, c, wire.StateExpired, nil, nil, expired)
		default:
			h.beginCommand(q, c, w)
		}
	}
}

// beginCommand runs the handler of a command. The caller holds the mutex.
func (h *Hub) beginCommand(q *queue, c *command, w *taken) {
	c.by = w.server
	c.attempt++
	q.running[w.server]++
	h.running++
	in := handling(w.server, q.method, c.message.Header)
	in.Attempt, in.Term = c.attempt, w.term
	in.Job = &inmemory.Job{ID: c.message.ID, Attempt: c.attempt, Report: c.report}
	ctx := c.beginAttempt(w.base, q.method.Command.AttemptTimeout)
	go func() {
		res, err := w.service.Methods[q.method.Name].Unary(ctx, in, proto.Clone(c.message.Body))
		cause := context.Cause(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		c.endAttempt()
		c.by = nil
		h.running--
		if q.running[w.server]--; q.running[w.server] == 0 {
			delete(q.running, w.server)
		}
		h.ended(q, c, w, in, res, err, cause)
		h.pumpAll()
		h.wake()
	}()
}

// ended decides what becomes of a command whose handler has returned. The caller holds the
// mutex.
func (h *Hub) ended(q *queue, c *command, w *taken, in *inmemory.Handling, res proto.Message, err, cause error) {
	logger := w.server.Logger.With("command_method", string(q.method.Desc.FullName()), "command", c.message.ID)
	c.failed++
	switch {
	case w.term != nil && w.base.Err() != nil:
		c.failed-- // the term is over, and what the handler has done does not count
		return
	case err == nil:
		header, _ := in.Metadata()
		h.endCommand(q, c, wire.StateSucceeded, res, header, nil)
	case cause == errCanceled: //nolint:errorlint // nobody wraps it
		h.endCommand(q, c, wire.StateCanceled, nil, nil, canceled)
	case inmemory.ForTests().Permanent(err), c.failed >= q.method.Command.Retry.MaxAttempts:
		logger.Error("aegis: a command is dead", "attempts", c.failed, "reason", err)
		why := travelled(err)
		h.dead = append(h.dead, &DeadLetter{Message: c.message, Attempts: c.failed, Why: why})
		h.endCommand(q, c, wire.StateFailed, nil, nil, why)
	default:
		logger.Warn("aegis: the handler of a command failed", "attempt", c.attempt, "err", err)
		c.due = time.Now().Add(work.Backoff(q.method.Command.Retry, c.failed))
		h.at(c.due, func() { h.pumpQueue(q) })
	}
}

// endCommand gives a command its outcome. The caller holds the mutex.
func (h *Hub) endCommand(q *queue, c *command, state string, res proto.Message, header map[string][]string, why *status.Status) {
	q.pending = slices.DeleteFunc(q.pending, func(other *command) bool { return other == c })
	c.end(state, res, header, why)
}

// expired is how a command ends whose expiry comes before a worker.
var expired = status.Refusal(status.DeadlineExceeded, wire.ReasonExpired, "the command has expired before a worker began it")
