package work

import (
	"context"

	"github.com/aegisrpc/aegis/runtime/internal/pull"
)

// ErrGoneOn is errGoneOn.
var ErrGoneOn = errGoneOn

// Open is open.
func (s *Partitions) Open(ctx context.Context, epoch, p int) (pull.Source, error) {
	return s.open(ctx, epoch, p)
}

// RemoveFormer is removeFormer for the epoch in force.
func (s *Partitions) RemoveFormer(ctx context.Context) (bool, error) {
	stream, err := s.Stores.Stream(ctx, s.Stream.Want, s.Stream.Policy)
	if err != nil {
		return false, err
	}
	h := s.history(stream)
	return s.removeFormer(ctx, s.walk(), h, h.Last()), nil
}
