package stores

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// Want is a stream as a service wants it.
type Want struct {
	jetstream.StreamConfig

	// ReplicasAsked says that the program or the proto asks for the number of replicas. A
	// stream that exists gets no fewer than that. Without it any number is good enough.
	ReplicasAsked bool
	// Along has the names of the streams of the same service that get more replicas when
	// this one does: a command is as safe as the least safe of its queue, its result and
	// its dead letter.
	Along []string
	// SpareBytes is the size of the stream if the account requires a size and MaxBytes is
	// not set; 0: that is an error.
	SpareBytes int64
	// Service is the service whose messages the stream has, where people read them; else "".
	Service string
	// SizeOption says to people how MaxBytes is set.
	SizeOption string
	// Log is set for the stream of durable events.
	Log *EventLog
}

// AtLeast returns w with at least as many replicas as another stream of the same service
// has, and with the size of that stream where the account requires a size.
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

// queue reports whether the stream is a work queue, which may drop no message.
func (w *Want) queue() bool { return w.Retention == jetstream.WorkQueuePolicy }

// accepting returns what is wanted of a stream that exists. If no size is wanted, any size
// is good as long as the stream refuses messages beyond it. A queue with a size takes no
// schedules.
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

// Make makes a stream that does not exist, with a size if the account requires one. If
// another process was faster, Make returns the stream that is there.
func (s *Stores) Make(ctx context.Context, want Want) (jetstream.Stream, error) {
	stream, err := s.createStream(ctx, want.StreamConfig)
	if jserror.Code(err) == jserror.MaxBytesRequired && want.MaxBytes <= 0 && want.SpareBytes > 0 {
		want.MaxBytes, want.Discard = want.SpareBytes, jetstream.DiscardNew
		stream, err = s.createStream(ctx, want.StreamConfig)
	}
	if jserror.Code(err) == jserror.SubjectsOverlap && want.Log != nil {
		stream, err = s.makeChanged(ctx, &want, err)
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
