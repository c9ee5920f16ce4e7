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
// that double up to raiseAgain.
const (
	raiseAgain = time.Minute
	raiseSoon  = 2 * time.Second
)

// Raise gives a stream the replicas that are asked for, and never takes any away: which
// process comes first must not decide how safe the stream is. If that fails, warn is
// told, and the stream stays as it is; where it may succeed later, it is tried again in
// the background.
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
	have.Replicas = want.Replicas
	raised, err := s.update(ctx, have)
	if err != nil {
		warn(fmt.Sprintf("the stream %s stays at %d replicas, where %d are asked for: %v", want.Name, stream.CachedInfo().Config.Replicas, want.Replicas, err))
		if passes(err) {
			s.raiseLater(want)
		}
		return stream
	}
	return raised
}

// passes reports whether an attempt to raise a stream may succeed later: JetStream was
// busy, or has too few servers yet.
func passes(err error) bool {
	return !errors.Is(err, ErrPermission) && jserror.Code(err) != jserror.NotClustered
}

// raiseLater tries again in the background until the stream has its replicas, does not
// exist any more, or can never have them.
func (s *Stores) raiseLater(want *Want) {
	name, replicas := want.Name, want.Replicas
	if _, tried := s.raising.LoadOrStore(name, true); tried {
		return
	}
	if s.start == nil || !s.start(func(ctx context.Context) {
		defer s.raising.Delete(name)
		for pause := raiseSoon; bus.Wait(ctx, pause); pause = min(2*pause, raiseAgain) {
			if err := s.raiseNow(ctx, name, replicas); err == nil || !passes(err) {
				return
			}
		}
	}) {
		s.raising.Delete(name)
	}
}

// raiseNow gives a stream its replicas, unless it has as many or is gone.
func (s *Stores) raiseNow(ctx context.Context, name string, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	stream, err := s.info(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // the process that makes it anew asks for its replicas
	}
	if err != nil {
		return err
	}
	cfg := stream.CachedInfo().Config
	if cfg.Replicas >= replicas {
		return nil
	}
	cfg.Replicas = replicas
	_, err = s.update(ctx, cfg)
	return err
}
