package aegis

import "github.com/aegisrpc/aegis/internal/spec"

// givenOptions are the names of those options in one list that not every method takes; ""
// for an option that is not in the list. As options of a client they hold for the methods
// that take them, so that only the options of a call are checked against its method.
type givenOptions struct {
	selection string // of an instance
	stop      string // of a broadcast
	retry     string
	window    string
}

// selects notes the option that selects the instance. There can be one in a list, since a
// second one would take the effect of the first. SelectBy is the exception: it takes its key
// from a StickyKey beside it.
func (g *givenOptions) selects(option string) error {
	const byKey, byOwn, both = "StickyKey", "SelectBy", "StickyKey and SelectBy"
	switch {
	case g.selection == "":
		g.selection = option
	case g.selection == byKey && option == byOwn, g.selection == byOwn && option == byKey:
		g.selection = both
	default:
		return invalidOption("%s and %s: both select the instance; leave one out", g.selection, option)
	}
	return nil
}

// check refuses options that would have no effect on a call of the method.
func (g *givenOptions) check(m *spec.Method) error {
	broadcast := m.Pattern == spec.Broadcast
	switch {
	case g.stop != "" && !broadcast:
		return invalidOption("%s: %s is no broadcast; leave it out", g.stop, m.Desc.FullName())
	case g.selection != "" && broadcast:
		return invalidOption("%s: the broadcast %s goes to all instances; leave it out", g.selection, m.Desc.FullName())
	case g.selection != "" && g.selection != toInstance && m.Pattern == spec.SingleActive:
		return invalidOption("%s: %s is single active, its calls go to the leader; leave it out", g.selection, m.Desc.FullName())
	case g.retry != "" && broadcast:
		return invalidOption("%s: the broadcast %s is sent once; leave it out", g.retry, m.Desc.FullName())
	case g.window != "" && !m.Streaming() && m.MaxMessageBytes == 0:
		return invalidOption("%s: %s has no stream; leave it out", g.window, m.Desc.FullName())
	}
	return nil
}

// toInstance is the name of the one selecting option that a single active method takes.
const toInstance = "ToInstance"

// checkClientOptions refuses options that would have no effect on any method of the
// service.
func checkClientOptions(s *spec.Service, cfg *clientConfig) error {
	if cfg.storage != (Storage{}) && s.CommandStorage == nil {
		return invalidOption("WithStorage: %s has no command; the storage of events is an option of publishers and subscribers", s.Name)
	}
	if cfg.call.given.stop == "" {
		return nil
	}
	for _, m := range s.Methods {
		if m.Pattern == spec.Broadcast {
			return nil
		}
	}
	return invalidOption("%s: %s has no broadcast; leave it out", cfg.call.given.stop, s.Name)
}
