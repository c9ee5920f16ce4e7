// Package stores finds or makes the streams and consumers that a service needs,
// and says how what exists differs from what is wanted.
package stores

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

const (
	apiTimeout    = 5 * time.Second
	defaultPrefix = "$JS.API"
)

// ErrMissing is wrapped if something does not exist that may not be made.
var ErrMissing = errors.New("does not exist")

// ErrDifferent is wrapped if something exists in a way that cannot be worked
// with.
var ErrDifferent = errors.New("differs in what cannot be changed")

// ErrPermission is wrapped if the user may not use JetStream.
var ErrPermission = errors.New("this user may not use JetStream")

// ErrUnavailable is wrapped if there is no JetStream, or it does not answer.
var ErrUnavailable = errors.New("JetStream is not available")

// Stores is the JetStream of a connection. It is safe for concurrent use.
type Stores struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	prefix string // "$JS.API"
	known  sync.Map
}

// New returns the JetStream of a domain, or behind a prefix of its API; of the
// account itself if both are "".
func New(nc *nats.Conn, domain, prefix string) (*Stores, error) {
	s := &Stores{nc: nc, prefix: defaultPrefix}
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

// JetStream returns it.
func (s *Stores) JetStream() jetstream.JetStream { return s.js }

// KV is where a message for a subject under $KV is sent. NATS keeps these subjects
// within a domain, and takes them from elsewhere behind the prefix of its API.
func (s *Stores) KV(subject string) string {
	if s.prefix == defaultPrefix {
		return subject
	}
	return s.prefix + "." + subject
}

// Next is where messages of a consumer are asked for.
func (s *Stores) Next(stream, consumer string) string {
	return s.prefix + ".CONSUMER.MSG.NEXT." + stream + "." + consumer
}

// Policy says what may be done about what is not as it is wanted.
type Policy struct {
	Create bool
	Update bool
	Warn   func(text string) // about what differs and was left so
}

// Find finds a stream; jetstream.ErrStreamNotFound is wrapped if there is none.
func (s *Stores) Find(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := s.Permitted(ctx, name); err != nil {
		return nil, err
	}
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return nil, s.explain("the stream "+name, err)
	}
	return stream, nil
}

// Stream finds the stream, or makes it.
func (s *Stores) Stream(ctx context.Context, want jetstream.StreamConfig, p Policy) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if err := s.Permitted(ctx, want.Name); err != nil {
		return nil, err
	}
	stream, err := s.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !p.Create {
			return nil, fmt.Errorf("the stream %s %w and may not be made here; make it with the subjects %s, retention %s, discard %s",
				want.Name, ErrMissing, strings.Join(want.Subjects, " "), want.Retention, want.Discard)
		}
		stream, err = s.create(ctx, want)
	}
	if err != nil {
		return nil, s.explain("the stream "+want.Name, err)
	}
	s.known.Store(want.Name, true)
	return s.adjust(ctx, stream, want, p)
}

// afterDeletion is how long a stream that was there is not made anew: while NATS
// still deletes one, it takes the files of the next one with it, which then
// exists and stores nothing (seen with nats-server 2.15).
const afterDeletion = 500 * time.Millisecond

func (s *Stores) create(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	if _, known := s.known.Load(want.Name); known {
		timer := time.NewTimer(afterDeletion)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	stream, err := s.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody was faster, with other settings
		return s.js.Stream(ctx, want.Name)
	}
	return stream, err
}

// adjust makes a stream that exists fit, as far as it has to and may.
func (s *Stores) adjust(ctx context.Context, stream jetstream.Stream, want jetstream.StreamConfig, p Policy) (jetstream.Stream, error) {
	have := stream.CachedInfo().Config
	if err := immutable(have, want); err != nil {
		return nil, err
	}
	next, missing, different := have, lacking(have, want), differences(&have, &want)
	if len(different) > 0 && !p.Update {
		p.Warn(fmt.Sprintf("the stream %s exists with other settings, which stay: %s", want.Name, strings.Join(different, ", ")))
		different = nil
	}
	if len(different) == 0 && (len(missing) == 0 || !p.Create) {
		return stream, nil
	}
	next.Metadata = maps.Clone(have.Metadata)
	if next.Metadata == nil {
		next.Metadata = make(map[string]string)
	}
	maps.Copy(next.Metadata, missing)
	if len(different) > 0 {
		for _, setting := range settings() {
			setting.set(&next, &want)
		}
	}
	updated, err := s.js.UpdateStream(ctx, next)
	if err != nil {
		return nil, s.explain("the stream "+want.Name+" cannot be changed", err)
	}
	return updated, nil
}

// immutable returns what cannot be worked with.
func immutable(have, want jetstream.StreamConfig) error {
	differs := func(what string, has, needs any) error {
		return fmt.Errorf("the stream %s %w: its %s is %v, and %v is needed; use another namespace, or delete the stream with what is in it",
			want.Name, ErrDifferent, what, has, needs)
	}
	switch {
	case have.Mirror != nil:
		return differs("kind", "a mirror", "a stream of its own")
	case have.Sealed:
		return differs("state", "sealed", "one that takes messages")
	case have.Retention != want.Retention:
		return differs("retention", have.Retention, want.Retention)
	case have.Storage != want.Storage:
		return differs("storage", have.Storage, want.Storage)
	case want.AllowMsgTTL && !have.AllowMsgTTL:
		return differs("allow_msg_ttl", have.AllowMsgTTL, want.AllowMsgTTL)
	case want.AllowMsgSchedules && !have.AllowMsgSchedules:
		return differs("allow_msg_schedules", have.AllowMsgSchedules, want.AllowMsgSchedules)
	}
	for _, subject := range want.Subjects {
		if !slices.ContainsFunc(have.Subjects, func(filter string) bool { return covers(filter, subject) }) {
			return differs("list of subjects", have.Subjects, want.Subjects)
		}
	}
	for key, value := range want.Metadata {
		if has, ok := have.Metadata[key]; ok && has != value {
			return differs(key, has, value)
		}
	}
	return nil
}

// covers reports whether all subjects of a filter are among those of another.
func covers(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s) || s[i] == ">":
			return false
		case token != "*" && token != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

// lacking are the entries of the metadata that the stream does not have.
func lacking(have, want jetstream.StreamConfig) map[string]string {
	missing := make(map[string]string)
	for key, value := range want.Metadata {
		if _, ok := have.Metadata[key]; !ok {
			missing[key] = value
		}
	}
	return missing
}

// setting is one that can be changed at any time.
type setting struct {
	name  string
	equal func(have, want *jetstream.StreamConfig) bool
	value func(c *jetstream.StreamConfig) any
	set   func(have, want *jetstream.StreamConfig)
}

func settings() []setting {
	return []setting{
		{
			"replicas", func(h, w *jetstream.StreamConfig) bool { return h.Replicas == w.Replicas },
			func(c *jetstream.StreamConfig) any { return c.Replicas },
			func(h, w *jetstream.StreamConfig) { h.Replicas = w.Replicas },
		},
		{
			"max_age", func(h, w *jetstream.StreamConfig) bool { return h.MaxAge == w.MaxAge },
			func(c *jetstream.StreamConfig) any { return c.MaxAge },
			func(h, w *jetstream.StreamConfig) { h.MaxAge = w.MaxAge },
		},
		{
			"max_bytes", func(h, w *jetstream.StreamConfig) bool { return max(h.MaxBytes, 0) == max(w.MaxBytes, 0) },
			func(c *jetstream.StreamConfig) any { return max(c.MaxBytes, 0) },
			func(h, w *jetstream.StreamConfig) { h.MaxBytes = w.MaxBytes },
		},
		{
			"max_msgs_per_subject", func(h, w *jetstream.StreamConfig) bool {
				return max(h.MaxMsgsPerSubject, 0) == max(w.MaxMsgsPerSubject, 0)
			},
			func(c *jetstream.StreamConfig) any { return max(c.MaxMsgsPerSubject, 0) },
			func(h, w *jetstream.StreamConfig) { h.MaxMsgsPerSubject = w.MaxMsgsPerSubject },
		},
		{
			"duplicate_window", func(h, w *jetstream.StreamConfig) bool { return w.Duplicates == 0 || h.Duplicates == w.Duplicates },
			func(c *jetstream.StreamConfig) any { return c.Duplicates },
			func(h, w *jetstream.StreamConfig) { h.Duplicates = w.Duplicates },
		},
		{
			"discard", func(h, w *jetstream.StreamConfig) bool { return h.Discard == w.Discard },
			func(c *jetstream.StreamConfig) any { return c.Discard },
			func(h, w *jetstream.StreamConfig) { h.Discard = w.Discard },
		},
	}
}

// differences names the settings that differ, with both values.
func differences(have, want *jetstream.StreamConfig) []string {
	var found []string
	for _, s := range settings() {
		if !s.equal(have, want) {
			found = append(found, fmt.Sprintf("%s is %v in place of %v", s.name, s.value(have), s.value(want)))
		}
	}
	return found
}

// Permitted finds out at once whether NATS lets this user ask; nats.go would
// wait for an answer that never comes.
func (s *Stores) Permitted(ctx context.Context, stream string) error {
	before := s.nc.LastError()
	subject := s.prefix + ".STREAM.INFO." + stream
	if err := s.nc.Publish(subject, nil); err != nil {
		return err
	}
	if err := s.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("%w: NATS does not answer: %w", ErrUnavailable, err)
	}
	last := s.nc.LastError()
	if last != before && errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), subject) { //nolint:errorlint // is it another one?
		return fmt.Errorf("%w; see the least permissions in docs/protocol.md: %w", ErrPermission, last)
	}
	return nil
}

// explain adds what a person can do about it.
func (s *Stores) explain(what string, err error) error {
	switch {
	case jserror.NotEnabled(err):
		return fmt.Errorf("%s: %w: %s: %w", what, ErrUnavailable, s.Advice(), err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: it did not answer in time, or this user may not use all of its API: %w", what, ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Advice is what to do if there is no JetStream.
func (s *Stores) Advice() string {
	if s.prefix == defaultPrefix {
		return "enable it on the NATS servers (jetstream: enabled) and for this account"
	}
	return "nobody answers at " + s.prefix + ".>; check the domain or prefix that this connection was given, and the leaf node or import that leads there"
}

// MsgGet is where the leader of a stream is asked for a message.
func (s *Stores) MsgGet(stream string) string { return s.prefix + ".STREAM.MSG.GET." + stream }

// Purge is where the leader of a stream is asked to delete messages.
func (s *Stores) Purge(stream string) string { return s.prefix + ".STREAM.PURGE." + stream }
