// Package stores is the use of JetStream that is not about working messages: which streams
// a service has (layout.go), finding or making streams and consumers, and saying how one
// that exists differs from what is wanted (differ.go); storing a message and waiting for
// its acknowledgement (store.go), or not waiting (async.go); reading the last message of
// a subject (stored.go).
package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
)

const defaultPrefix = "$JS.API"

// ErrMissing is wrapped if a stream or consumer does not exist and may not be made.
var ErrMissing = errors.New("does not exist")

// ErrDifferent is wrapped if a stream or consumer exists with settings that would lose or
// disorder messages.
var ErrDifferent = errors.New("differs in what cannot be changed")

// ErrConfig is wrapped if a stream cannot be made until an option or the account is
// changed.
var ErrConfig = errors.New("cannot be made as it is configured")

// ErrPermission is wrapped if NATS does not let this user use a part of JetStream's API.
var ErrPermission = errors.New("this user may not use JetStream")

// ErrUnavailable is wrapped if there is no JetStream, or JetStream does not answer.
var ErrUnavailable = errors.New("JetStream is not available")

// Stores is the JetStream of a connection. It is safe for concurrent use.
type Stores struct {
	bus     *bus.Bus
	nc      *nats.Conn
	js      jetstream.JetStream
	denials *denials.Denials
	prefix  string   // of the API's subjects: "$JS.API"
	known   sync.Map // the names of streams that were there
	turns   sync.Map // channels that are full while a stream is changed, by its name
	pending sync.Map // max_ack_pending of consumers that were made here, by their names for people
	raised  sync.Map // when replicas were asked for, by the name of the stream
	raising sync.Map // the names of streams that get replicas later
	start   func(func(context.Context)) bool
	opened  func(Opened)
}

// Opened is a stream with messages of a service that this process has found or made.
type Opened struct {
	Service, Stream string
	Metadata        map[string]string // of the stream
	Left            bool              // the stream is left as it is, see Policy.Create
}

// Background sets the function that starts a goroutine for as long as the connection
// lives, and reports whether it did. Without it nothing is tried again in the background.
// It is called before all other methods.
func (s *Stores) Background(start func(func(context.Context)) bool) { s.start = start }

// OnOpened sets the function that is told of each stream whose Want has a service, every
// time that the stream is found or made. The function must not wait. It is set before all
// other methods are called.
func (s *Stores) OnOpened(f func(Opened)) { s.opened = f }

// New returns the JetStream of a domain, or behind a prefix of its API; of the
// account itself if both are "".
func New(b *bus.Bus, domain, prefix string) (*Stores, error) {
	nc := b.NATS
	s := &Stores{bus: b, nc: nc, denials: b.Denials, prefix: defaultPrefix}
	var err error
	switch {
	case domain != "":
		s.prefix = "$JS." + domain + ".API"
		s.js, err = jetstream.NewWithDomain(nc, domain)
	case prefix != "":
		s.prefix = prefix
		s.js, err = jetstream.NewWithAPIPrefix(nc, prefix)
	default:
		s.js, err = jetstream.New(nc)
	}
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return s, nil
}

// JetStream returns the client of nats.go.
func (s *Stores) JetStream() jetstream.JetStream { return s.js }

// Denials returns the denials of the connection.
func (s *Stores) Denials() *denials.Denials { return s.denials }

// KV returns the subject to which a message for a subject under $KV is sent. NATS keeps
// these subjects within a domain, and takes messages from elsewhere behind the prefix of
// the API.
func (s *Stores) KV(subject string) string {
	if s.prefix == defaultPrefix {
		return subject
	}
	return s.prefix + "." + subject
}

// Next returns the subject of requests for messages of a consumer.
func (s *Stores) Next(stream, consumer string) string {
	return s.prefix + ".CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// Policy says what may be done about streams and consumers that are not as they are
// wanted.
type Policy struct {
	Create bool              // they may be made
	Update bool              // settings that differ may be changed
	Warn   func(text string) // hears of settings that differ and stay
}

// Once returns a function that passes each text to warn once. The function is safe for
// concurrent use.
func Once(warn func(text string)) func(text string) {
	var told sync.Map
	return func(text string) {
		if _, again := told.LoadOrStore(text, true); !again {
			warn(text)
		}
	}
}

// Find finds a stream; jetstream.ErrStreamNotFound is wrapped if there is none.
func (s *Stores) Find(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	stream, err := s.info(ctx, name)
	if err != nil {
		return nil, s.explain("the stream "+name, err)
	}
	return stream, nil
}

// info returns the stream as it is.
func (s *Stores) info(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, why := s.Allowed(ctx, "STREAM.INFO."+name)
	stream, err := s.js.Stream(ctx, name)
	return stream, why(err)
}

// Stream finds a stream, or makes it, and changes it where it has to and may be changed.
func (s *Stores) Stream(ctx context.Context, want Want, p Policy) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultTimeout)
	defer cancel()
	stream, err := s.info(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !p.Create {
			return nil, fmt.Errorf("the stream %s %w and may not be made here; %s", want.Name, ErrMissing, want.recipe())
		}
		stream, err = s.create(ctx, want)
		if errors.Is(err, ErrPermission) {
			return nil, fmt.Errorf("the stream %s does not exist and cannot be made: %w. Or %s", want.Name, err, want.recipe())
		}
	}
	if err != nil {
		return nil, s.explain("the stream "+want.Name, err)
	}
	s.known.Store(want.Name, true)
	stream, err = s.adjust(ctx, stream, want.accepting(&stream.CachedInfo().Config), p)
	if err == nil && want.Service != "" && s.opened != nil {
		s.opened(Opened{Service: want.Service, Stream: want.Name, Metadata: stream.CachedInfo().Config.Metadata, Left: !p.Create})
	}
	return stream, err
}

// afterDeletion is how long a stream that was there is not made anew. While NATS still
// deletes a stream, it deletes the files of a new one of that name as well, which then
// exists and stores nothing (seen with nats-server 2.15).
const afterDeletion = 500 * time.Millisecond

// create makes a stream that does not exist.
func (s *Stores) create(ctx context.Context, want Want) (jetstream.Stream, error) {
	if err := s.newEnough(&want); err != nil {
		return nil, err
	}
	if _, known := s.known.Load(want.Name); known {
		if !bus.Wait(ctx, afterDeletion) {
			return nil, ctx.Err()
		}
	}
	return s.Make(ctx, want)
}

// recipe says how people make the stream by hand.
func (w *Want) recipe() string {
	return fmt.Sprintf("make it with the subjects %s, retention %s, discard %s%s",
		strings.Join(w.Subjects, " "), w.Retention, w.Discard, flagsText(w.lacks(&jetstream.StreamConfig{})))
}

// Advice says what people can do if there is no JetStream.
func (s *Stores) Advice() string {
	if s.prefix == defaultPrefix {
		return "enable it on the NATS servers (jetstream: enabled) and for this account"
	}
	return "nobody answers at " + s.prefix + ".>; check the domain or prefix that this connection was given, and the leaf node or import that leads there"
}

// MsgGet returns the subject on which the leader of a stream is asked for a message.
func (s *Stores) MsgGet(stream string) string { return s.prefix + ".STREAM.MSG.GET." + stream }

// Purge returns the subject on which the leader of a stream is asked to delete messages.
func (s *Stores) Purge(stream string) string { return s.prefix + ".STREAM.PURGE." + stream }
