package leader

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
)

// bucketKind is the kind of bucket that has the records of leaders. A record takes some
// hundred bytes, and only the last one of a group is kept.
var bucketKind = bucket.Kind{
	Description: "Aegis: who leads",
	SpareBytes:  16 << 20,
	SizeOption:  "set MaxBytes of aegis.WithLeaderBucket",
	Needs:       "single active services need",
	Unanswered:  "the JetStream of this account did not answer in time, or this user may not use its API",
	Check:       check,
}

// check refuses a bucket in which two candidates could both win.
func check(c *jetstream.StreamConfig, prefix string) error {
	switch {
	case c.AllowDirect:
		return fmt.Errorf("the stream %s has direct get on, which may answer from a replica that is behind; "+
			"turn it off: nats stream edit %s --no-allow-direct", c.Name, c.Name)
	case c.Mirror != nil || len(c.Sources) > 0:
		return fmt.Errorf("the stream %s is a mirror or has sources; leaders need a bucket of their own: use another namespace (aegis.WithNamespace), "+
			"or remove it once its services have stopped", c.Name)
	case len(c.Subjects) != 1 || c.Subjects[0] != prefix+">":
		return fmt.Errorf("the stream %s captures %v in place of %s>; use another namespace (aegis.WithNamespace), or give it that subject",
			c.Name, c.Subjects, prefix)
	case c.MaxAge != 0:
		return fmt.Errorf("the stream %s drops records by age; remove max_age from it (nats stream edit %s --max-age=0)", c.Name, c.Name)
	case c.Discard != jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0):
		return fmt.Errorf("the stream %s drops records by number or size; let it refuse new ones instead (nats stream edit %s --discard=new), "+
			"or remove max_msgs and max_bytes from it", c.Name, c.Name)
	}
	return nil
}

// records are the leader records of a namespace: the store of its candidates. They are
// safe for concurrent use.
type records struct {
	bucket *bucket.Bucket
	// reads and writes remember what NATS has refused, so that a candidate, which tries
	// many times a second, does not make NATS refuse the same as often.
	reads, writes refused
}

func newRecords(o *Options) *records {
	name := wire.LeaderBucket(o.Namespace)
	return &records{
		bucket: bucket.New(bucket.Options{
			JetStream: o.JetStream, Kind: &bucketKind, Name: name, Settings: o.Bucket, Warn: o.Warn,
			Absent: fmt.Errorf("the KV bucket %s does not exist and may not be created here; create the stream %s with history 1 and direct get off",
				name, bucket.StreamName(name)),
		}),
		reads: refused{nc: o.NATS}, writes: refused{nc: o.NATS},
	}
}

// filter returns the subjects of the records of a group, whenever the bucket was made.
func (r *records) filter(service, group string) string {
	return r.bucket.Prefix() + service + "." + group + ".*"
}

// split reads service.group and the creation time out of a record's subject.
func (r *records) split(subject string) (id string, created int64, ok bool) {
	key, ok := strings.CutPrefix(subject, r.bucket.Prefix())
	if !ok {
		return "", 0, false
	}
	service, group, since, ok := wire.ParseLeaderKey(key)
	created, err := strconv.ParseInt(since, 10, 64)
	return service + "." + group, created, ok && err == nil
}

// read returns the record of a group, or what NATS has just refused.
func (r *records) read(ctx context.Context, service, group string) (election.Entry, error) {
	if err := r.reads.still(); err != nil {
		return election.Entry{}, err
	}
	e, err := r.ask(ctx, service, group)
	return e, r.reads.note(err)
}

// ask reads the record of a group. When the bucket was made is asked for after the
// record: if that is the time in the key, the record was read from that very bucket.
func (r *records) ask(ctx context.Context, service, group string) (election.Entry, error) {
	for range 3 {
		created, err := r.bucket.Open(ctx)
		if err != nil {
			return election.Entry{}, err
		}
		nanos := created.UnixNano()
		e, err := r.bucket.Read(ctx, wire.LeaderKey(service, group, nanos))
		if err == nil {
			var now time.Time
			if now, err = r.bucket.Created(ctx); err == nil {
				if now.Equal(created) {
					return entryOf(nanos, e), nil
				}
				r.bucket.ForgetStream()
				continue // it was made anew in between
			}
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return election.Entry{}, err
		}
	}
	return election.Entry{}, fmt.Errorf("the KV bucket %s is being deleted and made again and again", r.bucket.Name())
}

// entryOf decodes an entry of the bucket that was created then.
func entryOf(created int64, e bucket.Entry) election.Entry {
	entry := election.Entry{Created: created, Revision: e.Revision, Absent: e.Absent}
	if !e.Absent {
		entry.Record, entry.Err = election.DecodeRecord(e.Data)
	}
	return entry
}

// write is the compare-and-set of a candidate. It is never repeated by itself.
func (r *records) write(ctx context.Context, service, group string, w election.Write) (revision uint64, err error) {
	if err := r.writes.still(); err != nil {
		return 0, err
	}
	data, err := w.Record.Encode()
	if err != nil {
		return 0, err
	}
	revision, err = r.bucket.Write(ctx, wire.LeaderKey(service, group, w.Created), data, w.Over)
	switch err = r.writes.note(err); {
	case err == nil:
		return revision, nil
	case bucket.LostRace(err):
		return 0, fmt.Errorf("%w: %w", election.ErrRefused, err)
	}
	return 0, r.bucket.Explain(err)
}
