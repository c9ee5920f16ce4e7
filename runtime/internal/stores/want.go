package stores

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// Want is a stream as somebody wants it.
type Want struct {
	jetstream.StreamConfig

	// ReplicasAsked: somebody has asked for that number of replicas. A stream that
	// exists gets no fewer than that; without it, any number that is there will do.
	ReplicasAsked bool
	// Along are the streams of the same service that get more replicas when this one
	// does: a command is as safe as the least of queue, result and dead letter.
	Along []string
	// SpareBytes is the size where the account requires one and MaxBytes is not
	// set; 0: that is an error.
	SpareBytes int64
	// SizeOption says to people how MaxBytes is set.
	SizeOption string
}

// AtLeast wants as many replicas as another stream of the same service has, and
// its size where one is required.
func (w *Want) AtLeast(other *jetstream.StreamConfig) Want {
	more := *w
	if other.Replicas > max(w.Replicas, 1) {
		more.Replicas, more.ReplicasAsked = other.Replicas, true
	}
	if other.MaxBytes > 0 {
		more.SpareBytes = other.MaxBytes
	}
	return more
}

// queue reports whether nothing that the stream has may be dropped.
func (w *Want) queue() bool { return w.Retention == jetstream.WorkQueuePolicy }

// accepting is what is wanted of a stream that exists: nobody who sets no size
// minds one that refuses what exceeds it. Such a queue takes no schedules.
func (w *Want) accepting(have *jetstream.StreamConfig) Want {
	as := *w
	if w.MaxBytes > 0 || have.MaxBytes <= 0 || have.Discard != jetstream.DiscardNew {
		return as
	}
	as.MaxBytes, as.Discard = have.MaxBytes, have.Discard
	if w.queue() {
		as.AllowMsgSchedules, as.AllowRollup = have.AllowMsgSchedules, have.AllowRollup
	}
	return as
}

// Make makes a stream that does not exist, with a size if the account requires
// one. If somebody was faster it returns what is there.
func (s *Stores) Make(ctx context.Context, want Want) (jetstream.Stream, error) {
	stream, err := s.createStream(ctx, want.StreamConfig)
	if jserror.Code(err) == jserror.MaxBytesRequired && want.MaxBytes <= 0 && want.SpareBytes > 0 {
		want.MaxBytes, want.Discard = want.SpareBytes, jetstream.DiscardNew
		stream, err = s.createStream(ctx, want.StreamConfig)
	}
	if jserror.Code(err) == jetstream.JSErrCodeStreamNameInUse { // with other settings
		stream, err = s.info(ctx, want.Name)
	}
	if err != nil {
		return nil, s.refused(ctx, &want, err)
	}
	return stream, nil
}

func (s *Stores) createStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, why := s.Allowed(ctx, "STREAM.CREATE."+cfg.Name)
	stream, err := s.js.CreateStream(ctx, cfg)
	return stream, why(err)
}

// update changes a stream.
func (s *Stores) update(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, why := s.Allowed(ctx, "STREAM.UPDATE."+cfg.Name)
	stream, err := s.js.UpdateStream(ctx, cfg)
	return stream, why(err)
}
