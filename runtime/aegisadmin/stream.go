package aegisadmin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
)

// Stream is one of the streams of a service.
type Stream struct {
	Service string
	// Kind is "events", "commands", "results", "dead" or "attempts".
	Kind string
	Name string
	// Messages and Bytes are what is stored.
	Messages, Bytes uint64
	// MaxBytes, MaxMessages and MaxAge are the limits; 0 for none.
	MaxBytes, MaxMessages int64
	MaxAge                time.Duration
	// Refuses: a full stream refuses what comes; else it drops the oldest.
	Refuses bool
	// Replicas is how many NATS servers have the stream, Leader the one that leads it, ""
	// where there is but one, and Behind those that are offline or not current.
	Replicas int
	Leader   string
	Behind   []string
	// FirstSequence and LastSequence, and the times of these messages; zero in an empty
	// stream.
	FirstSequence, LastSequence uint64
	First, Last                 time.Time
	// Consumers are those of the stream, in order of their names.
	Consumers []Consumer
}

// Consumer is a consumer of a stream.
type Consumer struct {
	Name string
	// Pending is how many messages were not delivered yet: its lag. UnderWay were delivered
	// and are not acknowledged, at most MaxUnderWay; Redelivered of them more than once.
	Pending               uint64
	UnderWay, MaxUnderWay int
	Redelivered           int
	// Floor is the sequence up to which all messages were acknowledged, and Delivered the
	// last one that was delivered.
	Floor, Delivered uint64
	// Deliveries is how many deliveries there were since the consumer was made, repeated ones
	// among them.
	Deliveries uint64
	// Requests is how many requests for messages wait: 0 while nobody asks.
	Requests int
	// LastDelivery and LastAck are when that last happened; zero for never since the
	// consumer's leader was chosen.
	LastDelivery, LastAck time.Time
	AckWait               time.Duration
	// PausedUntil is when a paused consumer goes on; zero if it is not paused.
	PausedUntil time.Time
}

// Streams returns the streams that a service has, those that exist, with their consumers:
// of events, commands, results, dead letters and attempts in this order.
func (a *Admin) Streams(ctx context.Context, service string) ([]Stream, error) {
	if err := a.check(service); err != nil {
		return nil, err
	}
	ns := a.in.Layout.Namespace
	var list []Stream
	for _, s := range []struct{ kind, name string }{
		{kindEvents, wire.EventStream(ns, service)},
		{kindCommands, wire.CommandStream(ns, service)},
		{kindResults, wire.ResultStream(ns, service)},
		{kindDead, wire.DeadStream(ns, service)},
		{kindAttempts, wire.AttemptStream(ns, service)},
	} {
		handle, err := a.in.Stores.Find(ctx, s.name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, a.failed(err)
		}
		stream := streamOf(service, s.kind, handle.CachedInfo())
		if s.kind == kindEvents || s.kind == kindCommands {
			if stream.Consumers, err = a.consumers(ctx, s.name); err != nil {
				return nil, err
			}
		}
		list = append(list, stream)
	}
	return list, nil
}

func (a *Admin) consumers(ctx context.Context, stream string) ([]Consumer, error) {
	var list []Consumer
	err := a.in.Stores.Consumers(ctx, stream, func(info *jetstream.ConsumerInfo) bool {
		list = append(list, consumerOf(info))
		return true
	})
	slices.SortFunc(list, func(a, b Consumer) int { return cmp.Compare(a.Name, b.Name) })
	return list, a.failed(err)
}

func streamOf(service, kind string, info *jetstream.StreamInfo) Stream {
	c, state := &info.Config, &info.State
	s := Stream{
		Service: service, Kind: kind, Name: c.Name, Messages: state.Msgs, Bytes: state.Bytes,
		MaxBytes: max(c.MaxBytes, 0), MaxMessages: max(c.MaxMsgs, 0), MaxAge: c.MaxAge,
		Refuses: c.Discard == jetstream.DiscardNew, Replicas: max(c.Replicas, 1),
		LastSequence: state.LastSeq,
	}
	if state.Msgs > 0 {
		s.FirstSequence, s.First, s.Last = state.FirstSeq, state.FirstTime, state.LastTime
	}
	if info.Cluster != nil && s.Replicas > 1 {
		s.Leader = info.Cluster.Leader
		for _, r := range info.Cluster.Replicas {
			if r.Offline || !r.Current {
				s.Behind = append(s.Behind, r.Name)
			}
		}
	}
	return s
}

func consumerOf(info *jetstream.ConsumerInfo) Consumer {
	c := Consumer{
		Name: info.Name, Pending: info.NumPending, UnderWay: info.NumAckPending, MaxUnderWay: max(info.Config.MaxAckPending, 0),
		Redelivered: info.NumRedelivered, Floor: info.AckFloor.Stream, Delivered: info.Delivered.Stream,
		Deliveries: info.Delivered.Consumer, Requests: info.NumWaiting, AckWait: info.Config.AckWait,
	}
	if info.Delivered.Last != nil {
		c.LastDelivery = *info.Delivered.Last
	}
	if info.AckFloor.Last != nil {
		c.LastAck = *info.AckFloor.Last
	}
	if info.Paused && info.Config.PauseUntil != nil {
		c.PausedUntil = *info.Config.PauseUntil
	}
	return c
}
