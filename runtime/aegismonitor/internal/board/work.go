package board

import (
	"slices"
	"time"

	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
)

// ServiceWork is the durable work of a service.
type ServiceWork struct {
	Commands []aegisadmin.CommandMethod
	Work     []aegisadmin.Work
	Streams  []aegisadmin.Stream
}

// durable is the durable work of a service.
type durable struct {
	queues        map[string]*queue // by method
	subscriptions map[subscriptionKey]*subscription
	streams       []aegisadmin.Stream
	left          int // what there was no room for
}

// queue is the commands of a method.
type queue struct {
	counts   aegisadmin.CommandMethod
	asked    bool // a worker asks for commands, or has some; true if that is not known
	waiting  figures.Gauge
	pace     pace
	starving time.Time // since when commands wait and no worker asks; zero for not so
}

type subscriptionKey struct{ method, group, instance string }

// subscription is the durable events of a method for a group or a named instance.
type subscription struct {
	work     aegisadmin.Work
	lag      figures.Gauge
	pace     pace
	starving time.Time
}

func (d *durable) empty() bool {
	return len(d.queues) == 0 && len(d.subscriptions) == 0 && len(d.streams) == 0
}

// ServiceWork takes in the durable work of a service; nil for a service that has none any more.
func (b *Board) ServiceWork(now time.Time, service string, w *ServiceWork) {
	b.mu.Lock()
	defer b.unlock()
	if w == nil || len(w.Commands)+len(w.Work)+len(w.Streams) == 0 {
		if s := b.services[service]; s != nil && !s.work.empty() {
			s.work = durable{}
			b.changed()
		}
		return
	}
	s := b.service(service)
	if s == nil {
		return
	}
	d := &s.work
	d.left = 0
	d.streams = fitting(w.Streams, maxQueues-b.others(s, func(o *durable) int { return len(o.streams) }), &d.left)
	d.takeQueues(now, w, maxQueues-b.others(s, func(o *durable) int { return len(o.queues) }))
	d.takeSubscriptions(now, w, maxQueues-b.others(s, func(o *durable) int { return len(o.subscriptions) }))
	b.changed()
}

// others counts something of all services but one.
func (b *Board) others(but *service, count func(*durable) int) (n int) {
	for _, s := range b.services {
		if s != but {
			n += count(&s.work)
		}
	}
	return n
}

// fitting returns a copy of what there is room for, and counts the rest.
func fitting[T any](list []T, room int, left *int) []T {
	if room = max(room, 0); len(list) > room {
		*left += len(list) - room
		list = list[:room]
	}
	return slices.Clone(list)
}

// takeQueues takes in the commands of each method.
func (d *durable) takeQueues(now time.Time, w *ServiceWork, room int) {
	before := d.queues
	d.queues = map[string]*queue{}
	added := streamOf(w.Streams, "commands")
	for _, c := range fitting(w.Commands, room, &d.left) {
		q := before[c.Method]
		if q == nil {
			q = &queue{}
		}
		c.Levels = slices.Clone(c.Levels)
		c.Scheduled, c.Waiting, c.UnderWay, c.Redelivered = max(c.Scheduled, 0), max(c.Waiting, 0), max(c.UnderWay, 0), max(c.Redelivered, 0)
		q.counts = c
		q.waiting.Set(now, float64(c.Waiting))
		r := countsOf(now, workOf(w.Work, c.Method))
		q.asked = !r.known || r.requests > 0 || c.UnderWay > 0
		r.held = uint64(c.Waiting) + uint64(c.UnderWay)
		if added != nil && len(w.Commands) == 1 && c.Scheduled == 0 {
			r.stored, r.storedKnown = added.LastSequence, true
		}
		q.pace.add(r)
		q.starving = begin(q.starving, now, c.Waiting > 0 && !q.asked)
		d.queues[c.Method] = q
	}
}

// takeSubscriptions takes in the durable events of each group and instance.
func (d *durable) takeSubscriptions(now time.Time, w *ServiceWork, room int) {
	before := d.subscriptions
	d.subscriptions = map[subscriptionKey]*subscription{}
	for _, one := range w.Work {
		if one.Commands() {
			continue
		}
		if len(d.subscriptions) >= room {
			d.left++
			continue
		}
		key := subscriptionKey{one.Method, one.Group, one.Instance}
		s := before[key]
		if s == nil {
			s = &subscription{}
		}
		one.Consumers = slices.Clone(one.Consumers)
		s.work = one
		lag, underWay := one.Pending()
		s.lag.Set(now, float64(lag))
		r := countsOf(now, &s.work)
		s.pace.add(r)
		s.starving = begin(s.starving, now, lag > 0 && r.requests == 0 && underWay == 0)
		d.subscriptions[key] = s
	}
}

// begin returns since when something lasts: since before that, since now, or not at all.
func begin(since, now time.Time, lasts bool) time.Time {
	switch {
	case !lasts:
		return time.Time{}
	case since.IsZero():
		return now
	default:
		return since
	}
}

func streamOf(list []aegisadmin.Stream, kind string) *aegisadmin.Stream {
	for i := range list {
		if list[i].Kind == kind {
			return &list[i]
		}
	}
	return nil
}

// workOf returns the consumers of the commands of a method; nil if it has none.
func workOf(list []aegisadmin.Work, method string) *aegisadmin.Work {
	for i := range list {
		if list[i].Method == method && list[i].Commands() {
			return &list[i]
		}
	}
	return nil
}
