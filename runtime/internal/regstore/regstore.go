// Package regstore is the KV bucket in which instances are registered, as it is used by
// the instances that register and by the clients that watch them.
package regstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

var (
	// ErrRefused is wrapped by the error of a write whose revision was not the last one.
	ErrRefused = errors.New("wrong last revision")
	// ErrGone is wrapped by the error of a write that no bucket takes.
	ErrGone = errors.New("nobody takes the record")
	// ErrNotYet is wrapped by the error of a reader, before a server has made the bucket.
	ErrNotYet = errors.New("there is no registry yet: the first server that starts makes it")
	// errNoBucket is wrapped by the error of a server that may not make the bucket.
	errNoBucket = errors.New("the KV bucket does not exist")
)

// bucketKind is the kind of bucket that has the records of instances.
var bucketKind = bucket.Kind{
	Description:  "Aegis: the instances of services",
	MaxAge:       5 * time.Minute, // removes what crashed instances leave; nothing relies on it
	MaxValueSize: 64 << 10,        // more than a record ever takes
	SpareBytes:   64 << 20,
	SizeOption:   "set MaxBytes of aegis.WithRegistryBucket",
	Timeout:      2 * time.Second,
	Needs:        "the registry needs",
	Unanswered:   "the JetStream of this account did not answer in time",
	Check:        check,
}

// check refuses a bucket that has values of others.
func check(c *jetstream.StreamConfig, prefix string) error {
	if c.Mirror != nil || len(c.Sources) > 0 || len(c.Subjects) != 1 || c.Subjects[0] != prefix+">" {
		return fmt.Errorf("the stream %s is no KV bucket of its own (subjects %v); use another namespace (aegis.WithNamespace), or remove it",
			c.Name, c.Subjects)
	}
	return nil
}

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	JetStream *stores.Stores
	Namespace string
	Bucket    bucket.Settings
	Reader    bool         // the user only reads, and never makes the bucket, as servers do
	Warn      func(string) // is told why a bucket does not get the replicas that are asked for
}

// Bucket is the bucket of a namespace. It is safe for concurrent use.
type Bucket struct {
	*bucket.Bucket

	nc *nats.Conn
}

// New makes a bucket without looking for it.
func New(o Options) *Bucket {
	name := wire.RegistryBucket(o.Namespace)
	absent := fmt.Errorf("%w: %s, and it may not be made here; make it with history 1 and a TTL of 5 minutes", errNoBucket, name)
	if o.Reader {
		o.Bucket.NoCreate = true
		absent = fmt.Errorf("%w (the KV bucket %s)", ErrNotYet, name)
	}
	return &Bucket{nc: o.NATS, Bucket: bucket.New(bucket.Options{
		JetStream: o.JetStream, Kind: &bucketKind, Name: name, Settings: o.Bucket, Absent: absent, Warn: o.Warn,
	})}
}

// Open finds the bucket, or makes it, and returns when it was made, in microseconds: that
// tells it from a bucket that is made in its place.
func (b *Bucket) Open(ctx context.Context) (created int64, err error) {
	at, err := b.Bucket.Open(ctx)
	if err != nil {
		return 0, err
	}
	return at.UnixMicro(), nil
}

// Write is a compare-and-set over the last revision of the key, and returns the new one.
// The error wraps [ErrRefused] or [ErrGone] where the value is not stored for certain.
func (b *Bucket) Write(ctx context.Context, key string, data []byte, over uint64) (revision uint64, err error) {
	revision, err = b.Bucket.Write(ctx, key, data, over)
	return revision, b.outcome(err)
}

// Delete is a compare-and-set that deletes the key. Its errors are those of Write.
func (b *Bucket) Delete(ctx context.Context, key string, over uint64) error {
	return b.outcome(b.Bucket.Delete(ctx, key, over))
}

// outcome returns the error of a write as this package documents it.
func (b *Bucket) outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case bucket.LostRace(err):
		b.ForgetStream() // it may be another stream that has a revision of its own
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case bucket.Gone(err):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return b.Explain(err)
}
