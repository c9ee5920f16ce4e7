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

// AllServices stands for every service of the namespace, as the argument of Instances and
// WatchInstances.
const AllServices = "*"

// Instance is one running instance of a service, as its last heartbeat and its record in
// the registry say.
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
	// Leading are the terms of the groups that the instance leads, by the group's name.
	Leading []Term
	// Unhealthy: a check of the instance fails, and selection strategies do not pick the
	// instance; see WithCheck.
	Unhealthy bool
	// NoRespondersHidden: NATS does not tell the instance when nobody listens, for example
	// because somebody subscribes to everything; its calls to nobody take their whole
	// timeout.
	NoRespondersHidden bool
	// Subscriber: the instance subscribes to the service's events, and is no server of
	// the service; see Subscribers.
	Subscriber bool
	// Descriptors is the hash of the descriptors that the instance serves of its service.
	// Instances with the same hash were built from the same proto. It is "" while the instance
	// starts, and for one that serves none, as with an older version of Aegis.
	Descriptors string
	// Zone, Node, Build and Labels are what the process says of itself, see WithZone,
	// WithNode, WithBuild and WithLabels; "" and nil for what it does not say. Do not change
	// the map.
	Zone, Node, Build string
	Labels            map[string]string
	// Reserved: the instance takes only calls that name it or choose it by a label, see
	// WithReserved.
	Reserved bool
	// Heard is when the last heartbeat of the instance came, by this process's clock. It is
	// zero if none did, and in the changes of WatchInstances.
	Heard time.Time

	metrics json.RawMessage
}

// Health returns the report in the instance's last heartbeat: requests, errors and
// latency of all methods of the service over the last minute, the memory and CPU of the
// process, score, grade and findings. It returns false for an instance that has not been
// heard yet or is of another runtime, and in the changes of WatchInstances.
func (i Instance) Health() (health.Report, bool) {
	r, err := health.DecodeReport(i.metrics)
	return r, err == nil
}

// InstanceChangeKind is the kind of a change of an instance.
type InstanceChangeKind int

// The kinds of changes.
const (
	// InstanceJoined: the instance has started, or was found.
	InstanceJoined InstanceChangeKind = iota + 1
	// InstanceStateChanged: the instance has another state.
	InstanceStateChanged
	// InstanceLeads: the instance leads a group.
	InstanceLeads
	// InstanceStoppedLeading: the instance no longer leads a group.
	InstanceStoppedLeading
	// InstanceLeft: the instance has stopped.
	InstanceLeft
	// InstanceExpired: the instance was not heard any more.
	InstanceExpired
	// InstanceConditionChanged: Unhealthy or NoRespondersHidden of the instance has changed.
	InstanceConditionChanged
)

// String returns the kind as people read it, such as "joined".
func (k InstanceChangeKind) String() string { return registry.Kind(k).String() }

// InstanceChange is one step of one instance. Changes that happen together come as
// several steps: an instance that is lost while it leads first does not lead any
// more, and then expires.
type InstanceChange struct {
	Kind InstanceChangeKind
	// Instance is the instance after this step; for InstanceLeft and InstanceExpired as it
	// was known last.
	Instance Instance
	// Previous is the state before, for InstanceStateChanged.
	Previous State
	// Term is the term that has begun or ended, for InstanceLeads and InstanceStoppedLeading.
	Term Term
}

// Instances returns the instances of a service, ordered by name. For AllServices it
// returns the instances of all services, ordered by service and name, together with the
// subscribers to their events; for the name that Subscribers returns, only the subscribers
// to the events of that service. A service without instances is no error, so take the
// name from the generated constant, such as orderv1aegis.OrderServiceName. If a service
// has no instance, and this program has no generated code of it, the log has one warning,
// as the name may be misspelled.
//
// The first call for a service begins to watch it, and waits for up to 5 s until all
// instances are known; further calls answer from memory, as long as one comes at least
// every 30 s or somebody watches. The error's code is CodeUnavailable if the instances are
// not known in time, CodePermissionDenied if NATS does not allow this user to hear their
// heartbeats, CodeInvalidArgument if service is no full name of a service, and that of ctx
// if it ends before. It wraps ErrConnClosed if the connection is closed.
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
		if one.Heard >= 0 {
			list[i].Heard = c.directory.Time(one.Heard)
		}
	}
	slices.SortFunc(list, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// AskInstances is Instances for a program that looks once: it asks the instances, or only
// those of the given names, how they do, so that Health has the report of now also of an
// instance of which no heartbeat came yet. It waits for the answers up to 1 s, or until ctx
// ends. An instance that has not answered, or is of an older version, is as Instances
// returns it. This user has to be allowed to publish to the liveness subjects, see
// docs/registry.md.
func (c *Conn) AskInstances(ctx context.Context, service string, names ...string) ([]Instance, error) {
	list, err := c.Instances(ctx, service)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(i Instance) bool { return len(names) > 0 && !slices.Contains(names, i.Name) })
	asked := make([]directory.Asked, len(list))
	for i, one := range list {
		asked[i] = directory.Asked{Service: one.Service, Instance: one.Name, Process: one.Process}
		if one.Subscriber {
			asked[i].Service = wire.SubscribersOf(one.Service)
		}
	}
	for i, figures := range directory.Ask(ctx, c.bus, c.subjects.Live, asked) {
		if figures != nil {
			list[i].metrics, list[i].Heard = figures, time.Now()
		}
	}
	return list, nil
}

// Services returns the full names of the services that have instances, in order.
// Subscribers to events do not count as instances. It watches all services, and has the
// errors, as Instances does for AllServices.
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

// WatchInstances returns the changes of a service's instances, or of the instances of all
// services for AllServices, until ctx ends: first an InstanceJoined for each instance of
// now, then each change that follows. The changes always add up to the present instances:
// no change is missed or repeated over a reconnect, and a reader that is thousands of
// changes late gets the difference in their place.
//
// An error is the last element: it is as for Instances, or wraps ErrConnClosed when the
// connection is closed.
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

// directoryView returns the view of a service when it is ready. The caller releases it.
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
		return nil, Errorf(CodeDeadlineExceeded, "%w", err) // the text of err names the missing part
	}
	return nil, Errorf(CodeUnavailable, "%w", err)
}

// doubtName warns of the name of a service without instances, if it may be misspelled.
func (c *Conn) doubtName(service string, instances int) {
	name, _ := wire.ParseSubscribers(service)
	if instances == 0 && service != AllServices && c.specs().Misspelled(name) {
		c.logger.Warn("aegis: the service has no instance, and this program has no generated code of it; is its name misspelled?", "service", name)
	}
}

func publicInstance(r *registry.Record) Instance {
	i := Instance{
		Service: r.Service, Name: r.Instance, Process: r.Process, Version: r.Version,
		State: publicState(r.State), Started: r.Started,
		Unhealthy: r.Unhealthy, NoRespondersHidden: r.NoRespondersHidden, Descriptors: r.Descriptors,
		Zone: r.Zone, Node: r.Node, Build: r.Build, Labels: r.Labels, Reserved: r.Reserved,
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
	case registry.Leads, registry.StoppedLeading:
		change.Term = publicTerm(c.Record.Service, c.Lead)
	default:
	}
	return change
}
