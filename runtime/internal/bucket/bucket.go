// Package bucket finds or makes a KV bucket of a namespace, reads it, and writes it by
// compare-and-set. Its users are the records of leaders and those of the registry.
//
// A bucket is used as the stream that it is: nats.go's KeyValue reads from any replica,
// also one that is behind, and a compare-and-set that begins with such a read is lost.
package bucket

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// StreamName returns the name of the stream that a bucket is.
func StreamName(bucket string) string { return "KV_" + bucket }

// SubjectPrefix returns what the subject of each key of a bucket begins with.
func SubjectPrefix(bucket string) string { return "$KV." + bucket + "." }

// Settings are what a person can say of how a bucket is kept.
type Settings struct {
	Replicas int   // 0: as many as the bucket has, and 1 for one that is made
	MaxBytes int64 // of a bucket that is made; 0: no limit
	NoCreate bool  // the bucket is not made, and one that exists is left as it is
}

// Kind is what the buckets of one purpose have in common, in every namespace.
type Kind struct {
	// Description is that of the stream.
	Description string
	// MaxAge is after which time NATS removes a value; 0: never.
	MaxAge time.Duration
	// MaxValueSize is the size of a value that NATS refuses to exceed, in bytes; 0: no
	// limit.
	MaxValueSize int32
	// SpareBytes is the size of a bucket that is made in an account that requires one,
	// and SizeOption how a person sets another one.
	SpareBytes int64
	SizeOption string
	// Timeout bounds the search for the bucket and its making; 0: only the context does.
	Timeout time.Duration
	// Needs begins the explanation of an error where there is no JetStream, such as
	// "the registry needs".
	Needs string
	// Unanswered explains the error where JetStream does not answer.
	Unanswered string
	// Check returns why a bucket that was found cannot be used; prefix is what its
	// subjects have to begin with.
	Check func(c *jetstream.StreamConfig, prefix string) error
}

// Options are those of New.
type Options struct {
	JetStream *stores.Stores
	Kind      *Kind
	Name      string // of the bucket
	Settings  Settings
	Absent    error        // the error where there is no bucket, and none may be made here
	Warn      func(string) // is told why a bucket does not get the replicas that are asked for
}

// Bucket is a KV bucket. It is safe for concurrent use.
type Bucket struct {
	o  Options
	js jetstream.JetStream

	mu    sync.Mutex // guards found
	found *found     // nil until the stream was found, and after ForgetStream
}

// found is the stream of a bucket, as it was when it was found.
type found struct {
	stream  jetstream.Stream
	created time.Time // tells the stream from one that was made in its place
}

// New makes a bucket without looking for its stream.
func New(o Options) *Bucket { return &Bucket{o: o, js: o.JetStream.JetStream()} }

// Name returns the name of the bucket.
func (b *Bucket) Name() string { return b.o.Name }

// StreamName returns the name of its stream.
func (b *Bucket) StreamName() string { return StreamName(b.o.Name) }

// Prefix returns what the subject of each key begins with.
func (b *Bucket) Prefix() string { return SubjectPrefix(b.o.Name) }

// Subject returns the subject to which the value of a key is published.
func (b *Bucket) Subject(key string) string { return b.o.JetStream.KV(b.Prefix() + key) }

// want is the stream as it is made: one that other tools know as a KV bucket, but for
// direct get, which answers from any replica.
func (b *Bucket) want() stores.Want {
	kind, settings := b.o.Kind, b.o.Settings
	return stores.Want{
		StreamConfig: jetstream.StreamConfig{
			Name:              b.StreamName(),
			Description:       kind.Description,
			Subjects:          []string{b.Prefix() + ">"},
			Replicas:          max(settings.Replicas, 1),
			MaxBytes:          settings.MaxBytes,
			MaxMsgsPerSubject: 1,
			MaxAge:            kind.MaxAge,
			MaxMsgSize:        kind.MaxValueSize,
			Discard:           jetstream.DiscardNew,
			Storage:           jetstream.FileStorage,
			DenyDelete:        true,
			AllowRollup:       true,
			AllowDirect:       false,
		},
		ReplicasAsked: settings.Replicas > 0,
		SpareBytes:    kind.SpareBytes,
		SizeOption:    kind.SizeOption,
	}
}

// Open finds the bucket, or makes it unless Settings.NoCreate, and returns when it was
// made: that tells it from a bucket that is made in its place. A bucket that was found
// is not looked for again before ForgetStream.
func (b *Bucket) Open(ctx context.Context) (created time.Time, err error) {
	f, err := b.open(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return f.created, nil
}

func (b *Bucket) open(ctx context.Context) (*found, error) {
	b.mu.Lock()
	f := b.found
	b.mu.Unlock()
	if f != nil {
		return f, nil
	}
	if b.o.Kind.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.o.Kind.Timeout)
		defer cancel()
	}
	want := b.want()
	stream, err := b.o.JetStream.FindOrMake(ctx, &want, !b.o.Settings.NoCreate, b.warn)
	if b.o.Settings.NoCreate && errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, b.o.Absent
	}
	if err != nil {
		return nil, b.Explain(err)
	}
	info := stream.CachedInfo()
	if err := b.o.Kind.Check(&info.Config, b.Prefix()); err != nil {
		return nil, err
	}
	f = &found{stream: stream, created: info.Created}
	b.mu.Lock()
	b.found = f
	b.mu.Unlock()
	return f, nil
}

// Exists asks NATS whether there is the bucket.
func (b *Bucket) Exists(ctx context.Context) (bool, error) {
	want := b.want()
	_, err := b.o.JetStream.FindOrMake(ctx, &want, false, b.warn)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, b.Explain(err)
	}
	return true, nil
}

func (b *Bucket) warn(text string) {
	if b.o.Warn != nil {
		b.o.Warn(text)
	}
}

// ForgetStream makes the next operation look for the stream again, as another one may
// be in its place by now.
func (b *Bucket) ForgetStream() {
	b.mu.Lock()
	b.found = nil
	b.mu.Unlock()
}

// Created asks NATS when the bucket was made, where Open may return what was true
// earlier.
func (b *Bucket) Created(ctx context.Context) (time.Time, error) {
	f, err := b.open(ctx)
	if err != nil {
		return time.Time{}, err
	}
	ctx, why := b.o.JetStream.Allowed(ctx, "STREAM.INFO."+b.StreamName())
	info, err := f.stream.Info(ctx)
	if err = why(err); err != nil {
		b.ForgetStream()
		return time.Time{}, b.Explain(err)
	}
	return info.Created, nil
}

// Entry is what a bucket has under a key.
type Entry struct {
	Revision uint64 // of the key's last value; 0: the bucket has never had the key
	Absent   bool   // the bucket has never had the key, or the key was deleted
	Data     []byte
}

const (
	headerOperation = "KV-Operation"
	operationDelete = "DEL"
)

// EntryOf returns the entry that a message of the stream makes.
func EntryOf(revision uint64, header nats.Header, data []byte) Entry {
	deleted := header.Get(headerOperation) != "" || len(data) == 0 && header.Get(jetstream.MarkerReasonHeader) != ""
	return Entry{Revision: revision, Absent: deleted, Data: data}
}

// Read asks the leader of the stream what the bucket has under a key.
func (b *Bucket) Read(ctx context.Context, key string) (Entry, error) {
	f, err := b.open(ctx)
	if err != nil {
		return Entry{}, err
	}
	ctx, why := b.o.JetStream.Allowed(ctx, "STREAM.MSG.GET."+b.StreamName())
	msg, err := f.stream.GetLastMsgForSubject(ctx, b.Prefix()+key)
	err = why(err)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Entry{Absent: true}, nil
	case err != nil:
		b.ForgetStream()
		return Entry{}, b.Explain(err)
	}
	return EntryOf(msg.Sequence, msg.Header, msg.Data), nil
}

// Write gives a key a value, if the last revision of the key is still the given one, 0
// for a key that the bucket has never had. It returns the new revision. The value is
// sent once: after an error it may be stored or not, unless [LostRace] or [Gone] says
// that it is not. Write does not look for the bucket: Open does, before and after one
// that is Gone. Errors are as nats.go makes them, see [Bucket.Explain].
func (b *Bucket) Write(ctx context.Context, key string, data []byte, over uint64) (revision uint64, err error) {
	return b.publish(ctx, &nats.Msg{Subject: b.Subject(key), Data: data}, over)
}

// Delete deletes a key under the same condition.
func (b *Bucket) Delete(ctx context.Context, key string, over uint64) error {
	_, err := b.publish(ctx, &nats.Msg{Subject: b.Subject(key), Header: nats.Header{headerOperation: {operationDelete}}}, over)
	return err
}

func (b *Bucket) publish(ctx context.Context, msg *nats.Msg, over uint64) (uint64, error) {
	ctx, why := b.o.JetStream.AllowedTo(ctx, msg.Subject)
	ack, err := b.js.PublishMsg(ctx, msg,
		jetstream.WithExpectStream(b.StreamName()),
		jetstream.WithExpectLastSequencePerSubject(over),
		jetstream.WithRetryAttempts(0))
	if err = why(err); err != nil {
		if !LostRace(err) {
			b.ForgetStream()
		}
		return 0, err
	}
	return ack.Sequence, nil
}
