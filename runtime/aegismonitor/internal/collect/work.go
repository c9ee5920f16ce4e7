package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/interest"
)

const (
	// workAtOnce is how many services are read at the same time.
	workAtOnce = 4
	// questionTimeout bounds each question to JetStream about a service.
	questionTimeout = 5 * time.Second
)

var workPace = pace{topic: interest.Work, looked: 2 * time.Second, unseen: 15 * time.Second, share: quarter}

// work reads the durable work of all services.
type work struct {
	*Collector

	letters *letters
	told    map[string]bool // the services of which the board knows work; used by run alone
}

func newWork(c *Collector) *work {
	return &work{Collector: c, letters: newLetters(c), told: make(map[string]bool)}
}

// run reads round after round until ctx ends.
func (w *work) run(ctx context.Context) {
	var letters sync.WaitGroup
	letters.Go(func() { w.letters.run(ctx) })
	defer letters.Wait()
	for {
		began := time.Now()
		var err error
		if w.in.Bus.Link.Up() {
			err = w.round(ctx)
		}
		wait := workPace.wait
		if stateOf(err) == monitorapi.SourceDenied {
			wait = waitDenied
		}
		if !wait(ctx, w.interest, began) {
			return
		}
	}
}

// round reads the work of all services once. The error says why not all of it could be read.
func (w *work) round(ctx context.Context) error {
	services, unlisted := w.services(ctx)
	if unlisted != nil && stateOf(unlisted) != monitorapi.SourceDenied {
		w.failed(ctx, unlisted)
		return unlisted
	}
	found, err := w.readAll(ctx, services)
	if ctx.Err() != nil || !w.in.Bus.Link.Up() {
		return ctx.Err()
	}
	if unlisted == nil && err == nil {
		w.forget(services)
	}
	missing := errors.Join(unlisted, err)
	if missing != nil && found == 0 {
		w.failed(ctx, firstOf(unlisted, err))
		return firstOf(unlisted, err)
	}
	if missing == nil {
		w.sources.ready(monitorapi.SourceWork)
	} else {
		w.sources.partly(monitorapi.SourceWork, missing.Error())
	}
	w.letters.catchUp()
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// failed says why nothing of JetStream could be read, and so no dead letter either.
func (w *work) failed(ctx context.Context, err error) {
	w.sources.failed(ctx, monitorapi.SourceWork, err)
	w.sources.failed(ctx, monitorapi.SourceDeadLetters, err)
}

// services returns the services that have durable work. Where this user may not list the
// streams, the error says so, and the services are all that have instances.
func (w *work) services(ctx context.Context) ([]string, error) {
	asking, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	list, err := w.admin.Services(asking)
	if err != nil {
		return w.roster.services(), err
	}
	return list, nil
}

// readAll reads the work of some services, and tells the board. It returns how many have
// some, and why not all could be read.
func (w *work) readAll(ctx context.Context, services []string) (found int, err error) {
	var mu sync.Mutex // guards found, err and told
	var readers sync.WaitGroup
	next := make(chan string)
	for range min(workAtOnce, len(services)) {
		readers.Go(func() {
			for service := range next {
				one, failure := w.read(ctx, service)
				mu.Lock()
				if failure != nil && err == nil {
					err = fmt.Errorf("%s: %w", service, failure)
				}
				if one != nil && ctx.Err() == nil {
					found++
					w.told[service] = true
					w.board.ServiceWork(time.Now(), service, one)
					w.letters.look(service, one.Streams, failure == nil)
				}
				mu.Unlock()
			}
		})
	}
	for _, service := range services {
		next <- service
	}
	close(next)
	readers.Wait()
	return found, err
}

// read reads the work of a service; nil if there is none or nothing of it could be read. The
// error says why some of it could not be read.
func (w *work) read(ctx context.Context, service string) (*board.ServiceWork, error) {
	var one board.ServiceWork
	var failures [3]error
	one.Streams, failures[0] = ask(ctx, service, w.admin.Streams)
	if failures[0] == nil && len(one.Streams) == 0 {
		return nil, nil //nolint:nilnil // it has no stream, and so no work
	}
	if failures[0] == nil || aegis.CodeOf(failures[0]) == aegis.CodePermissionDenied {
		one.Commands, failures[1] = ask(ctx, service, w.admin.CommandMethods)
		one.Work, failures[2] = ask(ctx, service, w.admin.Work)
	}
	err := firstOf(failures[:]...)
	if err != nil && one.Streams == nil && one.Commands == nil && one.Work == nil {
		return nil, err
	}
	return &one, err
}

// ask asks a question about a service with a deadline.
func ask[T any](ctx context.Context, service string, question func(context.Context, string) ([]T, error)) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	return question(ctx, service)
}

// forget tells the board of the services that have no durable work any more.
func (w *work) forget(services []string) {
	for service := range w.told {
		if !slices.Contains(services, service) {
			delete(w.told, service)
			w.board.ServiceWork(time.Now(), service, nil)
			w.letters.forget(service)
		}
	}
}
