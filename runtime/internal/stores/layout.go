package stores

import (
	"cmp"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
)

// Layout says which streams a service has in a namespace, and how each of them is
// configured.
type Layout struct {
	Namespace string
	Subjects  wire.Subjects // of that namespace
	Replicas  int           // of all streams whose Settings have no number; 0: the proto's
}

// Settings are what a program says of the streams of a service. A setting that is zero
// is left to the proto. The fields are those of aegis.Storage, which describes them.
type Settings struct {
	Replicas            int
	MaxAge              time.Duration
	MaxBytes            int64
	ResultsMaxBytes     int64
	DeadLettersMaxBytes int64
	DedupeWindow        time.Duration
	NoCreate            bool
	Update              bool
}

// Policy returns what may be done about streams that are not as they are wanted.
func (s *Settings) Policy(warn func(string)) Policy {
	return Policy{Create: !s.NoCreate, Update: s.Update, Warn: warn}
}

// kept returns the settings of the proto, with those of the program in their place
// where the program has any.
func (l Layout) kept(s *Settings, proto *spec.Storage) spec.Storage {
	c := *proto
	c.Replicas = cmp.Or(s.Replicas, l.Replicas, c.Replicas)
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

// Events returns the stream of the durable events of a service. Its metadata keep the
// numbers of partitions, as the order of a key depends on them.
func (l Layout) Events(service *spec.Service, s *Settings) Want {
	kept := l.kept(s, service.EventStorage)
	cfg := jetstream.StreamConfig{
		Name:        wire.EventStream(l.Namespace, service.Name),
		Description: "Aegis: the events of " + service.Name,
		Subjects:    []string{l.Subjects.LogAll(service.Name, "")},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxAge:      kept.MaxAge,
		Duplicates:  kept.DedupeWindow,
		AllowDirect: true,
		Metadata:    make(map[string]string),
	}
	log := l.EventLog(service.Name)
	for _, m := range service.Methods {
		if m.Event != nil && m.Event.Durable {
			log.Events = append(log.Events, m.Name)
		}
		if m.Event != nil && m.Event.KeyField != nil {
			cfg.Metadata[wire.PartitionsKey(m.Name)] = strconv.Itoa(m.Event.Partitions)
		}
	}
	want := wanted(&cfg, &kept, kept.MaxBytes)
	want.Log = log
	want.Service = service.Name
	want.Along = []string{wire.DeadStream(l.Namespace, service.Name), wire.AttemptStream(l.Namespace, service.Name)}
	want.SizeOption = "set max_bytes in event_storage of the proto, or MaxBytes of aegis.WithStorage for publishers and subscribers"
	return want
}

// EventLog returns how the stream of the durable events of a service is divided.
func (l Layout) EventLog(service string) *EventLog {
	return &EventLog{Namespace: l.Namespace, Service: service, Subjects: l.Subjects}
}

// Attempts returns the stream of the records of the attempts of a service's durable
// events. A record is kept as long as its event.
func (l Layout) Attempts(service *spec.Service, s *Settings) Want {
	kept := l.kept(s, service.EventStorage)
	want := wanted(&jetstream.StreamConfig{
		Name:              wire.AttemptStream(l.Namespace, service.Name),
		Description:       "Aegis: the attempts of the events of " + service.Name,
		Subjects:          []string{l.Subjects.TryAll(service.Name)},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxAge:            kept.MaxAge,
		MaxMsgsPerSubject: 1,
	}, &kept, 0)
	want.SpareBytes = spareBytes
	return want
}

// Commands returns the work queue of a service. It takes schedules (delayed commands),
// for which NATS requires discard old; as neither age nor size is limited, the stream
// never discards anything. A queue with a size refuses commands beyond it, and takes no
// schedules.
func (l Layout) Commands(service *spec.Service, s *Settings) Want {
	kept := l.kept(s, service.CommandStorage)
	cfg := jetstream.StreamConfig{
		Name:              wire.CommandStream(l.Namespace, service.Name),
		Description:       "Aegis: the commands of " + service.Name,
		Subjects:          l.Subjects.Commands(service.Name),
		Retention:         jetstream.WorkQueuePolicy,
		Discard:           jetstream.DiscardOld,
		Duplicates:        kept.DedupeWindow,
		AllowMsgSchedules: true,
		AllowRollup:       true,
	}
	if kept.MaxBytes > 0 {
		cfg.Discard, cfg.AllowMsgSchedules, cfg.AllowRollup = jetstream.DiscardNew, false, false
	}
	want := wanted(&cfg, &kept, kept.MaxBytes)
	want.Service = service.Name
	want.Along = []string{wire.ResultStream(l.Namespace, service.Name), wire.DeadStream(l.Namespace, service.Name)}
	want.SizeOption = "set max_bytes in command_storage of the proto, or MaxBytes of aegis.WithStorage for clients and services; " +
		"a queue with a size takes no delayed commands (NotBefore)"
	return want
}

// Results returns the stream of the last progress, the result and the cancel of each
// command of a service. Each message says for how long it is kept.
func (l Layout) Results(service *spec.Service, s *Settings) Want {
	kept := l.kept(s, service.CommandStorage)
	want := wanted(&jetstream.StreamConfig{
		Name:              wire.ResultStream(l.Namespace, service.Name),
		Description:       "Aegis: the results of the commands of " + service.Name,
		Subjects:          []string{l.Subjects.ResultsAll(service.Name)},
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

// DeadLetters returns the stream of the dead letters of a service, by its full name.
// Proto is the storage of the events or of the commands that become letters.
func (l Layout) DeadLetters(service string, s *Settings, proto *spec.Storage) Want {
	kept := l.kept(s, proto)
	want := wanted(&jetstream.StreamConfig{
		Name:        wire.DeadStream(l.Namespace, service),
		Description: "Aegis: the dead letters of " + service,
		Subjects:    []string{l.Subjects.DeadAll(service)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		AllowDirect: true,
	}, &kept, s.DeadLettersMaxBytes)
	want.Service = service
	want.SpareBytes = spareSize(&kept)
	want.SizeOption = "set DeadLettersMaxBytes of aegis.WithStorage for subscribers and services"
	return want
}

// wanted completes the configuration of a stream. If neither program nor proto asks for a number of
// replicas, a stream that exists keeps its number.
func wanted(cfg *jetstream.StreamConfig, kept *spec.Storage, maxBytes int64) Want {
	cfg.Storage = jetstream.FileStorage
	cfg.Replicas = max(kept.Replicas, 1)
	cfg.MaxBytes = maxBytes
	if maxBytes == 0 {
		cfg.MaxBytes = -1 // JetStream writes "no limit" like this
	}
	return Want{StreamConfig: *cfg, ReplicasAsked: kept.Replicas > 0}
}

// spareBytes is the size of attempts, results and dead letters if the account requires
// a size and neither program nor proto gives one.
const spareBytes = 64 << 20

// spareSize returns the size of results or dead letters in such an account: that of the
// events or commands that they belong to, if those have one.
func spareSize(kept *spec.Storage) int64 {
	if kept.MaxBytes > 0 {
		return kept.MaxBytes
	}
	return spareBytes
}
