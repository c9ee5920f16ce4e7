// Package descstore keeps the descriptors of a service beside what is stored of it, so that
// its events, commands and dead letters can be read when no instance runs any more: the set
// in a KV bucket, under its hash, and the hash in the metadata of the streams.
package descstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/descset"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// bucketBytes is the size of the bucket where the account requires one.
const bucketBytes = 8 << 20

// kind is the kind of bucket that has sets of descriptors. A set is never removed: what is
// stored may be as old as it likes, and a set takes some 10 KB.
var kind = bucket.Kind{
	Description: "Aegis: the descriptors of what is stored",
	SpareBytes:  bucketBytes,
	SizeOption:  "make the bucket by hand, with the size that the account allows",
	Timeout:     stores.DefaultTimeout,
	Needs:       "stored descriptors need",
	Unanswered:  "the JetStream of this account did not answer in time",
	Check: func(c *jetstream.StreamConfig, prefix string) error {
		if len(c.Subjects) != 1 || c.Subjects[0] != prefix+">" {
			return fmt.Errorf("the stream %s is no KV bucket of its own (subjects %v)", c.Name, c.Subjects)
		}
		return nil
	},
}

var errNoBucket = errors.New("there are no stored descriptors")

// Options are those of New.
type Options struct {
	Stores    *stores.Stores
	Namespace string
	Sets      *descset.Sets
	Replicas  int // of the bucket; 0: as many as it has, and 1 for one that is made
	// Start starts a goroutine whose context ends with the connection, and reports whether
	// the connection is still open.
	Start  func(func(ctx context.Context)) bool
	Logger *slog.Logger
}

// Keeper keeps the descriptors of the services whose streams a connection opens. All of that
// happens in the background, some time after the stream was opened, and once: a failure is
// logged, and nothing but the next process that opens the stream tries again. A Keeper is
// safe for concurrent use.
type Keeper struct {
	o Options

	mu      sync.Mutex // guards the fields below
	running bool       // a goroutine takes what is due
	due     []stores.Opened
	done    map[string]bool // the streams that have the hash
	failed  map[string]bool // those that do not get it from this process
	stored  map[string]bool // the hashes whose sets are in the bucket
	told    map[string]bool // the errors that were logged
}

// New makes a keeper.
func New(o Options) *Keeper {
	return &Keeper{o: o, done: make(map[string]bool), failed: make(map[string]bool), stored: make(map[string]bool), told: make(map[string]bool)}
}

// keepDelay keeps the work apart from the start of a process; it varies, as many instances
// may start at once.
const keepDelay = 500 * time.Millisecond

// Opened takes note of a stream that was found or made. It does not wait.
func (k *Keeper) Opened(s stores.Opened) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// A stream without the hash that had it was made anew.
	if k.failed[s.Stream] || k.done[s.Stream] && s.Metadata[wire.DescriptorsKey] != "" || len(k.due) >= maxDue {
		return
	}
	k.due = append(k.due, s)
	if !k.running {
		k.running = k.o.Start(k.run)
	}
}

// maxDue bounds what waits: a stream that is lost again and again is opened as often.
const maxDue = 256

func (k *Keeper) run(ctx context.Context) {
	for bus.Wait(ctx, keepDelay+rand.N(keepDelay)) {
		k.mu.Lock()
		due := k.due
		k.due = nil
		if k.running = len(due) > 0; !k.running {
			k.mu.Unlock()
			return
		}
		k.mu.Unlock()
		latest := make(map[string]stores.Opened, len(due))
		for _, s := range due {
			latest[s.Stream] = s
		}
		for _, s := range latest {
			k.note(s, k.keep(ctx, s))
		}
	}
}

// keep stores the set of a service and names it in the metadata of a stream.
func (k *Keeper) keep(ctx context.Context, s stores.Opened) error {
	if s.Left {
		return fmt.Errorf("%w: the stream is left as it is (NoCreate)", stores.ErrPermission)
	}
	set, err := k.o.Sets.Of(s.Service)
	if err != nil {
		return err
	}
	if err := k.store(ctx, set); err != nil {
		return err
	}
	if s.Metadata[wire.DescriptorsKey] == set.Hash() {
		return nil
	}
	return k.o.Stores.SetMetadata(ctx, s.Stream, wire.DescriptorsKey, set.Hash())
}

// store puts a set into the bucket, unless it is there.
func (k *Keeper) store(ctx context.Context, set *descset.Set) error {
	k.mu.Lock()
	done := k.stored[set.Hash()]
	k.mu.Unlock()
	if done {
		return nil
	}
	b := k.bucket(true)
	_, err := b.Open(ctx)
	if errors.Is(err, errNoBucket) {
		err = k.room(ctx)
	} else if err == nil && k.o.Replicas == 0 {
		return k.write(ctx, b, set)
	}
	if err != nil {
		return err
	}
	b = k.bucket(false) // makes it, or gives it more replicas
	if _, err := b.Open(ctx); err != nil {
		return err
	}
	return k.write(ctx, b, set)
}

// write puts a set into the bucket.
func (k *Keeper) write(ctx context.Context, b *bucket.Bucket, set *descset.Set) error {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	if _, err := b.Write(ctx, set.Hash(), set.Encoded(), 0); err != nil && !bucket.LostRace(err) {
		return b.Explain(err)
	}
	k.mu.Lock()
	k.stored[set.Hash()] = true
	k.mu.Unlock()
	return nil
}

// bucket returns the bucket of the descriptors: the one that is there, or else one that is
// made.
func (k *Keeper) bucket(there bool) *bucket.Bucket {
	return bucket.New(bucket.Options{
		JetStream: k.o.Stores, Kind: &kind, Name: wire.DescriptorsBucket(k.o.Namespace),
		Settings: bucket.Settings{NoCreate: there, Replicas: k.o.Replicas}, Absent: errNoBucket,
	})
}

// An account must have room for so many streams, and for so much in them, so that the bucket
// takes no place that a service needs later: a stream is made when it is first needed.
const (
	spareStreams = 8
	spareBytes   = 8 * bucketBytes
)

// room returns an error if the account has little room left. A user who may not ask that gets none.
func (k *Keeper) room(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stores.DefaultTimeout)
	defer cancel()
	ctx, why := k.o.Stores.Allowed(ctx, "INFO")
	account, err := k.o.Stores.JetStream().AccountInfo(ctx)
	if why(err) != nil {
		return nil // the attempt to make the bucket tells
	}
	tiers := []jetstream.Tier{account.Tier}
	for _, tier := range account.Tiers {
		tiers = append(tiers, tier)
	}
	for _, tier := range tiers {
		if most := tier.Limits.MaxStreams; most > 0 && tier.Streams+spareStreams > most {
			return fmt.Errorf("the account has %d of at most %d streams, and the last %d are left to services", tier.Streams, most, spareStreams)
		}
		if most := tier.Limits.MaxStore; most > 0 && max(tier.Store, tier.ReservedStore)+spareBytes > uint64(most) {
			return fmt.Errorf("the account stores %d of at most %d bytes, and the last %d are left to services",
				max(tier.Store, tier.ReservedStore), most, spareBytes)
		}
	}
	return nil
}

// note takes the outcome for a stream, and logs a failure. A missing permission is no fault,
// as the least permissions do not have it.
func (k *Keeper) note(s stores.Opened, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	k.mu.Lock()
	k.done[s.Stream], k.failed[s.Stream] = err == nil, err != nil
	told := err == nil || k.told[err.Error()]
	if !told {
		k.told[err.Error()] = true
	}
	k.mu.Unlock()
	if told {
		return
	}
	level := slog.LevelWarn
	if errors.Is(err, stores.ErrPermission) || errors.Is(err, stores.ErrOld) || errors.Is(err, descset.ErrUnknown) {
		level = slog.LevelDebug
	}
	k.o.Logger.Log(context.Background(), level, "aegis: the descriptors are not kept with what is stored: tools cannot read it while no instance runs",
		"service", s.Service, "stream", s.Stream, "err", err)
}
