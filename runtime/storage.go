package aegis

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
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

// over is what the proto says, with what the program says instead.
func (s *Storage) over(proto *spec.Storage) spec.Storage {
	c := *proto
	if s.Replicas != 0 {
		c.Replicas = s.Replicas
	}
	if s.MaxAge != 0 {
		c.MaxAge = s.MaxAge
	}
	if s.MaxBytes != 0 {
		c.MaxBytes = s.MaxBytes
	}
	if s.DedupeWindow != 0 {
		c.DedupeWindow = s.DedupeWindow
	}
	if c.MaxAge != 0 {
		c.DedupeWindow = min(c.DedupeWindow, c.MaxAge)
	}
	return c
}

// warnOnce logs each text once: what differs does so whenever it is looked at.
func warnOnce(logger func() *slog.Logger) func(string) {
	return stores.Once(func(text string) { logger().Warn("aegis: " + text) })
}

func (s *Storage) policy(warn func(string)) stores.Policy {
	return stores.Policy{Create: !s.NoCreate, Update: s.Update, Warn: warn}
}

// wanted completes the configuration of a stream: limits refuse what exceeds
// them, and replicas that nobody asks for are those that are there.
func (s *Storage) wanted(cfg *jetstream.StreamConfig, kept *spec.Storage, maxBytes int64) stores.Want {
	cfg.Storage = jetstream.FileStorage
	cfg.Replicas = max(kept.Replicas, 1)
	cfg.MaxBytes = unlimited(maxBytes)
	return stores.Want{StreamConfig: *cfg, ReplicasAsked: kept.Replicas > 0}
}

// spareBytes is the size of results and dead letters where the account requires
// one and nobody says.
const spareBytes = 64 << 20

func spareSize(kept *spec.Storage) int64 {
	if kept.MaxBytes > 0 {
		return kept.MaxBytes
	}
	return spareBytes
}

// eventStream is the stream of the durable events of a service.
func (c *Conn) eventStream(service *spec.Service, s *Storage) stores.Want {
	kept := s.over(service.EventStorage)
	cfg := jetstream.StreamConfig{
		Name:        wire.EventStream(c.ns, service.Name),
		Description: "Aegis: the events of " + service.Name,
		Subjects:    []string{c.subjects.LogAll(service.Name, "")},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxAge:      kept.MaxAge,
		Duplicates:  kept.DedupeWindow,
		AllowDirect: true,
		Metadata:    make(map[string]string),
	}
	for _, m := range service.Methods {
		if m.Event != nil && m.Event.KeyField != nil {
			cfg.Metadata[wire.PartitionsKey(m.Name)] = strconv.Itoa(m.Event.Partitions)
		}
	}
	want := s.wanted(&cfg, &kept, kept.MaxBytes)
	want.Along = []string{wire.DeadStream(c.ns, service.Name), wire.AttemptStream(c.ns, service.Name)}
	want.SizeOption = "set max_bytes in event_storage of the proto, or MaxBytes of aegis.WithStorage for publishers and subscribers"
	return want
}

// attemptStream keeps what is known of the attempts of the durable events of a
// service, as long as the events themselves are kept.
func (c *Conn) attemptStream(service *spec.Service, s *Storage) stores.Want {
	kept := s.over(service.EventStorage)
	want := s.wanted(&jetstream.StreamConfig{
		Name:              wire.AttemptStream(c.ns, service.Name),
		Description:       "Aegis: the attempts of the events of " + service.Name,
		Subjects:          []string{c.subjects.TryAll(service.Name)},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxAge:            kept.MaxAge,
		MaxMsgsPerSubject: 1,
	}, &kept, 0)
	want.SpareBytes = spareBytes
	return want
}

// commandStream is the work queue of a service. It takes schedules, which need
// discard old; with neither age nor size limited, that never discards. With a
// size it refuses what exceeds that, and takes no schedules.
func (c *Conn) commandStream(service *spec.Service, s *Storage) stores.Want {
	kept := s.over(service.CommandStorage)
	cfg := jetstream.StreamConfig{
		Name:              wire.CommandStream(c.ns, service.Name),
		Description:       "Aegis: the commands of " + service.Name,
		Subjects:          c.subjects.Commands(service.Name),
		Retention:         jetstream.WorkQueuePolicy,
		Discard:           jetstream.DiscardOld,
		Duplicates:        kept.DedupeWindow,
		AllowMsgSchedules: true,
		AllowRollup:       true,
	}
	if kept.MaxBytes > 0 {
		cfg.Discard, cfg.AllowMsgSchedules, cfg.AllowRollup = jetstream.DiscardNew, false, false
	}
	want := s.wanted(&cfg, &kept, kept.MaxBytes)
	want.Along = []string{wire.ResultStream(c.ns, service.Name), wire.DeadStream(c.ns, service.Name)}
	want.SizeOption = "set max_bytes in command_storage of the proto, or MaxBytes of aegis.WithStorage for clients and services; " +
		"a queue with a size takes no delayed commands (NotBefore)"
	return want
}

// resultStream keeps the last progress, the result and the cancel of each
// command, for as long as each message says.
func (c *Conn) resultStream(service *spec.Service, s *Storage) stores.Want {
	kept := s.over(service.CommandStorage)
	want := s.wanted(&jetstream.StreamConfig{
		Name:              wire.ResultStream(c.ns, service.Name),
		Description:       "Aegis: the results of the commands of " + service.Name,
		Subjects:          []string{c.subjects.ResultsAll(service.Name)},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		AllowMsgTTL:       true,
		AllowDirect:       true,
	}, &kept, s.ResultsMaxBytes)
	want.SpareBytes = spareSize(&kept)
	want.SizeOption = "set ResultsMaxBytes of aegis.WithStorage for clients and services"
	return want
}

// deadStream is the stream of the dead letters of a service, of events or of
// commands, as those are kept.
func (c *Conn) deadStream(service string, s *Storage, proto *spec.Storage) stores.Want {
	kept := s.over(proto)
	want := s.wanted(&jetstream.StreamConfig{
		Name:        wire.DeadStream(c.ns, service),
		Description: "Aegis: the dead letters of " + service,
		Subjects:    []string{c.subjects.DeadAll(service)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		AllowDirect: true,
	}, &kept, s.DeadLettersMaxBytes)
	want.SpareBytes = spareSize(&kept)
	want.SizeOption = "set DeadLettersMaxBytes of aegis.WithStorage for subscribers and services"
	return want
}

// unlimited is how JetStream writes no limit.
func unlimited(bytes int64) int64 {
	if bytes == 0 {
		return -1
	}
	return bytes
}
