package stores

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
)

// adjust changes a stream that exists so that it fits, as far as it has to fit and as the
// policy allows. Callers that find at the same time that a stream does not fit change it
// once.
func (s *Stores) adjust(ctx context.Context, stream jetstream.Stream, want Want, p Policy) (jetstream.Stream, error) {
	if want.Log != nil && (p.Create || p.Update) {
		stream = s.finishAll(ctx, stream, want.Log, p)
	}
	_, fits, err := want.next(&stream.CachedInfo().Config, p)
	if err != nil {
		return nil, err
	}
	if want.Log != nil {
		want.Log.compare(&want, stream.CachedInfo().Config.Metadata, p.Warn)
	}
	if !fits {
		if stream, err = s.change(ctx, want, p); err != nil {
			return nil, err
		}
	}
	return s.raise(ctx, stream, &want, p), nil
}

// change changes a stream that does not fit, unless another caller has just done so.
func (s *Stores) change(ctx context.Context, want Want, p Policy) (jetstream.Stream, error) {
	end, err := s.turn(ctx, want.Name)
	if err != nil {
		return nil, s.explain("the stream "+want.Name+" cannot be changed", err)
	}
	defer end()
	p.Warn = func(string) {} // adjust has warned already
	stream, err := s.info(ctx, want.Name)
	if err != nil {
		return nil, s.explain("the stream "+want.Name, err)
	}
	have := stream.CachedInfo().Config
	next, fits, err := want.next(&have, p)
	if fits || err != nil {
		return stream, err
	}
	if len(want.lacks(&have)) > 0 {
		if err := s.newEnough(&want); err != nil {
			return nil, err
		}
	}
	updated, err := s.update(ctx, next)
	if jserror.Code(err) == jserror.SubjectsOverlap && want.Log != nil {
		// Another process has just changed a number of partitions: what was read is no longer
		// so. The next caller finds what is.
		return stream, nil
	}
	if err != nil {
		return nil, s.explain("the stream "+want.Name+" cannot be changed", err)
	}
	if now := updated.CachedInfo().Config; len(want.lacks(&now)) > 0 {
		return nil, s.old(&want) // the NATS server has left out a setting that it does not know
	}
	return updated, nil
}

// turn waits until no other caller in this process changes the stream. The caller calls
// end when it has changed it.
func (s *Stores) turn(ctx context.Context, stream string) (end func(), err error) {
	made, _ := s.turns.LoadOrStore(stream, make(chan struct{}, 1))
	turn := made.(chan struct{}) //nolint:forcetypeassert // nothing else is stored
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next returns the configuration that a stream is to have; fits says that the stream
// fits as it is.
func (w *Want) next(have *jetstream.StreamConfig, p Policy) (next jetstream.StreamConfig, fits bool, err error) {
	if err := w.unworkable(have, p); err != nil {
		return next, false, err
	}
	missing, different, lacking := missingMetadata(have, w), differences(have, w), w.lacks(have)
	subjects := w.uncovered(have)
	if len(different) > 0 && !p.Update {
		p.Warn(fmt.Sprintf("the stream %s exists with other settings, which stay: %s", w.Name, strings.Join(different, ", ")))
		different = nil
	}
	switch {
	case len(lacking) > 0 && !p.Create && !p.Update:
		return next, false, fmt.Errorf("the stream %s %w, and may not be changed here; change it with nats stream edit %s%s",
			w.Name, errLacks, w.Name, flagsText(lacking))
	case len(different)+len(lacking)+len(subjects) == 0 && (len(missing) == 0 || !p.Create):
		return next, true, nil
	}
	next = w.changed(*have, missing, len(different) > 0, len(lacking) > 0)
	next.Subjects = append(slices.Clone(have.Subjects), subjects...)
	return next, false, nil
}

// raise is Raise, if the policy allows it, of a stream and the streams along with it.
func (s *Stores) raise(ctx context.Context, stream jetstream.Stream, want *Want, p Policy) jetstream.Stream {
	if !p.Create && !p.Update {
		return stream
	}
	raised := s.Raise(ctx, stream, want, p.Warn)
	if raised == stream {
		return stream
	}
	for _, name := range want.Along {
		other, err := s.Find(ctx, name)
		if err != nil {
			continue // it does not exist yet, or this user may not see it
		}
		more := Want{ReplicasAsked: other.CachedInfo().Config.Replicas < want.Replicas}
		more.Name, more.Replicas = name, want.Replicas
		s.Raise(ctx, other, &more, p.Warn)
	}
	return raised
}

// errLacks is wrapped if a stream does not allow a feature that is needed, and a change of
// its settings would.
var errLacks = fmt.Errorf("%w: it does not allow all that is needed", ErrDifferent)

// changed returns the configuration of a stream after a change: with the missing metadata,
// and if so with the wanted settings and features.
func (w *Want) changed(have jetstream.StreamConfig, missing map[string]string, settingsToo, featuresToo bool) jetstream.StreamConfig {
	next := have
	next.Metadata = maps.Clone(have.Metadata)
	if next.Metadata == nil {
		next.Metadata = make(map[string]string)
	}
	maps.Copy(next.Metadata, missing)
	if settingsToo {
		for _, setting := range settings() {
			if !setting.equal(&next, &w.StreamConfig) {
				setting.set(&next, &w.StreamConfig)
			}
		}
	}
	if featuresToo {
		next.AllowMsgTTL = next.AllowMsgTTL || w.AllowMsgTTL
		next.AllowDirect = next.AllowDirect || w.AllowDirect
		if w.AllowMsgSchedules {
			// Schedules need discard old; a stream without a limit drops nothing.
			next.AllowMsgSchedules, next.AllowRollup, next.Discard = true, true, w.Discard
		}
	}
	return next
}

// withoutLoss says how people replace a stream that cannot be changed.
func (w *Want) withoutLoss() string {
	return fmt.Sprintf("to keep what is in it, stop those who send, let what is in it be handled, then remove it (nats stream rm %s), and it is made anew; "+
		"or use another namespace (aegis.WithNamespace) beside it until it is empty", w.Name)
}

// unworkable returns an error for a stream that would lose or disorder messages, or does
// not take them.
func (w *Want) unworkable(have *jetstream.StreamConfig, p Policy) error {
	differs := func(what string, has, needs any) error {
		return fmt.Errorf("the stream %s %w: its %s is %v, and %v is needed; %s", w.Name, ErrDifferent, what, has, needs, w.withoutLoss())
	}
	switch {
	case have.Mirror != nil:
		return differs("kind", "a mirror", "a stream of its own")
	case have.Sealed:
		return differs("state", "sealed", "one that takes messages")
	case have.Retention != w.Retention:
		return differs("retention", have.Retention, w.Retention)
	case have.Storage != w.Storage:
		return differs("storage", have.Storage, w.Storage)
	case w.queue() && w.Discard == jetstream.DiscardNew && have.AllowMsgSchedules && p.Update:
		return fmt.Errorf("the stream %s %w: it takes delayed commands (allow_msg_schedules), and NATS lets such a stream have no size that refuses "+
			"what exceeds it; ask for no size, or %s", w.Name, ErrDifferent, w.withoutLoss())
	}
	if missing := w.uncovered(have); len(missing) > 0 && (!w.Log.divided(have.Metadata) || !p.Create && !p.Update) {
		return fmt.Errorf("the stream %s %w: its list of subjects is %v, and %v is needed; add them with nats stream edit %s --subjects %q",
			w.Name, ErrDifferent, have.Subjects, missing, w.Name, strings.Join(append(slices.Clone(have.Subjects), missing...), ","))
	}
	if w.Log != nil {
		if err := w.Log.check(w.Name, have.Metadata); err != nil {
			return fmt.Errorf("%w; give it back those that it had (nats stream edit %s --metadata); %s", err, w.Name, w.withoutLoss())
		}
	}
	return w.dropping(have, p)
}

// uncovered returns the subjects that are needed, and that the stream does not take.
func (w *Want) uncovered(have *jetstream.StreamConfig) []string {
	needed := w.Subjects
	if w.Log.divided(have.Metadata) {
		needed = w.Log.needed(have.Metadata)
	}
	var missing []string
	for _, subject := range needed {
		if !slices.ContainsFunc(have.Subjects, func(filter string) bool { return wire.Covers(filter, subject) }) {
			missing = append(missing, subject)
		}
	}
	return missing
}

// dropping returns an error for a queue that drops commands, unless the policy lets it be
// changed.
func (w *Want) dropping(have *jetstream.StreamConfig, p Policy) error {
	if !w.queue() || p.Update && have.MaxMsgs <= 0 {
		return nil
	}
	var flags []string
	if have.MaxAge > 0 {
		flags = append(flags, "--max-age=0")
	}
	if have.Discard == jetstream.DiscardOld && have.MaxBytes > 0 {
		flags = append(flags, "--max-bytes=-1")
	}
	if have.Discard == jetstream.DiscardOld && have.MaxMsgs > 0 {
		flags = append(flags, "--max-msgs=-1")
	}
	if len(flags) == 0 {
		return nil
	}
	return fmt.Errorf("the stream %s %w: it drops commands that nobody has worked; change that with nats stream edit %s%s",
		w.Name, ErrDifferent, w.Name, flagsText(flags))
}

// flagsText is the end of a command line with flags.
func flagsText(flags []string) string {
	if len(flags) == 0 {
		return ""
	}
	return " " + strings.Join(flags, " ")
}

// missingMetadata returns the wanted entries of the metadata that the stream does not have.
func missingMetadata(have *jetstream.StreamConfig, want *Want) map[string]string {
	missing := make(map[string]string)
	for key, value := range want.Metadata {
		if _, ok := have.Metadata[key]; !ok {
			missing[key] = value
		}
	}
	return missing
}

// setting is a setting of a stream that can be changed at any time.
type setting struct {
	name  string
	equal func(have, want *jetstream.StreamConfig) bool
	value func(c *jetstream.StreamConfig) any
	set   func(have, want *jetstream.StreamConfig)
}

func settings() []setting {
	return []setting{
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
func differences(have *jetstream.StreamConfig, want *Want) []string {
	var found []string
	for _, s := range settings() {
		if !s.equal(have, &want.StreamConfig) {
			found = append(found, fmt.Sprintf("%s is %v in place of %v", s.name, s.value(have), s.value(&want.StreamConfig)))
		}
	}
	return found
}
