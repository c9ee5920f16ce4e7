package bucket

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// LostRace reports whether a write was refused as another writer was faster: the last
// revision of the key is not the one that the write was for.
func LostRace(err error) bool { return jserror.WrongLastSequence(err) }

// Gone reports whether no stream has taken a write: the bucket was deleted, or there is
// no JetStream.
func Gone(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// Explain adds to an error what the person can do about it who reads it. The other
// methods of a bucket return explained errors; those of a write are explained once the
// caller has told a lost race from a failure.
func (b *Bucket) Explain(err error) error {
	switch {
	case jserror.NotEnabled(err):
		return fmt.Errorf("%w: %s JetStream; %s", err, b.o.Kind.Needs, b.o.JetStream.Advice())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s", err, b.o.Kind.Unanswered)
	}
	return stores.Advise(err)
}
