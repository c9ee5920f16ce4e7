package stores

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket says how a KV bucket is kept.
type Bucket struct {
	Replicas int   // 0: as many as the bucket has, 1 if it has to be made
	MaxBytes int64 // of a bucket that has to be made; 0: no limit
	NoCreate bool  // the bucket has to exist
}

// Wanted completes the configuration of a bucket's stream. Spare is the size in accounts
// that require one, and option says to people how a size is set.
func (b Bucket) Wanted(cfg *jetstream.StreamConfig, spare int64, option string) Want {
	cfg.Replicas, cfg.MaxBytes = max(b.Replicas, 1), b.MaxBytes
	return Want{StreamConfig: *cfg, ReplicasAsked: b.Replicas > 0, SpareBytes: spare, SizeOption: option}
}

// FindOrMake finds the stream of a bucket, or makes it if mayMake says so; else the error
// of a bucket that does not exist is jetstream.ErrStreamNotFound.
func (s *Stores) FindOrMake(ctx context.Context, want *Want, mayMake bool, warn func(string)) (jetstream.Stream, error) {
	stream, err := s.info(ctx, want.Name)
	if !mayMake {
		return stream, err
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = s.Make(ctx, *want)
	}
	if err != nil {
		return nil, err
	}
	return s.Raise(ctx, stream, want, warn), nil
}
