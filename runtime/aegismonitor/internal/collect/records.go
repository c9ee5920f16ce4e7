package collect

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// followAgain is the pause before the bucket is followed again, and followMissing the
	// one while there is no bucket, or no JetStream.
	followAgain   = 500 * time.Millisecond
	followMissing = 10 * time.Second
	// idleHeartbeat is how often NATS says that there is nothing new. After silence without
	// a message the consumer counts as gone. NATS removes it then, after inactive.
	idleHeartbeat = 5 * time.Second
	silence       = 3 * idleHeartbeat
	inactive      = 30 * time.Second
	// recordsBacklog has room for the records of a usual bucket while NATS lists them.
	recordsBacklog = 4 << 10
	headerStatus   = "Status"
)

var (
	errNoLeaders = errors.New("there is no bucket of leaders yet")
	errGap       = errors.New("a record of a leader was lost on the way")
	errSilent    = errors.New("NATS does not say any more what is in the bucket of leaders")
	errOutdated  = errors.New("the bucket of leaders has a record that was not seen")
)

// leadersKind is the bucket of leaders as it is for those who only read it.
var leadersKind = bucket.Kind{
	Timeout:    2 * time.Second,
	Needs:      "single active groups need",
	Unanswered: "JetStream did not answer in time",
	Check:      func(*jetstream.StreamConfig, string) error { return nil },
}

// records follows the bucket of leaders. A leader writes its record anew four times in each
// lease, and a last time when it releases its group.
type records struct {
	collector *Collector
	bucket    *bucket.Bucket
	isGone    func(process string) bool
	outdated  chan struct{} // of one: the bucket has to be listed anew; never closed

	mu   sync.Mutex // guards the fields below
	seen map[groupID]sighting
	why  string // why the bucket cannot be followed; "" if it can
}

// groupID names a group.
type groupID struct{ service, group string }

// sighting is the last record of a group that was told.
type sighting struct {
	created  string // of the bucket, as the key has it
	revision uint64
	term     uint64
}

func newRecords(c *Collector, isGone func(string) bool) *records {
	return &records{
		collector: c, isGone: isGone, outdated: make(chan struct{}, 1), seen: make(map[groupID]sighting),
		bucket: bucket.New(bucket.Options{
			JetStream: c.in.Stores, Kind: &leadersKind, Name: wire.LeaderBucket(c.in.Layout.Namespace),
			Settings: bucket.Settings{NoCreate: true}, Absent: errNoLeaders,
		}),
	}
}

// follow follows the bucket with one consumer after another until ctx ends.
func (r *records) follow(ctx context.Context) {
	for ctx.Err() == nil {
		state := r.collector.in.Bus.Link.State()
		if !state.Up {
			sleep(ctx, followMissing, state.Changed())
			continue
		}
		err := r.consume(ctx)
		r.setProblem(err)
		pause := followMissing
		switch {
		case errors.Is(err, stores.ErrPermission):
			pause = deniedPause
		case broken(err):
			pause = followAgain
		}
		sleep(ctx, pause, state.Changed())
	}
}

// broken reports whether a consumer has ended that was there.
func broken(err error) bool {
	return errors.Is(err, errGap) || errors.Is(err, errSilent) || errors.Is(err, errOutdated)
}

// setProblem notes why the bucket cannot be followed.
func (r *records) setProblem(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = ""
	if err != nil && !broken(err) && !errors.Is(err, errNoLeaders) && !errors.Is(err, context.Canceled) {
		r.why = err.Error()
	}
}

// problem says why the bucket cannot be followed; "" if it can, or if there is none.
func (r *records) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

// consume tells what the bucket has and what changes, until ctx ends or a message is lost.
// It leaves nothing behind but a consumer that NATS removes by itself.
func (r *records) consume(ctx context.Context) error {
	r.bucket.ForgetStream() // another one may be in its place by now
	if _, err := r.bucket.Open(ctx); err != nil {
		return err
	}
	nc := r.collector.conn.NATS()
	inbox, messages := nc.NewInbox(), make(chan *nats.Msg, recordsBacklog)
	sub, err := nc.ChanSubscribe(inbox, messages)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
	_, _, err = r.bucket.PushConsumer(ctx, &jetstream.ConsumerConfig{
		DeliverSubject:    inbox,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject:     r.bucket.Prefix() + ">",
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		IdleHeartbeat:     idleHeartbeat,
		InactiveThreshold: inactive,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return err
	}
	r.setProblem(nil)
	return r.read(ctx, messages)
}

// read reads the messages of one consumer.
func (r *records) read(ctx context.Context, messages <-chan *nats.Msg) error {
	timer := time.NewTimer(silence)
	defer timer.Stop()
	var received uint64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return errSilent
		case <-r.outdated:
			return errOutdated
		case msg := <-messages:
			timer.Reset(silence)
			meta, err := msg.Metadata()
			if err != nil || msg.Header.Get(headerStatus) != "" {
				continue // NATS has nothing new, or somebody else sends to the inbox
			}
			if received++; meta.Sequence.Consumer != received {
				return errGap
			}
			r.take(msg, meta.Sequence.Stream)
		}
	}
}

// take takes the record of a group.
func (r *records) take(msg *nats.Msg, revision uint64) {
	key, ok := strings.CutPrefix(msg.Subject, r.bucket.Prefix())
	service, group, created, parsed := wire.ParseLeaderKey(key)
	entry := bucket.EntryOf(revision, msg.Header, msg.Data)
	if !ok || !parsed || !registry.ValidService(service) || !wire.ValidInstance(group) || entry.Absent {
		return
	}
	id := groupID{service, group}
	record, err := election.DecodeRecord(entry.Data)
	if err != nil {
		return // what reads all leaders says so
	}
	if r.news(id, sighting{created, revision, uint64(record.Term)}) {
		r.tell(id, &record)
	}
}

// news reports whether a record was not told before: each consumer first lists them all.
func (r *records) news(id groupID, s sighting) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.seen[id]
	if known && last.created == s.created && last.revision >= s.revision {
		return false
	}
	r.seen[id] = s
	return true
}

// tell tells the board what a record says. A record of a process that is gone was on its way
// when the process was lost.
func (r *records) tell(id groupID, record *election.Record) {
	now, b := time.Now(), r.collector.board
	switch {
	case record.Released:
		b.Released(now, id.service, id.group, uint64(record.Term))
	case record.ServerID == "": // nobody leads, and a lease is waited out
	case r.isGone(record.Process):
	default:
		b.Led(now, id.service, id.group, reigns.Leader{Instance: record.Instance, Process: record.Process, Term: uint64(record.Term)})
	}
}

// compare has the bucket listed anew if it has a term that was not seen here: another bucket
// is in its place.
func (r *records) compare(list []aegisadmin.Leadership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		if last, known := r.seen[groupID{list[i].Service, list[i].Group}]; known && list[i].Term > last.term {
			select {
			case r.outdated <- struct{}{}:
			default: // it is about to be
			}
			return
		}
	}
}
