package leader

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// bucket is the KV bucket of the leader records: ns-leaders. It is made as a
// stream, because a KV bucket always has direct get on, which may answer from a
// replica that is behind.
type bucket struct {
	api  *stores.Stores
	js   jetstream.JetStream
	name string // "ns-leaders"
	o    stores.Bucket
	warn func(string)

	reads, writes refused

	mu      sync.Mutex
	stream  jetstream.Stream // nil until it was found
	created int64            // when that stream was made, in ns
}

func (b *bucket) streamName() string { return "KV_" + b.name }

func (b *bucket) subjectPrefix() string { return "$KV." + b.name + "." }

// key is where the record of a group lies in the bucket that was created then.
// With the creation in the key, a write that was meant for a deleted bucket
// finds no revision to go over in the one that was made in its place.
func (b *bucket) key(service, group string, created int64) string {
	return b.subjectPrefix() + service + "." + group + "." + strconv.FormatInt(created, 10)
}

// split reads service.group and the creation time out of a key's subject.
func (b *bucket) split(subject string) (id string, created int64, ok bool) {
	rest, ok := strings.CutPrefix(subject, b.subjectPrefix())
	i := strings.LastIndexByte(rest, '.')
	if !ok || i < 0 {
		return "", 0, false
	}
	created, err := strconv.ParseInt(rest[i+1:], 10, 64)
	return rest[:i], created, err == nil
}

// requiredBytes is the size of a bucket in an account that requires one. A record
// takes some hundred bytes, and only the last one of a group is kept.
const requiredBytes = 16 << 20

func (b *bucket) wanted() stores.Want {
	return b.o.Wanted(&jetstream.StreamConfig{
		Name:              b.streamName(),
		Description:       "Aegis: who leads",
		Subjects:          []string{b.subjectPrefix() + ">"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		Storage:           jetstream.FileStorage,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       false,
	}, requiredBytes, "set MaxBytes of aegis.WithLeaderBucket")
}

// open finds the stream, or makes it, and returns when it was made.
func (b *bucket) open(ctx context.Context) (jetstream.Stream, int64, error) {
	b.mu.Lock()
	stream, created := b.stream, b.created
	b.mu.Unlock()
	if stream != nil {
		return stream, created, nil
	}
	want := b.wanted()
	stream, err := b.api.FindOrMake(ctx, &want, !b.o.NoCreate, b.warn)
	if b.o.NoCreate && errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, 0, fmt.Errorf("the KV bucket %s does not exist and may not be created here; create the stream %s with history 1 and direct get off",
			b.name, b.streamName())
	}
	if err != nil {
		return nil, 0, b.explain(err)
	}
	info := stream.CachedInfo()
	if err := b.check(info.Config); err != nil {
		return nil, 0, err
	}
	created = info.Created.UnixNano()
	b.mu.Lock()
	b.stream, b.created = stream, created
	b.mu.Unlock()
	return stream, created, nil
}

// check refuses settings with which two candidates could both win.
func (b *bucket) check(c jetstream.StreamConfig) error {
	switch {
	case c.AllowDirect:
		return fmt.Errorf("the stream %s has direct get on, which may answer from a replica that is behind; "+
			"turn it off: nats stream edit %s --no-allow-direct", c.Name, c.Name)
	case c.Mirror != nil || len(c.Sources) > 0:
		return fmt.Errorf("the stream %s is a mirror or has sources; leaders need a bucket of their own: use another namespace (aegis.WithNamespace), "+
			"or remove it once its services have stopped", c.Name)
	case len(c.Subjects) != 1 || c.Subjects[0] != b.subjectPrefix()+">":
		return fmt.Errorf("the stream %s captures %v in place of %s>; use another namespace (aegis.WithNamespace), or give it that subject",
			c.Name, c.Subjects, b.subjectPrefix())
	case c.MaxAge != 0:
		return fmt.Errorf("the stream %s drops records by age; remove max_age from it (nats stream edit %s --max-age=0)", c.Name, c.Name)
	case c.Discard != jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0):
		return fmt.Errorf("the stream %s drops records by number or size; let it refuse new ones instead (nats stream edit %s --discard=new), "+
			"or remove max_msgs and max_bytes from it", c.Name, c.Name)
	}
	return nil
}

// forget makes the next operation look for the stream again.
func (b *bucket) forget() {
	b.mu.Lock()
	b.stream = nil
	b.mu.Unlock()
}

// read is look, unless NATS has just refused one.
func (b *bucket) read(ctx context.Context, service, group string) (election.Entry, error) {
	if err := b.reads.still(); err != nil {
		return election.Entry{}, err
	}
	entry, err := b.look(ctx, service, group)
	return entry, b.reads.note(err)
}

// look returns a group's entry. The creation time is asked for after the record:
// if it is the one in the key, the record was read from that very bucket.
func (b *bucket) look(ctx context.Context, service, group string) (election.Entry, error) {
	for range 3 {
		stream, created, err := b.open(ctx)
		if err != nil {
			return election.Entry{}, err
		}
		entry, err := b.get(ctx, stream, b.key(service, group, created), created)
		if err == nil {
			var info *jetstream.StreamInfo
			if info, err = b.info(ctx, stream); err == nil {
				if info.Created.UnixNano() == created {
					return entry, nil
				}
				b.forget()
				continue // made anew in between
			}
		}
		b.forget()
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return election.Entry{}, b.explain(err)
		}
	}
	return election.Entry{}, fmt.Errorf("the KV bucket %s is being deleted and made again and again", b.name)
}

func (b *bucket) info(ctx context.Context, stream jetstream.Stream) (*jetstream.StreamInfo, error) {
	ctx, why := b.api.Allowed(ctx, "STREAM.INFO."+b.streamName())
	info, err := stream.Info(ctx)
	return info, why(err)
}

func (b *bucket) get(ctx context.Context, stream jetstream.Stream, subject string, created int64) (election.Entry, error) {
	ctx, why := b.api.Allowed(ctx, "STREAM.MSG.GET."+b.streamName())
	msg, err := stream.GetLastMsgForSubject(ctx, subject)
	err = why(err)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return election.Entry{Created: created, Absent: true}, nil
	}
	if err != nil {
		return election.Entry{}, err
	}
	return entry(created, msg.Sequence, msg.Header, msg.Data), nil
}

// entry decodes a message of the stream.
func entry(created int64, revision uint64, header nats.Header, data []byte) election.Entry {
	e := election.Entry{Created: created, Revision: revision}
	if op := header.Get("KV-Operation"); op != "" || len(data) == 0 && header.Get(jetstream.MarkerReasonHeader) != "" {
		e.Absent = true
		return e
	}
	e.Record, e.Err = election.DecodeRecord(data)
	return e
}

// write is the compare-and-set. It is never repeated by itself.
func (b *bucket) write(ctx context.Context, service, group string, w election.Write) (uint64, error) {
	if err := b.writes.still(); err != nil {
		return 0, err
	}
	data, err := w.Record.Encode()
	if err != nil {
		return 0, err
	}
	subject := b.api.KV(b.key(service, group, w.Created))
	ctx, why := b.api.AllowedTo(ctx, subject)
	ack, err := b.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data},
		jetstream.WithExpectStream(b.streamName()),
		jetstream.WithExpectLastSequencePerSubject(w.Over),
		jetstream.WithRetryAttempts(0))
	if err = b.writes.note(why(err)); err != nil {
		if jserror.WrongLastSequence(err) {
			return 0, fmt.Errorf("%w: %w", election.ErrRefused, err)
		}
		b.forget()
		return 0, b.explain(err)
	}
	return ack.Sequence, nil
}

// explain adds what a person can do about it.
func (b *bucket) explain(err error) error {
	switch {
	case jserror.NotEnabled(err):
		return fmt.Errorf("%w: single active services need JetStream; %s", err, b.api.Advice())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the JetStream of this account did not answer in time, or this user may not use its API", err)
	}
	return stores.Advise(err)
}
