package work

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// The pauses between attempts to make a stream double from the first to the last.
const (
	FirstLook = time.Second
	LastLook  = 30 * time.Second
)

// LetterStream keeps an eye on the stream of the dead letters of a subscription or a
// worker. It is looked for when those start, as the first letter would come too
// late to find out that it cannot be made. Until it is there the rest works, and
// the server is not ready.
type LetterStream struct {
	letters *DeadLetters
	part    *parts.Part
	source  atomic.Pointer[jetstream.StreamConfig] // of what the letters come from; nil until that is there
	found   atomic.Bool
}

// NewLetterStream makes one whose troubles are those of a part. Without says that no
// stream is looked for: there are to be no dead letters.
func NewLetterStream(letters *DeadLetters, part *parts.Part, without bool) *LetterStream {
	d := &LetterStream{letters: letters, part: part}
	d.found.Store(without)
	return d
}

// Beside tells which stream the letters come from: theirs has at least as many
// replicas.
func (d *LetterStream) Beside(source jetstream.Stream) { d.source.Store(&source.CachedInfo().Config) }

// Start looks for the stream, and returns an error only if it never can be made.
func (d *LetterStream) Start(ctx context.Context) error {
	err := d.open(ctx)
	if err != nil && !Lasting(err) {
		d.part.Fails(err)
		return nil
	}
	return err
}

// Follow tries again until the stream is there.
func (d *LetterStream) Follow(life context.Context) {
	for pause := FirstLook; !d.found.Load(); pause = min(2*pause, LastLook) {
		if !bus.Sleep(life, pause, time.Now().Add(time.Hour)) {
			return
		}
		if err := d.open(life); err != nil && life.Err() == nil {
			d.part.Fails(err)
		}
	}
	d.part.Works()
}

// open finds or makes the stream, once there is one that letters can come from.
func (d *LetterStream) open(ctx context.Context) error {
	source := d.source.Load()
	if source == nil || d.found.Load() {
		return nil
	}
	stream := &d.letters.Stream
	_, err := d.letters.Stores.Stream(ctx, stream.Want.AtLeast(source), stream.Policy)
	if err == nil {
		d.found.Store(true)
	}
	return err
}

// Lasting tells errors that do not go away by themselves. Permissions do: they change
// under a server that runs, and all else that it does works without them.
func Lasting(err error) bool {
	return errors.Is(err, stores.ErrMissing) || errors.Is(err, stores.ErrDifferent) || errors.Is(err, stores.ErrConfig)
}
