package commandwork

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/pull"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/internal/work"
)

// intake takes the commands of one method out of the queue. It has a consumer for each
// level of priority; where a leader works the commands it has one consumer, which delivers
// one command at a time. It is safe for concurrent use.
type intake struct {
	method  string // its bare name
	name    string // its full name
	ackWait time.Duration
	led     bool // a leader works the commands
	queue   *stores.Stream
	results *commandstore.Results
	letters *work.LetterStream // the stream of the dead letters
	causes  *parts.Causes      // why commands cannot be taken
	levels  work.Levels
}

// names returns the levels from which commands are taken.
func (in *intake) names() []string {
	if in.led {
		return []string{wire.LevelNormal} // a leader works in order
	}
	return wire.Levels()
}

// prepare finds or makes the streams and the consumers. It returns an error only if that
// can never be done; else what fails is tried again in the background.
func (in *intake) prepare(ctx context.Context) error {
	for _, level := range in.names() {
		if _, err := in.open(ctx, level); err != nil {
			if work.Lasting(err) {
				return in.explain(err)
			}
			in.causes.Fails(in.consumer(level), err)
			break
		}
	}
	if err := in.letters.Start(ctx); err != nil {
		return in.explain(err)
	}
	return nil
}

func (in *intake) explain(err error) error {
	return fmt.Errorf("aegis: work the commands of %s: %w", in.name, err)
}

// pullAll begins to take the commands of all levels, the highest first.
func (in *intake) pullAll() error {
	for _, level := range in.names() {
		if err := in.pull(level, nil); err != nil {
			return err
		}
	}
	return nil
}

// pull begins to take the commands of a level, in the name of a leader or of nobody.
func (in *intake) pull(level string, leader Leader) error {
	options := work.Pulling(in.results.Bus, in.results.Stores, in.causes, in.queue.Want.Name, in.consumer(level), in.led)
	options.Open = func(ctx context.Context) (pull.Source, error) { return in.open(ctx, level) }
	if err := in.levels.Add(level, leader, options); err != nil {
		return in.explain(err)
	}
	return nil
}

// leave takes no more commands in the name of the leader.
func (in *intake) leave() {
	for _, level := range in.levels.Leave(leavePatience) {
		in.causes.Works(in.consumer(level)) // its troubles are those of the next leader now
	}
}

// leavePatience bounds how long it takes to tell NATS that no more commands are wanted.
const leavePatience = time.Second

// seek tries until an instance that does not lead could take commands as well, if
// prepare has found that it could not: it pulls none until it leads.
func (in *intake) seek(life context.Context) {
	name := in.consumer(wire.LevelNormal)
	for pause := work.FirstLook; in.causes.Failed(name); pause = min(2*pause, work.LastLook) {
		if !bus.Wait(life, pause) {
			return
		}
		if in.levels.Pulling() {
			continue // this instance leads now, and its puller reports troubles
		}
		if _, err := in.open(life, wire.LevelNormal); err == nil {
			in.causes.Works(name)
		} else if life.Err() == nil {
			in.causes.Fails(name, err)
		}
	}
}

// consumer returns the name of the consumer of a level.
func (in *intake) consumer(level string) string { return wire.WorkerConsumer(in.method, level) }

// open finds or makes the streams and the consumer of a level.
func (in *intake) open(ctx context.Context, level string) (pull.Source, error) {
	js, results := in.results.Stores, &in.results.Stream
	queue, err := js.Stream(ctx, in.queue.Want, in.queue.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	if _, err := js.Stream(ctx, results.Want.AtLeast(&queue.CachedInfo().Config), results.Policy); err != nil {
		return pull.Source{}, err
	}
	results.Found()
	in.letters.Beside(queue)
	name := in.consumer(level)
	want := jetstream.ConsumerConfig{
		Name: name, Durable: name,
		Description:   "Aegis: " + in.name,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       in.ackWait,
		MaxDeliver:    -1, // the runtime counts: what NATS gives up has no result
		MaxAckPending: work.MaxUnacknowledged,
		FilterSubject: in.results.Subjects.CommandsOf(in.results.Service, in.method, level),
	}
	if in.led {
		want.MaxAckPending = 1 // in order, whoever believes to lead
	}
	c, err := js.Consumer(ctx, in.queue.Want.Name, want, in.queue.Policy)
	if err != nil {
		return pull.Source{}, err
	}
	return work.Source(js, c), nil
}
