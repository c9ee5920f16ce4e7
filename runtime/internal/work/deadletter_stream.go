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

// LetterStream finds or makes the stream of the dead letters when a subscription or a
// worker starts: with the first letter it would be too late to find out that the stream
// cannot be made. Until the stream is there, messages are worked all the same, but the
// server is not ready.
type LetterStream struct {
	letters *DeadLetters
	part    *parts.Part
	source  atomic.Pointer[jetstream.StreamConfig] // the stream of the messages; nil until it is there
	found   atomic.Bool
}

// NewLetterStream makes a LetterStream whose problems are those of a part of the server.
// Without says that there are no dead letters, so that no stream is looked for.
func NewLetterStream(letters *DeadLetters, part *parts.Part, without bool) *LetterStream {
	d := &LetterStream{letters: letters, part: part}
	d.found.Store(without)
	return d
}

// Beside tells which stream the messages come from. The stream of their letters gets at
// least as many replicas.
func (d *LetterStream) Beside(source jetstream.Stream) { d.source.Store(&source.CachedInfo().Config) }

// Start looks for the stream, and returns an error only if the stream can never be made.
func (d *LetterStream) Start(ctx context.Context) error {
	err := d.open(ctx)
	if err != nil && !Lasting(err) {
		d.part.Fails(err)
		return nil
	}
	return err
}

// Follow looks for the stream until it is there or life ends.
func (d *LetterStream) Follow(life context.Context) {
	for pause := FirstLook; !d.found.Load(); pause = min(2*pause, LastLook) {
		if !bus.Wait(life, pause) {
			return
		}
		if err := d.open(life); err != nil && life.Err() == nil {
			d.part.Fails(err)
		}
	}
	d.part.Works()
}

// open finds or makes the stream, as soon as the stream of the messages is there.
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

// Lasting reports whether an error about a stream or a consumer does not go away by
// itself, so that a server had better not start. A missing permission may go away:
// permissions change under a server that runs, and the rest of the server works without.
func Lasting(err error) bool {
	return errors.Is(err, stores.ErrMissing) || errors.Is(err, stores.ErrDifferent) || errors.Is(err, stores.ErrConfig)
}
