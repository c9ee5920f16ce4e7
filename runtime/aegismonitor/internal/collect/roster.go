package collect

import (
	"slices"
	"sync"

	aegis "github.com/aegisrpc/aegis/runtime"
)

// roster has the instances that were read last, for all parts of the collector. It is safe
// for concurrent use.
type roster struct {
	mu    sync.Mutex // guards all
	known bool       // instances were read
	list  []aegis.Instance
	names map[member]string // of instances
}

// member is one process as an instance of a service, or as a subscriber to its events.
type member struct {
	service, process string
	subscriber       bool
}

func newRoster() roster { return roster{} }

// set replaces the instances.
func (r *roster) set(list []aegis.Instance) {
	names := make(map[member]string, len(list))
	for i := range list {
		names[memberOf(&list[i])] = list[i].Name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.list, r.names = true, list, names
}

func memberOf(i *aegis.Instance) member { return member{i.Service, i.Process, i.Subscriber} }

// name returns the name of an instance, if there is such a one.
func (r *roster) name(m member) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, ok := r.names[m]
	return name, ok
}

// all returns the instances, which are not to be changed; false if they are not known.
func (r *roster) all() ([]aegis.Instance, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list, r.known
}

// services returns the names of the services that have an instance or a subscriber, in order.
func (r *roster) services() []string {
	list, _ := r.all()
	var names []string
	for i := range list {
		names = append(names, list[i].Service)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hasService reports whether a service has an instance, as far as instances are known.
func (r *roster) hasService(service string) bool {
	list, known := r.all()
	return !known || slices.ContainsFunc(list, func(i aegis.Instance) bool { return i.Service == service })
}
