package aegisadmin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// CommandMethod counts the commands of a method that have not ended.
type CommandMethod struct {
	Service, Method string
	// Scheduled are not due yet, Waiting wait for a worker, and UnderWay were given to a
	// worker: they run, are about to, or wait for their next attempt. Redelivered is how
	// many of those were given to a worker before.
	Scheduled, Waiting, UnderWay, Redelivered int
	// Levels has the numbers of each priority, the highest first. Scheduled commands are
	// not among them.
	Levels []CommandLevel
	// Oldest is when the oldest command that is due was stored; zero for none.
	Oldest time.Time
	// Workers: a worker has worked the method once, so that its consumers exist.
	Workers bool
	// PausedUntil is when the paused work of the method goes on; zero if it is not paused.
	PausedUntil time.Time
}

// CommandLevel counts the commands of a priority.
type CommandLevel struct {
	Priority          string
	Waiting, UnderWay int
}

// CommandMethods counts the commands of each method of a service that has a worker or a
// command, in the order of the names. NATS counts, and takes no longer where more commands
// wait; but it takes some seconds for a million commands that are not due, or of which no
// worker was ever there.
func (a *Admin) CommandMethods(ctx context.Context, service string) ([]CommandMethod, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	q, err := a.lookAtQueue(ctx, service)
	if q == nil || err != nil {
		return nil, err
	}
	methods, err := a.methodsOf(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]CommandMethod, 0, len(methods))
	for _, name := range methods {
		m, err := a.countMethod(ctx, q, name)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// queue is a look at the queue of a service.
type queue struct {
	service   string
	stream    string
	consumers map[string]*jetstream.ConsumerInfo // of workers, by deliveredKey
	scheduled int                                // commands that are not due
	rest      int                                // commands that are neither scheduled nor known to a consumer
}

// looks is how often a queue is looked at, if there is a rest: while commands come and go,
// the numbers of the stream and of its consumers are not of the same moment.
const looks = 3

// lookAtQueue looks at the queue of a service; nil if there is none.
func (a *Admin) lookAtQueue(ctx context.Context, service string) (*queue, error) {
	q := &queue{service: service, stream: wire.CommandStream(a.in.Layout.Namespace, service)}
	for look := range looks {
		var err error
		if q.consumers, err = a.workers(ctx, service); err != nil {
			return nil, err
		}
		stream, err := a.in.Stores.Find(ctx, q.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, nil //nolint:nilnil // no queue
		}
		if err != nil {
			return nil, a.failed(err)
		}
		if look == 0 {
			if q.scheduled, err = a.in.Stores.Subjects(ctx, q.stream, a.subjects(wire.KindCommandAt, service, ">")); err != nil {
				return nil, a.failed(err)
			}
		}
		q.rest = int(min(stream.CachedInfo().State.Msgs, 1<<53)) - q.scheduled
		for _, info := range q.consumers {
			q.rest -= int(min(info.NumPending, 1<<53)) + info.NumAckPending
		}
		if q.rest <= 0 {
			break
		}
	}
	return q, nil
}

// subjects returns subjects of commands of a kind.
func (a *Admin) subjects(kind, service, rest string) string {
	return a.in.Layout.Namespace + "." + kind + "." + service + "." + rest
}

// countMethod counts the commands of a method.
func (a *Admin) countMethod(ctx context.Context, q *queue, name string) (CommandMethod, error) {
	m := CommandMethod{Service: q.service, Method: name}
	subjects := a.in.Layout.Subjects
	var err error
	if q.scheduled > 0 {
		if m.Scheduled, err = a.in.Stores.Subjects(ctx, q.stream, a.subjects(wire.KindCommandAt, q.service, name+".>")); err != nil {
			return m, a.failed(err)
		}
	}
	for _, level := range wire.Levels() {
		l := CommandLevel{Priority: priorities[level]}
		if info := q.consumers[deliveredKey(name, l.Priority)]; info != nil {
			l.Waiting, l.UnderWay = int(min(info.NumPending, 1<<53)), info.NumAckPending
			m.Redelivered += info.NumRedelivered
			m.Workers = true
			if info.Paused && info.Config.PauseUntil != nil {
				m.PausedUntil = *info.Config.PauseUntil
			}
		} else if l.Waiting, err = a.in.Stores.Subjects(ctx, q.stream, subjects.CommandsOf(q.service, name, level)); err != nil {
			return m, a.failed(err)
		}
		m.Waiting += l.Waiting
		m.UnderWay += l.UnderWay
		m.Levels = append(m.Levels, l)
	}
	if m.Waiting+m.UnderWay == 0 {
		return m, nil
	}
	oldest, why := a.in.Stores.From(ctx, q.stream, subjects.CommandsOf(q.service, name, "*"), 1)
	if why != nil {
		return m, a.refused(why)
	}
	if oldest != nil {
		m.Oldest = oldest.Time
	}
	return m, nil
}

// workers returns the consumers of the commands of a service, by deliveredKey.
func (a *Admin) workers(ctx context.Context, service string) (map[string]*jetstream.ConsumerInfo, error) {
	found := make(map[string]*jetstream.ConsumerInfo)
	err := a.in.Stores.Consumers(ctx, wire.CommandStream(a.in.Layout.Namespace, service), func(info *jetstream.ConsumerInfo) bool {
		if method, level, ok := a.parseWorker(service, info); ok {
			found[deliveredKey(method, priorities[level])] = info
		}
		return true
	})
	return found, a.failed(err)
}

// parseWorker reads the method and the level out of what a worker's consumer takes.
func (a *Admin) parseWorker(service string, info *jetstream.ConsumerInfo) (method, level string, ok bool) {
	rest, ok := strings.CutPrefix(info.Config.FilterSubject, a.in.Layout.Namespace+"."+wire.KindCommand+"."+service+".")
	if !ok || !strings.HasPrefix(info.Name, "w-") {
		return "", "", false
	}
	method, rest, _ = strings.Cut(rest, ".")
	level, _, ok = strings.Cut(rest, ".")
	return method, level, ok && priorities[level] != ""
}

// methodsOf returns the methods that have a worker or a command.
func (a *Admin) methodsOf(ctx context.Context, q *queue) ([]string, error) {
	seen := make(map[string]bool)
	for key := range q.consumers {
		method, _, _ := strings.Cut(key, " ")
		seen[method] = true
	}
	if q.rest > 0 {
		if err := a.unknownMethods(ctx, q, wire.KindCommand, seen); err != nil {
			return nil, err
		}
	}
	if q.scheduled > 0 {
		if err := a.unknownMethods(ctx, q, wire.KindCommandAt, seen); err != nil {
			return nil, err
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare)
	return names, nil
}

// unknownMethods adds the methods of commands of a kind that no worker has been there for:
// the queue is read until all that is known accounts for all that there is.
func (a *Admin) unknownMethods(ctx context.Context, q *queue, kind string, seen map[string]bool) error {
	all := a.subjects(kind, q.service, ">")
	left, err := a.in.Stores.Subjects(ctx, q.stream, all)
	if err != nil {
		return a.failed(err)
	}
	account := func(method string) error {
		seen[method] = true
		n, err := a.in.Stores.Subjects(ctx, q.stream, a.subjects(kind, q.service, method+".>"))
		left -= n
		return a.failed(err)
	}
	for method := range seen {
		if err := account(method); err != nil {
			return err
		}
	}
	for next := uint64(1); left > 0; {
		msg, why := a.in.Stores.From(ctx, q.stream, all, next)
		if msg == nil || why != nil {
			return a.refused(why)
		}
		next = msg.Sequence + 1
		if c, ok := a.queued(q.service, msg); ok && !seen[c.Method] {
			if err := account(c.Method); err != nil {
				return err
			}
		}
	}
	return nil
}

// deliveredKey is the key of a method and a priority.
func deliveredKey(method, priority string) string { return method + " " + priority }

// delivered returns up to which sequence the commands of each method and priority were
// given to workers.
func (a *Admin) delivered(ctx context.Context, service string) (map[string]uint64, error) {
	consumers, err := a.workers(ctx, service)
	if err != nil {
		return nil, err
	}
	upTo := make(map[string]uint64, len(consumers))
	for key, info := range consumers {
		upTo[key] = info.Delivered.Stream
	}
	return upTo, nil
}
