package memory

import (
	"context"
	"reflect"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/keyfield"
	"github.com/aegisrpc/aegis/runtime/internal/leader"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/selection"
)

// targets are the instances of a service. The mutex of the hub guards it.
type targets struct {
	set     *selection.Set
	members []member
	pickers map[pickerKey]*selection.Picker
}

// member is an instance of a service.
type member struct {
	server  *server
	service *inmemory.Service
}

type pickerKey struct {
	method   string
	strategy selection.Strategy
}

func (h *Hub) targetsOf(service string) *targets {
	t := h.targets[service]
	if t == nil {
		t = &targets{set: selection.NewSet(selection.Config{}), pickers: make(map[pickerKey]*selection.Picker)}
		h.targets[service] = t
	}
	return t
}

func (t *targets) add(s *server, service *inmemory.Service) {
	info := s.Info
	info.Methods = make([]string, 0, len(service.Methods))
	for name := range service.Methods {
		info.Methods = append(info.Methods, name)
	}
	slices.Sort(info.Methods)
	t.set.Put(info)
	t.members = append(t.members, member{s, service})
}

func (t *targets) remove(s *server) {
	t.set.Remove(s.Instance)
	t.members = slices.DeleteFunc(t.members, func(m member) bool { return m.server == s })
}

// member returns the instance with a name, and false if it is not there or does not have
// the method.
func (t *targets) member(instance, method string) (member, bool) {
	for _, m := range t.members {
		if m.server.Instance == instance && m.service.Methods[method] != nil {
			return m, true
		}
	}
	return member{}, false
}

// pick finds the instance for a call. NATS picks any; here they take turns.
func (t *targets) pick(out *inmemory.Outgoing, req proto.Message) (member, *status.Status) {
	name := out.Method.Name
	if out.Instance != "" {
		if m, ok := t.member(out.Instance, name); ok {
			return m, nil
		}
		return member{}, nobody("the instance %s of %s is not there", out.Instance, out.Service.Name)
	}
	strategy, key := strategyOf(out, req)
	picked, err := t.picker(name, strategy).Pick(selection.Call{Key: key})
	if err != nil {
		return member{}, nobody("no server has %s: %w", out.Method.Desc.FullName(), err)
	}
	m, ok := t.member(picked.ID(), name)
	if !ok {
		return member{}, nobody("no server has %s", out.Method.Desc.FullName())
	}
	return m, nil
}

// strategyOf returns how the instance for a call is found, and the key for that.
func strategyOf(out *inmemory.Outgoing, req proto.Message) (selection.Strategy, string) {
	key := out.Key
	if path := keyfield.New(out.Method.StickyField); key == "" && path != nil && req != nil {
		key = path.Of(req)
	}
	switch {
	case out.Strategy != nil:
		return out.Strategy, key
	case out.Method.StickyField != nil:
		return selection.Sticky(), key
	default:
		return selection.RoundRobin(), key
	}
}

// picker returns the picker of a method for a strategy: one picker for all calls, so that
// the strategy remembers.
func (t *targets) picker(method string, strategy selection.Strategy) *selection.Picker {
	if !reflect.TypeOf(strategy).Comparable() {
		return t.set.MethodPicker(method, strategy)
	}
	key := pickerKey{method, strategy}
	if t.pickers[key] == nil {
		t.pickers[key] = t.set.MethodPicker(method, strategy)
	}
	return t.pickers[key]
}

// nobody is the status of a call that nobody can take.
func nobody(format string, args ...any) *status.Status {
	return status.Refusal(status.Unavailable, status.ReasonNoResponders, format, args...).WithNotRun(true)
}

// taken is a server that takes a call or a command, and the term in which it does.
type taken struct {
	member

	base context.Context //nolint:containedctx // what the context of the handler derives from
	term *leader.Info    // nil unless the method, or the command, is single active
}

// find finds the server for a call, and has it count the call until calls.Done. A call to a
// leader waits while the leader loads, and one with WaitForReady for a server.
func (h *Hub) find(ctx context.Context, out *inmemory.Outgoing, req proto.Message) (t taken, why *status.Status) {
	waited := h.await(ctx, func() bool {
		t, why = h.look(out, req)
		if why == nil {
			t.server.calls.Add(1)
			return true
		}
		return why != loading && (!out.WaitForReady || why.Reason != status.ReasonNoResponders)
	})
	if waited != nil {
		return taken{}, status.Because(waited, status.Of(waited).Code,
			"no server has taken the call of "+string(out.Method.Desc.FullName())).WithNotRun(true)
	}
	return t, why
}

// look is find without waiting. The caller holds the mutex.
func (h *Hub) look(out *inmemory.Outgoing, req proto.Message) (taken, *status.Status) {
	if out.Method.Pattern != spec.SingleActive {
		m, why := h.targetsOf(out.Service.Name).pick(out, req)
		if why != nil {
			return taken{}, why
		}
		return taken{member: m, base: m.server.Base}, nil
	}
	g := h.leaders[groupKey{out.Service.Name, out.Method.Group}]
	switch {
	case g == nil || len(g.standing) == 0:
		return taken{}, nobody("nobody leads %s", out.Service.Name)
	case !g.leads || g.leader.server.stopping:
		return taken{}, loading
	case out.Instance != "" && out.Instance != g.leader.server.Instance:
		return taken{}, status.Refusal(status.Unavailable, wire.ReasonNotActive, "%s does not lead", out.Instance).WithNotRun(true)
	}
	term := g.term
	return taken{g.leader, g.base, &term}, nil
}

// loading is the status of a call whose leader has been elected and does not serve yet.
var loading = status.New(status.Unavailable, "the leader loads")
