package aegis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/health"
	"github.com/aegisrpc/aegis/runtime/internal/directory"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// AllServices is what Instances and WatchInstances take for every service of the
// namespace.
const AllServices = "*"

// Instance is one running instance of a service, as it was heard of last.
type Instance struct {
	// Service is the full name of the service, and Name that of the instance,
	// which ToInstance takes.
	Service, Name string
	// Process identifies the process: new at each start, unlike Name.
	Process string
	// Version is the version of the service, from its proto.
	Version string
	// State is StateStarting, StateRunning or StateStopping.
	State State
	// Started is when the process started, by its own clock.
	Started time.Time
	// Leading are the groups that it leads, by name.
	Leading []Term
	// Unhealthy: a check of the instance says so, and selection strategies do not
	// pick it; see WithCheck.
	Unhealthy bool
	// NoRespondersHidden: NATS does not tell the instance when nobody listens, as
	// somebody subscribes to everything; calls to nobody take their whole timeout.
	NoRespondersHidden bool
	// Subscriber: it subscribes to the service's events, and is no server of the
	// service; see Subscribers.
	Subscriber bool

	metrics json.RawMessage
}

// Health returns what the instance said of itself in its last heartbeat: requests,
// errors and latency of all methods of the service over the last minute, what the
// process uses, score, grade and findings. It is false for an instance that has
// not been heard yet or is of another runtime, and in the changes of WatchInstances.
func (i Instance) Health() (health.Report, bool) {
	r, err := health.DecodeReport(i.metrics)
	return r, err == nil
}

// InstanceChangeKind says what has changed at an instance.
type InstanceChangeKind int

// The kinds of changes.
const (
	// InstanceJoined: the instance is there.
	InstanceJoined InstanceChangeKind = iota + 1
	// InstanceStateChanged: it has another state.
	InstanceStateChanged
	// InstanceLeads: it leads a group.
	InstanceLeads
	// InstanceLeadsNoMore: it no longer leads a group.
	InstanceLeadsNoMore
	// InstanceLeft: it has stopped.
	InstanceLeft
	// InstanceExpired: it was not heard any more.
	InstanceExpired
	// InstanceConditionChanged: its Unhealthy or NoRespondersHidden has changed.
	InstanceConditionChanged
)

// String returns the kind as people read it, such as "joined".
func (k InstanceChangeKind) String() string { return registry.Kind(k).String() }

// InstanceChange is one step of one instance. What happens together comes as
// several steps: an instance that is lost while it leads first does not lead any
// more and then expires.
type InstanceChange struct {
	Kind InstanceChangeKind
	// Instance is as it is after this step; for InstanceLeft and InstanceExpired
	// what was known last.
	Instance Instance
	// Previous is the state before, for InstanceStateChanged.
	Previous State
	// Term is which leadership, for InstanceLeads and InstanceLeadsNoMore.
	Term Term
}

// Instances returns the instances of a service, by name; of all services, by
// service and name and with those who subscribe to their events, for AllServices;
// those alone for what Subscribers returns. There may be none: a service that nobody
// has heard of is no error, so take the name from the generated constant, such as
// orderv1aegis.OrderServiceName. Nobody behind a name that this program has no
// generated code of is a warning in the log, once, as it may be misspelled.
//
// The first call for a service begins to watch it and waits until all is known,
// for up to 5 s; further ones answer from memory, for as long as somebody asks
// at least every 30 s or watches. The error's code is CodeUnavailable if the
// instances are not known in time, CodePermissionDenied if NATS does not allow this
// user to hear their heartbeats, and that of ctx if it ends before.
func (c *Conn) Instances(ctx context.Context, service string) ([]Instance, error) {
	v, err := c.directoryView(ctx, service)
	if err != nil {
		return nil, err
	}
	defer v.Release()
	known := v.Instances()
	c.doubtName(service, len(known))
	list := make([]Instance, len(known))
	for i, one := range known {
		list[i] = publicInstance(one.Record)
		list[i].metrics = one.Metrics
	}
	slices.SortFunc(list, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// Services returns the full names of the services that have instances, in order;
// who only subscribes to events is none.
// It watches all services, as Instances does for AllServices.
func (c *Conn) Services(ctx context.Context) ([]string, error) {
	instances, err := c.Instances(ctx, AllServices)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range instances {
		if n := len(names); !i.Subscriber && (n == 0 || names[n-1] != i.Service) {
			names = append(names, i.Service)
		}
	}
	return names, nil
}

// WatchInstances returns the changes of a service's instances, or of those of
// all services for AllServices: first that each that is there has joined, then
// what happens, until ctx ends. The changes always add up to what is: none is
// missed or repeated over a reconnect, and a reader that is thousands of changes
// late gets the difference in their place.
//
// An error is the last element: the instances are not known in time, as for
// Instances, or the connection was closed (ErrConnClosed).
func (c *Conn) WatchInstances(ctx context.Context, service string) iter.Seq2[InstanceChange, error] {
	return func(yield func(InstanceChange, error) bool) {
		v, err := c.directoryView(ctx, service)
		if err != nil {
			if ctx.Err() == nil {
				yield(InstanceChange{}, err)
			}
			return
		}
		defer v.Release()
		c.doubtName(service, len(v.Instances()))
		w := v.Watch()
		defer w.Close()
		for {
			change, ok := w.Next(ctx)
			if !ok {
				break
			}
			if !yield(publicChange(change), nil) {
				return
			}
		}
		if ctx.Err() == nil {
			yield(InstanceChange{}, connClosed())
		}
	}
}

func (c *Conn) directoryView(ctx context.Context, service string) (*directory.View, error) {
	if service == AllServices {
		service = ""
	} else if err := checkService(service); err != nil {
		return nil, err
	}
	v, err := c.directory.View(ctx, service)
	switch {
	case err == nil:
		return v, nil
	case c.closed() || errors.Is(err, nats.ErrConnectionClosed):
		return nil, connClosed()
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, asError(ctx.Err())
	case errors.Is(err, directory.ErrPermission):
		return nil, Errorf(CodePermissionDenied, "%w", err)
	case ctx.Err() != nil:
		return nil, Errorf(CodeDeadlineExceeded, "%w", err) // which says what is missing
	}
	return nil, Errorf(CodeUnavailable, "%w", err)
}

// doubtName warns of a name behind which nobody is, if it may be misspelled.
func (c *Conn) doubtName(service string, instances int) {
	name, _ := wire.ParseSubscribers(service)
	if instances == 0 && service != AllServices && c.serviceSpecs().misspelled(name) {
		c.logger.Warn("aegis: the service has no instance, and this program has no generated code of it; is its name misspelled?", "service", name)
	}
}

func publicInstance(r *registry.Record) Instance {
	i := Instance{
		Service: r.Service, Name: r.Instance, Process: r.Process, Version: r.Version,
		State: publicState(r.State), Started: r.Started,
		Unhealthy: r.Unhealthy, NoRespondersHidden: r.NoRespondersHidden,
	}
	if service, ok := wire.ParseSubscribers(r.Service); ok {
		i.Service, i.Subscriber = service, true
	}
	for _, l := range r.Leads {
		i.Leading = append(i.Leading, publicTerm(r.Service, l))
	}
	return i
}

func publicTerm(service string, l registry.Lead) Term {
	return Term{Service: service, Group: l.Group, Token: l.Term, Since: l.Since}
}

func publicState(s registry.State) State {
	switch s {
	case registry.Starting:
		return StateStarting
	case registry.Running:
		return StateRunning
	case registry.Stopping:
		return StateStopping
	default:
		return StateStopped
	}
}

func publicChange(c registry.Change) InstanceChange {
	change := InstanceChange{Kind: InstanceChangeKind(c.Kind), Instance: publicInstance(c.Record)}
	switch c.Kind {
	case registry.StateChanged:
		change.Previous = publicState(c.Previous)
	case registry.Leads, registry.LeadsNoMore:
		change.Term = publicTerm(c.Record.Service, c.Lead)
	default:
	}
	return change
}
