package caller

import (
	"fmt"
	"slices"

	"github.com/aegisrpc/aegis/internal/spec"
)

// Given are the names of those options in one list that not every method takes; "" for an
// option that is not in the list. As options of a client they hold for the methods that take
// them, so that only the options of a call are checked against its method.
type Given struct {
	Selection string // of an instance
	Stop      string // of a broadcast
	Retry     string
	Window    string
}

// ToInstance is the name of the one selecting option that a single active method takes.
const ToInstance = "ToInstance"

// Select notes the option that selects the instance. There can be one in a list, since a
// second one would take the effect of the first. SelectBy is the exception: it takes its key
// from a StickyKey beside it.
func (g *Given) Select(option string) error {
	const byKey, byOwn, both = "StickyKey", "SelectBy", "StickyKey and SelectBy"
	switch {
	case g.Selection == "":
		g.Selection = option
	case g.Selection == byKey && option == byOwn, g.Selection == byOwn && option == byKey:
		g.Selection = both
	default:
		return fmt.Errorf("%s and %s: both select the instance; leave one out", g.Selection, option)
	}
	return nil
}

// Check refuses options that would have no effect on a call of the method.
func (g *Given) Check(m *spec.Method) error {
	broadcast := m.Pattern == spec.Broadcast
	switch {
	case g.Stop != "" && !broadcast:
		return fmt.Errorf("%s: %s is no broadcast; leave it out", g.Stop, m.Desc.FullName())
	case g.Selection != "" && broadcast:
		return fmt.Errorf("%s: the broadcast %s goes to all instances; leave it out", g.Selection, m.Desc.FullName())
	case g.Selection != "" && g.Selection != ToInstance && m.Pattern == spec.SingleActive:
		return fmt.Errorf("%s: %s is single active, its calls go to the leader; leave it out", g.Selection, m.Desc.FullName())
	case g.Retry != "" && broadcast:
		return fmt.Errorf("%s: the broadcast %s is sent once; leave it out", g.Retry, m.Desc.FullName())
	case g.Window != "" && !m.Streaming() && m.MaxMessageBytes == 0:
		return fmt.Errorf("%s: %s has no stream; leave it out", g.Window, m.Desc.FullName())
	}
	return nil
}

// CheckService refuses options that would have no effect on any method of the service.
func (g *Given) CheckService(s *spec.Service) error {
	if g.Stop == "" || slices.ContainsFunc(s.Methods, func(m *spec.Method) bool { return m.Pattern == spec.Broadcast }) {
		return nil
	}
	return fmt.Errorf("%s: %s has no broadcast; leave it out", g.Stop, s.Name)
}
