package aegis

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The pauses between attempts to make the stream of the dead letters.
const (
	firstDeadPause = time.Second
	lastDeadPause  = 30 * time.Second
)

// deadStream keeps an eye on the stream of the dead letters of a subscription or a
// worker. It is looked for when those start, as the first letter would come too
// late to find out that it cannot be made. Until it is there the rest works, and
// the server is not ready.
type deadStream struct {
	letters *deadLetters
	part    *part
	source  atomic.Pointer[jetstream.StreamConfig] // of what the letters come from; nil until that is there
	found   atomic.Bool
}

func newDeadStream(s *Server, letters *deadLetters, logger func() *slog.Logger) *deadStream {
	return &deadStream{letters: letters, part: s.parts.named("the dead letters of "+letters.service, logger)}
}

// beside tells which stream the letters come from: theirs has at least as many
// replicas.
func (d *deadStream) beside(source jetstream.Stream) { d.source.Store(&source.CachedInfo().Config) }

// start looks for the stream, and returns an error only if it never can be made.
func (d *deadStream) start(ctx context.Context) error {
	err := d.open(ctx)
	if err != nil && !lasting(err) {
		d.part.fails(err)
		return nil
	}
	return err
}

// follow tries again until the stream is there.
func (d *deadStream) follow(life context.Context) {
	for pause := firstDeadPause; !d.found.Load(); pause = min(2*pause, lastDeadPause) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-life.Done():
			timer.Stop()
			return
		}
		if err := d.open(life); err != nil && life.Err() == nil {
			d.part.fails(err)
		}
	}
	d.part.works()
}

// open finds or makes the stream, once there is one that letters can come from.
func (d *deadStream) open(ctx context.Context) error {
	source := d.source.Load()
	if source == nil || d.found.Load() {
		return nil
	}
	stream := &d.letters.stream
	_, err := stream.conn.stores.Stream(ctx, stream.Want.AtLeast(source), stream.Policy)
	if err == nil {
		d.found.Store(true)
	}
	return err
}
