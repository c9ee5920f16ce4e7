// Package regstore is the KV bucket in which instances are registered, as those
// who register and those who watch use it.
package regstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

const (
	// bucketTTL removes what crashed instances leave. Nobody relies on it.
	bucketTTL   = 5 * time.Minute
	openTimeout = 2 * time.Second
	// requiredBytes is the size of a bucket in an account that requires one.
	requiredBytes = 64 << 20
	// maxValueSize is more than a record ever takes.
	maxValueSize = 64 << 10

	headerOperation = "KV-Operation"
	operationDelete = "DEL"
)

var (
	// ErrRefused is what a write gets whose revision was not the last one.
	ErrRefused = errors.New("wrong last revision")
	// ErrGone is what a write gets that no bucket takes.
	ErrGone = errors.New("nobody takes the record")
	// ErrNotYet is what those get who only read the bucket, before a server has made it.
	ErrNotYet = errors.New("there is no registry yet: the first server that starts makes it")
	// errNoBucket is what those get who may not make the bucket.
	errNoBucket = errors.New("the KV bucket does not exist")
)

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	JetStream *stores.Stores
	Namespace string
	Bucket    stores.Bucket
	Reader    bool         // it never makes the bucket, which is for servers to do
	Warn      func(string) // about a bucket that cannot have the replicas that are asked for
}

// Bucket is the bucket of a namespace. It is safe for concurrent use.
type Bucket struct {
	nc   *nats.Conn
	api  *stores.Stores
	js   jetstream.JetStream
	name string
	o    Options

	mu      sync.Mutex
	stream  jetstream.Stream // nil until it was found
	created int64
}

// New makes a bucket without looking for it.
func New(o Options) *Bucket {
	return &Bucket{nc: o.NATS, api: o.JetStream, js: o.JetStream.JetStream(), name: wire.RegistryBucket(o.Namespace), o: o}
}

func (b *Bucket) streamName() string { return "KV_" + b.name }

func (b *Bucket) prefix() string { return "$KV." + b.name + "." }

// config is a KV bucket that other tools know as one. Direct get is off, as it
// may answer from a replica that is behind, and a compare-and-set begins with a
// read.
func (b *Bucket) wanted() stores.Want {
	return b.o.Bucket.Wanted(&jetstream.StreamConfig{
		Name:              b.streamName(),
		Description:       "Aegis: the instances of services",
		Subjects:          []string{b.prefix() + ">"},
		MaxMsgsPerSubject: 1,
		MaxAge:            bucketTTL,
		MaxMsgSize:        maxValueSize,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		DenyDelete:        true,
		AllowRollup:       true,
	}, requiredBytes, "set MaxBytes of aegis.WithRegistryBucket")
}

// Open finds the bucket, or makes it, and returns when it was made, in
// microseconds: that tells it from one that is made in its place.
func (b *Bucket) Open(ctx context.Context) (created int64, err error) {
	_, created, err = b.open(ctx)
	return created, err
}

func (b *Bucket) open(ctx context.Context) (jetstream.Stream, int64, error) {
	b.mu.Lock()
	stream, created := b.stream, b.created
	b.mu.Unlock()
	if stream != nil {
		return stream, created, nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	want := b.wanted()
	stream, err := b.api.FindOrMake(ctx, &want, !b.o.Bucket.NoCreate, b.warn)
	if b.o.Reader && errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, 0, fmt.Errorf("%w (the KV bucket %s)", ErrNotYet, b.name)
	}
	if b.o.Bucket.NoCreate && errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, 0, fmt.Errorf("%w: %s, and it may not be made here; make it with history 1 and a TTL of 5 minutes", errNoBucket, b.name)
	}
	if err != nil {
		return nil, 0, b.explain(err)
	}
	info := stream.CachedInfo()
	if c := info.Config; c.Mirror != nil || len(c.Sources) > 0 || len(c.Subjects) != 1 || c.Subjects[0] != b.prefix()+">" {
		return nil, 0, fmt.Errorf("the stream %s is no KV bucket of its own (subjects %v); use another namespace (aegis.WithNamespace), or remove it",
			c.Name, c.Subjects)
	}
	created = info.Created.UnixMicro()
	b.mu.Lock()
	b.stream, b.created = stream, created
	b.mu.Unlock()
	return stream, created, nil
}

func (b *Bucket) warn(text string) {
	if b.o.Warn != nil {
		b.o.Warn(text)
	}
}

// Forget makes the next operation look for the bucket again.
func (b *Bucket) Forget() {
	b.mu.Lock()
	b.stream = nil
	b.mu.Unlock()
}

// Entry is what a key holds.
type Entry struct {
	Revision uint64 // 0: the bucket has never had the key
	Absent   bool   // never, or deleted
	Data     []byte
}

// Read returns what a key holds.
func (b *Bucket) Read(ctx context.Context, key string) (Entry, error) {
	stream, _, err := b.open(ctx)
	if err != nil {
		return Entry{}, err
	}
	ctx, why := b.api.Allowed(ctx, "STREAM.MSG.GET."+b.streamName())
	msg, err := stream.GetLastMsgForSubject(ctx, b.prefix()+key)
	err = why(err)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Entry{Absent: true}, nil
	case err != nil:
		b.Forget()
		return Entry{}, b.explain(err)
	}
	return Entry{Revision: msg.Sequence, Absent: deleted(msg.Header, msg.Data), Data: msg.Data}, nil
}

func deleted(header nats.Header, data []byte) bool {
	return header.Get(headerOperation) != "" || len(data) == 0 && header.Get(jetstream.MarkerReasonHeader) != ""
}

// Subject is where a key is written.
func (b *Bucket) Subject(key string) string { return b.api.KV(b.prefix() + key) }

// Write is a compare-and-set over the last revision of the key. It returns the
// new one.
func (b *Bucket) Write(ctx context.Context, key string, data []byte, over uint64) (uint64, error) {
	return b.publish(ctx, &nats.Msg{Subject: b.Subject(key), Data: data}, over)
}

// Delete is a compare-and-set that deletes the key.
func (b *Bucket) Delete(ctx context.Context, key string, over uint64) error {
	_, err := b.publish(ctx, &nats.Msg{Subject: b.Subject(key), Header: nats.Header{headerOperation: {operationDelete}}}, over)
	return err
}

func (b *Bucket) publish(ctx context.Context, msg *nats.Msg, over uint64) (uint64, error) {
	ctx, why := b.api.AllowedTo(ctx, msg.Subject)
	ack, err := b.js.PublishMsg(ctx, msg,
		jetstream.WithExpectStream(b.streamName()),
		jetstream.WithExpectLastSequencePerSubject(over),
		jetstream.WithRetryAttempts(0))
	err = why(err)
	if err == nil {
		return ack.Sequence, nil
	}
	b.Forget()
	if jserror.WrongLastSequence(err) {
		return 0, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return 0, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return 0, b.explain(err)
}

// explain adds what a person can do about it.
func (b *Bucket) explain(err error) error {
	switch {
	case jserror.NotEnabled(err):
		return fmt.Errorf("%w: the registry needs JetStream; %s", err, b.api.Advice())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the JetStream of this account did not answer in time", err)
	}
	return stores.Advise(err)
}
