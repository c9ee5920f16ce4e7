package aegis

import (
	"log/slog"
	"time"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Storage says how the streams of a service are kept. What is zero is as the
// proto says, and where that says nothing as documented there.
type Storage struct {
	// Replicas is on how many NATS servers: 1, 3 or 5. A stream that exists gets
	// as many, whoever made it and with Update or without, unless NoCreate; while
	// NATS copies what is in it, some seconds, it stores nothing. It is never given
	// fewer. Default: as many as it has, 1 for one that has to be made.
	Replicas int
	// MaxAge is how long an event is kept, at least 1 s. Default 7 days. Not for
	// commands.
	MaxAge time.Duration
	// MaxBytes is how much of events, or of commands that wait, is kept; what would
	// exceed it is refused. Default: no limit but the account's; an account that
	// requires a size (max_bytes_required) needs it. A queue with a size takes no
	// delayed commands (NotBefore), as NATS has no schedules in a stream that
	// refuses.
	MaxBytes int64
	// ResultsMaxBytes is how much of the results of commands is kept; what would
	// exceed it waits with its worker. Default: no limit but the account's; where
	// that requires one, MaxBytes or, without that, 64 MiB. Not for events.
	ResultsMaxBytes int64
	// DeadLettersMaxBytes is how much of the dead letters is kept; what would
	// exceed it waits with its subscriber or worker. Default as of ResultsMaxBytes.
	DeadLettersMaxBytes int64
	// DedupeWindow is for how long a message id is remembered, 1 s to 24 h and
	// at most MaxAge. Default 2 min.
	DedupeWindow time.Duration
	// NoCreate: streams and consumers must exist, and are left as they are. For
	// accounts whose users may not make any.
	NoCreate bool
	// Update: a stream or consumer that exists with other settings is changed.
	// Without it the difference is logged and stays. What cannot be changed is an
	// error in any case.
	Update bool
}

// StorageOption is what WithStorage returns: an option of publishers and
// subscribers, about the events of the service, and of clients and services,
// about its commands.
type StorageOption struct{ storage Storage }

// WithStorage says how the streams of a service are kept where the program
// knows better than the proto.
func WithStorage(s Storage) StorageOption { return StorageOption{s} }

// checkCommands is check for a queue, which must not drop anything.
func (s *Storage) checkCommands() error {
	if s.MaxAge != 0 {
		return invalidOption("max age %v: no command may be dropped; leave it out, or give the send an expiry", s.MaxAge)
	}
	return s.check()
}

func (s *Storage) checkEvents() error {
	if s.ResultsMaxBytes != 0 {
		return invalidOption("max bytes of results %d: events have none", s.ResultsMaxBytes)
	}
	return s.check()
}

func (s *Storage) check() error {
	switch {
	case s.Replicas < 0 || s.Replicas > 5 || s.Replicas != 0 && s.Replicas%2 == 0:
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

// warnOnce logs each text once: what differs does so whenever it is looked at.
func warnOnce(logger func() *slog.Logger) func(string) {
	return stores.Once(func(text string) { logger().Warn("aegis: " + text) })
}

func (s *Storage) policy(warn func(string)) stores.Policy { return s.settings().Policy(warn) }

// settings are the same below the face.
func (s *Storage) settings() *stores.Settings { return (*stores.Settings)(s) }

// layout says which streams the services of the connection's namespace have.
func (c *Conn) layout() stores.Layout { return stores.Layout{Namespace: c.ns, Subjects: c.subjects} }

// deadStream is the stream of the dead letters of a service's events or commands, which
// are kept as proto says.
func (c *Conn) deadStream(service string, s *Storage, proto *spec.Storage) stores.Want {
	return c.layout().DeadLetters(service, s.settings(), proto)
}
