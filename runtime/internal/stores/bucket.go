package stores

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// FindOrMake finds the stream of a bucket, or makes it if mayMake says so; else it
// returns jetstream.ErrStreamNotFound.
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
