package aegisadmin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// Work is what is worked together: the commands of a method, or the durable events of a
// method for one group or instance.
type Work struct {
	Service, Method string
	// Group competes for the events, or Instance, a named one, gets all of them; both are
	// "" for commands.
	Group, Instance string
	// Consumers are those of the work, in order of their names: one for each priority or
	// partition.
	Consumers []Consumer
	// PausedUntil is when the last of the paused consumers goes on; zero if none is paused.
	PausedUntil time.Time

	stream string
}

// Commands reports whether the work is the commands of a method.
func (w *Work) Commands() bool { return w.Group == "" && w.Instance == "" }

// Pending returns how many messages were not delivered yet, and underWay how many were and
// are not acknowledged.
func (w *Work) Pending() (pending uint64, underWay int) {
	for _, c := range w.Consumers {
		pending += c.Pending
		underWay += c.UnderWay
	}
	return pending, underWay
}

// Work returns the work of a service that has consumers, in order of methods and groups:
// each that a worker or subscriber has been there for once. Instances without a name of
// their own are not among it, as they are forgotten when they are gone.
func (a *Admin) Work(ctx context.Context, service string) ([]Work, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	var list []*Work
	ns := a.in.Layout.Namespace
	for _, stream := range []string{wire.CommandStream(ns, service), wire.EventStream(ns, service)} {
		err := a.in.Stores.Consumers(ctx, stream, func(info *jetstream.ConsumerInfo) bool {
			w, ok := a.workOf(service, info)
			if !ok {
				return true
			}
			i := slices.IndexFunc(list, func(other *Work) bool {
				return other.Method == w.Method && other.Group == w.Group && other.Instance == w.Instance
			})
			if i < 0 {
				w.stream = stream
				list, i = append(list, &w), len(list)
			}
			list[i].add(consumerOf(info))
			return true
		})
		if err != nil {
			return nil, a.failed(err)
		}
	}
	works := make([]Work, 0, len(list))
	for _, w := range list {
		slices.SortFunc(w.Consumers, func(a, b Consumer) int { return cmp.Compare(a.Name, b.Name) })
		works = append(works, *w)
	}
	slices.SortFunc(works, func(a, b Work) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Instance, b.Instance))
	})
	return works, nil
}

func (w *Work) add(c Consumer) {
	w.Consumers = append(w.Consumers, c)
	if c.PausedUntil.After(w.PausedUntil) {
		w.PausedUntil = c.PausedUntil
	}
}

// workOf tells which work a consumer is of.
func (a *Admin) workOf(service string, info *jetstream.ConsumerInfo) (Work, bool) {
	if method, _, ok := a.parseWorker(service, info); ok {
		return Work{Service: service, Method: method}, true
	}
	rest, ok := strings.CutPrefix(info.Config.FilterSubject, a.in.Layout.Namespace+"."+wire.KindLog+"."+service+".")
	if !ok || info.Config.Durable == "" {
		return Work{}, false
	}
	method, _, _ := strings.Cut(rest, ".")
	// The name of a consumer is that of the group or the instance, the method, and the
	// partition if there are any; a method's name has no dash.
	kind, name, _ := strings.Cut(info.Name, "-")
	i := strings.LastIndex(name, "-"+method)
	if i <= 0 {
		return Work{}, false
	}
	w := Work{Service: service, Method: method}
	switch kind {
	case "g":
		w.Group = name[:i]
	case "i":
		w.Instance = name[:i]
	default:
		return Work{}, false
	}
	return w, true
}

// Pause has NATS deliver nothing of the work until a time: workers and subscribers get
// nothing more, finish what they hold, and go on by themselves then. It stays paused when
// instances start, stop or are deployed anew; a consumer that is deleted, or made for the
// first time while its work is paused, is not paused. Pausing what is paused sets another
// time.
//
// The code of the error is CodeFailedPrecondition if the NATS server is older than 2.11,
// and CodeInvalidArgument if the time is past. If it fails on the way, some of the
// consumers may be paused: pause again, or Resume.
func (a *Admin) Pause(ctx context.Context, w Work, until time.Time) error {
	if !until.After(time.Now()) {
		return aegis.Errorf(aegis.CodeInvalidArgument, "%v is past; work is paused until a time to come", until.Format(time.RFC3339))
	}
	return a.pauseAll(ctx, &w, until)
}

// Resume ends the pause of work at once. It is no error if the work is not paused.
func (a *Admin) Resume(ctx context.Context, w Work) error { return a.pauseAll(ctx, &w, time.Time{}) }

func (a *Admin) pauseAll(ctx context.Context, w *Work, until time.Time) error {
	if err := a.check(w.Service); err != nil {
		return err
	}
	for _, c := range w.Consumers {
		if err := a.in.Stores.Pause(ctx, w.stream, c.Name, until); err != nil {
			return a.failed(err)
		}
	}
	return nil
}
