package work

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/parts"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// The pauses between attempts to bury a message double from the first to the last.
const (
	firstBuryPause = 100 * time.Millisecond
	lastBuryPause  = 5 * time.Second
)

// Burial brings events to the dead letters, which may refuse them for a while: then an
// event stays with this instance, because its handler must not run again for that. It is
// safe for concurrent use.
type Burial struct {
	letters *DeadLetters
	stream  *LetterStream
	part    *parts.Part
	logger  func() *slog.Logger
	outward func(*status.Status) error

	life    context.Context //nolint:containedctx // of the goroutines below
	giveUp  context.CancelFunc
	running sync.WaitGroup // the goroutine of stream, and one for each event that waits
}

// NewBurial makes a Burial whose problems are those of a part of the server. Without says
// that there are no dead letters, so that no stream is needed for them. Outward makes the
// error of a status that people read. End follows.
func NewBurial(letters *DeadLetters, part *parts.Part, without bool, logger func() *slog.Logger, outward func(*status.Status) error) *Burial {
	b := &Burial{letters: letters, stream: NewLetterStream(letters, part, without), part: part, logger: logger, outward: outward}
	b.life, b.giveUp = context.WithCancel(context.Background())
	return b
}

// Beside tells which stream the letters come from.
func (b *Burial) Beside(source jetstream.Stream) { b.stream.Beside(source) }

// Start looks for the stream of the dead letters, and returns an error only if it can
// never be made. Else it is looked for until it is there.
func (b *Burial) Start(ctx context.Context) error {
	if err := b.stream.Start(ctx); err != nil {
		return err
	}
	b.running.Go(func() { b.stream.Follow(b.life) })
	return nil
}

// Bury adds a letter for the message of a job, and acknowledges the message. Reason is
// for the log. If the dead letters do not take it, Bury parks the message, and tries
// again until they do or the Burial ends.
func (b *Burial) Bury(job *Job, letter *Letter, reason error) {
	_, why := b.letters.Add(job.worker.Base, letter)
	if why == nil {
		b.buried(job, letter, reason)
		return
	}
	b.logger().Error("aegis: an event belongs to the dead letters, which do not take it; it is tried again",
		"sequence", job.Sequence, "err", why.Text(), "reason", reason)
	b.part.Fails(b.outward(why))
	job.Dead(letter.Reason) // should this instance be lost
	job.Park()
	b.running.Go(func() { b.buryLater(job, letter, reason) })
}

// buried acknowledges the message of a letter that the dead letters have taken.
func (b *Burial) buried(job *Job, letter *Letter, reason error) {
	b.part.Works()
	b.logger().Error("aegis: an event went to the dead letters", "sequence", job.Sequence, "attempts", letter.Attempts, "reason", reason)
	job.Done() // if the acknowledgement is lost, the id of the letter tells that the second one is the same
}

// buryLater tries until the dead letters take the letter, or the server ends.
func (b *Burial) buryLater(job *Job, letter *Letter, reason error) {
	for attempt := 1; ; attempt++ {
		if !bus.Wait(b.life, bus.Jitter(min(firstBuryPause<<min(attempt, 10), lastBuryPause))) {
			_ = job.Nak(0) // to another instance
			return
		}
		_, why := b.letters.Add(b.life, letter)
		if why == nil {
			b.buried(job, letter, reason)
			return
		}
		if b.life.Err() == nil {
			b.part.Fails(b.outward(why))
		}
	}
}

// End leaves the events that the dead letters do not take to other instances.
func (b *Burial) End() {
	b.giveUp()
	b.running.Wait()
}
