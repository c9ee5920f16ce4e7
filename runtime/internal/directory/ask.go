package directory

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// askTimeout bounds the wait for the answers of instances.
	askTimeout = time.Second
	// askAtOnce is how many instances are asked at the same time.
	askAtOnce = 64
)

// Asked is an instance that is asked for its figures.
type Asked struct {
	// Service is the name under which the instance is registered.
	Service, Instance, Process string
}

// Ask asks instances, each on the liveness subject of its process, for the figures that its
// heartbeat would carry now. It waits for up to 1 s. An instance that has not answered, or
// is of a version that does not know the question, has none.
func Ask(ctx context.Context, b *bus.Bus, subjectOf func(process string) string, all []Asked) []json.RawMessage {
	deadline := time.Now().Add(askTimeout)
	figures := make([]json.RawMessage, len(all))
	slots := make(chan struct{}, askAtOnce)
	var asking sync.WaitGroup
	for i, one := range all {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			figures[i] = ask(ctx, b, subjectOf(one.Process), one, deadline)
		})
	}
	asking.Wait()
	return figures
}

func ask(ctx context.Context, b *bus.Bus, subject string, one Asked, deadline time.Time) json.RawMessage {
	slot := b.Acquire()
	defer b.Release(slot)
	r := bus.Request{Subject: &subject, Payload: []byte(one.Service), Deadline: deadline, Timed: true, Call: true}
	msg, why := b.RoundTrip(ctx, slot, &r)
	if why != nil {
		return nil
	}
	beat, err := registry.DecodeBeat(one.Service, one.Instance, msg.Data)
	if err != nil || beat.Record.Process != one.Process {
		return nil // NATS says that nobody listens, or the version is an older one
	}
	return beat.Metrics
}
