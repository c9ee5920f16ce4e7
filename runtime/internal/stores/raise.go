package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// A stream that could not be given its replicas is tried again: soon, then after pauses
// that double up to raiseAgain. One that has them is looked at as often as lasting says:
// NATS has no compare-and-set for streams, so that another process that changes something
// else, such as the metadata, and has read the stream before takes the replicas away again.
const (
	raiseAgain = time.Minute
	raiseSoon  = 2 * time.Second
	lasting    = 2
)

// Raise gives a stream the replicas that are asked for, and never takes any away: which
// process comes first must not decide how safe the stream is. If that fails, warn is
// told, and the stream stays as it is. Where it may succeed later, it is tried again in the
// background, where also a stream that has its replicas is looked at for a while.
func (s *Stores) Raise(ctx context.Context, stream jetstream.Stream, want *Want, warn func(string)) jetstream.Stream {
	have := stream.CachedInfo().Config
	switch {
	case !want.ReplicasAsked || have.Replicas == want.Replicas:
		return stream
	case have.Replicas > want.Replicas:
		if _, again := s.raised.LoadOrStore(want.Name+" stays", time.Now()); again {
			return stream
		}
		warn(fmt.Sprintf("the stream %s has %d replicas, which stay, where %d are asked for: "+
			"replicas are never taken away here, use nats stream edit %s --replicas %d",
			want.Name, have.Replicas, want.Replicas, want.Name, want.Replicas))
		return stream
	}
	if at, tried := s.raised.Load(want.Name); tried && time.Since(at.(time.Time)) < raiseAgain { //nolint:forcetypeassert // see below
		return stream
	}
	s.raised.Store(want.Name, time.Now())
	raised, _, err := s.raiseNow(ctx, want.Name, want.Replicas)
	if err != nil {
		warn(fmt.Sprintf("the stream %s stays at %d replicas, where %d are asked for: %v", want.Name, stream.CachedInfo().Config.Replicas, want.Replicas, err))
		if passes(err) {
			s.raiseLater(want)
		}
		return stream
	}
	s.raiseLater(want)
	return raised
}

// passes reports whether an attempt to raise a stream may succeed later: JetStream was
// busy, or has too few servers yet.
func passes(err error) bool {
	return !errors.Is(err, ErrPermission) && jserror.Code(err) != jserror.NotClustered
}

// raiseLater gives the stream its replicas in the background, until it has kept them for a
// while, does not exist any more, or can never have them.
func (s *Stores) raiseLater(want *Want) {
	name, replicas := want.Name, want.Replicas
	if _, tried := s.raising.LoadOrStore(name, true); tried {
		return
	}
	if s.start == nil || !s.start(func(ctx context.Context) {
		defer s.raising.Delete(name)
		seen := 0
		for pause := raiseSoon; seen < lasting && bus.Wait(ctx, pause); pause = min(2*pause, raiseAgain) {
			_, has, err := s.raiseNow(ctx, name, replicas)
			if errors.Is(err, jetstream.ErrStreamNotFound) || err != nil && !passes(err) {
				return
			}
			seen++
			if !has {
				seen = 0
			}
		}
	}) {
		s.raising.Delete(name)
	}
}

// raiseNow gives a stream its replicas, unless it has as many. Of one that is gone, the
// process that makes it anew asks for the replicas.
func (s *Stores) raiseNow(ctx context.Context, name string, replicas int) (stream jetstream.Stream, has bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	end, err := s.turn(ctx, name)
	if err != nil {
		return nil, false, err
	}
	defer end()
	stream, err = s.info(ctx, name) // once more, so that a change that was made meanwhile stays
	if err != nil {
		return nil, false, err
	}
	cfg := stream.CachedInfo().Config
	if cfg.Replicas >= replicas {
		return stream, true, nil
	}
	cfg.Replicas = replicas
	stream, err = s.update(ctx, cfg)
	return stream, false, err
}
