package aegis

import (
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Storage says how the streams of a service are kept. A field that is zero leaves the
// setting to the proto, and where the proto does not set it either, to the default below.
type Storage struct {
	// Replicas is the number of NATS servers that keep a stream: 1, 3 or 5. A stream that
	// exists with fewer gets as many, with Update or without, unless NoCreate is set;
	// while NATS copies its messages, some seconds, the stream stores nothing. A stream is
	// never given fewer replicas. Default: that of WithReplicas, then of the proto, then as
	// many as the stream has, 1 for a stream that has to be made.
	Replicas int
	// MaxAge is how long an event is kept, at least 1 s. Default 7 days. It is an error
	// for commands.
	MaxAge time.Duration
	// MaxBytes is the size in bytes of the stream of events, or of the queue of commands;
	// a message that would exceed it is refused. Default: no limit but the account's. An
	// account that requires a size (max_bytes_required) needs it. A queue with a size
	// takes no delayed commands (NotBefore), as NATS has no schedules in a stream that
	// refuses messages.
	MaxBytes int64
	// ResultsMaxBytes is the size in bytes of the stream of the results of commands; a
	// result that would exceed it waits with its worker. Default: no limit but the
	// account's; in an account that requires a size, MaxBytes or, if that is not set,
	// 64 MiB. It is an error for events.
	ResultsMaxBytes int64
	// DeadLettersMaxBytes is the size in bytes of the stream of the dead letters; a letter
	// that would exceed it waits with its subscriber or worker. Default as of
	// ResultsMaxBytes.
	DeadLettersMaxBytes int64
	// DedupeWindow is how long the id of a message is remembered, 1 s to 24 h and at most
	// MaxAge. Default 2 min.
	DedupeWindow time.Duration
	// NoCreate says that streams and consumers must exist, and are left as they are. It is
	// for users that may not make any. Default: they are made when they are first needed.
	NoCreate bool
	// Update says that a stream or consumer that exists with other settings is changed.
	// Default: the difference is logged, and the settings stay. A difference that cannot
	// be changed and matters is an error in any case.
	Update bool
}

// StorageOption is the type of WithStorage: an option of publishers and subscribers, for
// the events of the service, and of clients and services, for its commands.
type StorageOption struct{ storage Storage }

// WithStorage sets how the streams of a service are kept, where the program knows better
// than the proto. Default: as the proto says.
func WithStorage(s Storage) StorageOption { return StorageOption{s} }

// checkCommands is check for the storage of commands.
func (s *Storage) checkCommands() error {
	if s.MaxAge != 0 {
		return invalidOption("max age %v: no command may be dropped; leave it out, or give the send an expiry", s.MaxAge)
	}
	return s.check()
}

// checkEvents is check for the storage of events.
func (s *Storage) checkEvents() error {
	if s.ResultsMaxBytes != 0 {
		return invalidOption("max bytes of results %d: events have none", s.ResultsMaxBytes)
	}
	return s.check()
}

func (s *Storage) check() error {
	switch {
	case !replicated(s.Replicas):
		return invalidOption("replicas %d: use 1, 3 or 5", s.Replicas)
	case s.MaxAge != 0 && s.MaxAge < time.Second:
		return invalidOption("max age %v: use at least 1s", s.MaxAge)
	case s.MaxBytes < 0 || s.ResultsMaxBytes < 0 || s.DeadLettersMaxBytes < 0:
		return invalidOption("max bytes %d, of results %d, of dead letters %d: must not be negative", s.MaxBytes, s.ResultsMaxBytes, s.DeadLettersMaxBytes)
	case s.DedupeWindow != 0 && (s.DedupeWindow < time.Second || s.DedupeWindow > 24*time.Hour):
		return invalidOption("dedupe window %v: use 1s to 24h", s.DedupeWindow)
	case s.MaxAge != 0 && s.DedupeWindow > s.MaxAge:
		return invalidOption("dedupe window %v: is more than the max age of %v", s.DedupeWindow, s.MaxAge)
	}
	return nil
}

// warnOnce logs each text once: a setting that differs is found whenever the stream is
// looked for.
func warnOnce(logger func() *slog.Logger) func(string) {
	return stores.Once(func(text string) { logger().Warn("aegis: " + text) })
}

func (s *Storage) policy(warn func(string)) stores.Policy { return s.settings().Policy(warn) }

// settings returns the same below the face.
func (s *Storage) settings() *stores.Settings { return (*stores.Settings)(s) }

// layout returns which streams the services of the connection's namespace have.
func (c *Conn) layout() stores.Layout {
	return stores.Layout{Namespace: c.ns, Subjects: c.subjects, Replicas: c.replicas}
}

// deadStream returns the stream of the dead letters of a service's events or commands,
// which are kept as proto says.
func (c *Conn) deadStream(service string, s *Storage, proto *spec.Storage) stores.Want {
	return c.layout().DeadLetters(service, s.settings(), proto)
}
