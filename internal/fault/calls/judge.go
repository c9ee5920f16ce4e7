//go:build linux

package calls

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/fault/check"
	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	"github.com/aegisrpc/aegis/internal/fault/roles"
	"github.com/aegisrpc/aegis/internal/fault/world"
)

// judge ends a world and judges what it left behind: the histories of all
// processes, and the store.
func judge(ctx context.Context, w *world.World, res *Result) (check.Verdict, error) {
	if err := w.Finish(ctx); err != nil {
		return check.Verdict{}, err
	}
	h, err := collect(ctx, w)
	if err != nil {
		return check.Verdict{}, err
	}
	for _, c := range h.Calls {
		switch c.Outcome {
		case history.Accepted:
			res.Accepted++
		case history.Refused:
			res.Refused++
		case history.Unknown, history.GivenUp:
			res.Unknown++
		}
		if (c.Reason == history.NotActive || c.Reason == history.LeadershipLost) && !w.Excused(c) {
			res.Needless++
		}
	}
	res.StoreLost = res.StoreLost || w.StoreLost
	return check.Judge(h), nil
}

// collect reads all that the processes recorded, and the store.
func collect(ctx context.Context, w *world.World) (h *check.History, err error) {
	h = &check.History{}
	if h.Processes, err = w.Handled(); err != nil {
		return nil, err
	}
	if h.Calls, err = w.Called(); err != nil || w.StoreLost {
		return h, err
	}
	h.Stored, err = stored(ctx, w)
	return h, err
}

// storedWithin bounds the reading of the store.
const storedWithin = 60 * time.Second

// stored reads all that the leaders wrote.
func stored(ctx context.Context, w *world.World) (*check.Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, storedWithin)
	defer cancel()
	stream, err := w.JS.Stream(ctx, roles.StateStream)
	if err != nil {
		return nil, err
	}
	last := stream.CachedInfo().State.LastSeq
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	out := &check.Stored{}
	for seq := uint64(0); seq < last; {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		seq = meta.Sequence.Stream
		var batch faultv1.Batch
		if err := proto.Unmarshal(msg.Data(), &batch); err != nil {
			return nil, err
		}
		out.Writes = append(out.Writes, check.Write{Term: batch.GetTerm()})
		for _, p := range batch.GetPuts() {
			out.Writes = append(out.Writes, check.Write{ID: p.GetId(), Key: p.GetKey(), Term: batch.GetTerm()})
		}
		out.Registers = batch.GetRegisters()
	}
	return out, nil
}
