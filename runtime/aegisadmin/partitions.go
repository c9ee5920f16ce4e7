package aegisadmin

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// SetPartitions gives a durable event with a key another number of partitions, 1 to 1024, and
// returns all numbers that the event has had, the new one last. It is called once, when every
// program that publishes or handles the event has a release of Aegis that can follow:
// publishers go on with the new partitions, and each group or instance goes on with them when
// it has handled all that is stored in the old ones, so that the order of each key holds.
// Nothing is deleted. The number in the proto of the programs plays no part in this; it is the
// number with which a new stream is made. While the number is being changed, some milliseconds,
// publishing the event waits.
//
// A number that is in force already changes nothing. If SetPartitions fails on the way, the
// event may not be published until the change is done: call it again. Publishers and
// subscribers that may make streams go on with it by themselves.
//
// The code of the error is CodeInvalidArgument for a number that cannot be, and
// CodeFailedPrecondition if the NATS server is older than 2.10, or the event has no key or was
// not used yet; it is CodeNotFound if the service has no stream of events.
func (a *Admin) SetPartitions(ctx context.Context, service, event string, partitions int) ([]int, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	if partitions < 1 || partitions > wire.MostPartitions {
		return nil, aegis.Errorf(aegis.CodeInvalidArgument, "%d partitions: use 1 to %d", partitions, wire.MostPartitions)
	}
	h, err := a.in.Stores.Repartition(ctx, a.in.Layout.EventLog(service), event, partitions)
	if err != nil {
		return nil, a.failedEvents(service, err)
	}
	return h.Numbers, nil
}

// failedEvents is failed for the stream of the events of a service.
func (a *Admin) failedEvents(service string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return aegis.Errorf(aegis.CodeNotFound, "%s has no durable events here, or none was used yet", service)
	}
	return a.failed(err)
}

// Partitions returns all numbers of partitions that the events of a service with a key have
// had, by the names of the events, each with the one in force last. The code of the error is
// CodeNotFound if no durable event of the service was used yet.
func (a *Admin) Partitions(ctx context.Context, service string) (map[string][]int, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	numbers, err := a.in.Stores.Numbers(ctx, a.in.Layout.EventLog(service))
	if err != nil {
		return nil, a.failedEvents(service, err)
	}
	all := make(map[string][]int, len(numbers))
	for event, h := range numbers {
		all[event] = slices.Clone(h.Numbers)
	}
	return all, nil
}
