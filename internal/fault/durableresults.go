//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/gen/fault/v1/faultv1aegis"
	"github.com/aegisrpc/aegis/internal/wire"
)

// resultFollower reads the results as they are stored: of two for one command the
// stream keeps the second.
type resultFollower struct {
	consuming jetstream.ConsumeContext

	mu  sync.Mutex
	all map[uint64]storedResult // by sequence
}

type storedResult struct {
	command string
	header  string // the state
	code    string
	data    []byte
}

func (f *resultFollower) follow(ctx context.Context, js jetstream.JetStream) error {
	f.all = make(map[uint64]storedResult)
	consumer, err := resultConsumer(ctx, js)
	if err != nil {
		return err
	}
	f.consuming, err = consumer.Consume(f.take)
	return err
}

func resultConsumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	return js.OrderedConsumer(ctx, wire.ResultStream(wire.DefaultNamespace, faultv1aegis.DurableServiceName), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{wire.NewSubjects(wire.DefaultNamespace).Result(faultv1aegis.DurableServiceName, "*.*", wire.ResultResult)},
	})
}

func (f *resultFollower) take(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		return // it is none of the stream's
	}
	id, _ := wire.ParseCommandID(msg.Subject(), 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[meta.Sequence.Stream] = storedResult{id, msg.Headers().Get(wire.HeaderState), msg.Headers().Get(wire.HeaderServiceErrorCode), msg.Data()}
}

func (f *resultFollower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *resultFollower) stop() { f.consuming.Stop() }

// kept reads what is stored in the end: the sequences of all results.
func (f *resultFollower) kept(ctx context.Context, js jetstream.JetStream) (map[uint64]bool, error) {
	kept := make(map[uint64]bool)
	consumer, err := resultConsumer(ctx, js)
	if err != nil {
		return nil, err
	}
	left := consumer.CachedInfo().NumPending
	if left == 0 {
		return kept, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for left > 0 {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("read the results: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		f.take(msg)
		kept[meta.Sequence.Stream], left = true, meta.NumPending
	}
	return kept, nil
}

// judged returns all results for the judge.
func (f *resultFollower) judged(kept map[uint64]bool, names map[string]uint64) []check.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	results := []check.Result{}
	for sequence, r := range f.all {
		result := check.Result{Command: r.command, ID: names[r.command], Gone: !kept[sequence]}
		body := new(faultv1.WorkResponse)
		if r.header == wire.StateSucceeded && proto.Unmarshal(r.data, body) == nil {
			result.ID, result.OK, result.Run = body.GetId(), true, body.GetRun()
		} else {
			result.Code, _ = strconv.ParseUint(r.code, 10, 64) // 0 is no code
		}
		results = append(results, result)
	}
	return results
}

// sentCommands reads which command has which id.
func (d *durableRun) sentCommands() (map[uint64]string, error) {
	f, err := os.Open(d.ids)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	ids := make(map[uint64]string)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var number uint64
		var id string
		if _, err := fmt.Sscan(lines.Text(), &number, &id); err != nil {
			return nil, fmt.Errorf("%s: %w", d.ids, err)
		}
		ids[number] = id
	}
	return ids, lines.Err()
}
