package book

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	orderv1 "github.com/aegisrpc/aegis/examples/order/gen/order/v1"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// errOther says that a replica is not the beginning of what the stream holds.
var errOther = errors.New("the stream is another one than before")

// replica is the copy of the book that every process has: what the stream holds up to some
// message. It answers questions that need no leader, and the next leader begins with it.
type replica struct {
	js      jetstream.JetStream
	servers int // that keep the stream, see openStream
	book    *book

	reading sync.Mutex       // held by who reads the stream on demand
	stream  jetstream.Stream // nil until it is opened; guarded by reading

	mu   sync.Mutex // guards the following
	last mark
	told uint64 // the last order of which OrderPlaced is known to be published
}

// mark is the last message that a replica knows.
type mark struct {
	at   uint64 // its sequence, 0 for none
	term uint64 // the term of the leader that wrote it
}

func newReplica(js jetstream.JetStream, servers int) *replica {
	return &replica{js: js, servers: servers, book: newBook()}
}

// find returns the order with this id, or an error that is NOT_FOUND if it was
// not accepted by now.
func (r *replica) find(ctx context.Context, id string) (*orderv1.Order, error) {
	if order := r.book.find(id); order != nil {
		return order, nil // orders do not change
	}
	if err := r.catchUp(ctx); err != nil {
		return nil, err
	}
	if order := r.book.find(id); order != nil {
		return order, nil
	}
	return nil, aegis.Errorf(aegis.CodeNotFound, "the order %q is not in the book; place it, or ask again when it is accepted", id)
}

// known returns the last message that is known.
func (r *replica) known() mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// toldBefore is the last order of which a leader knew OrderPlaced to be published.
func (r *replica) toldBefore() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// opened returns the stream, or nil before it was opened.
func (r *replica) opened() jetstream.Stream {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.stream
}

// open looks the stream up anew, or makes it.
func (r *replica) open(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	return r.openLocked(ctx)
}

func (r *replica) openLocked(ctx context.Context) error {
	stream, err := openStream(ctx, r.js, r.servers)
	if err == nil {
		r.stream = stream
	}
	return err
}

// continues returns errOther unless a stream still holds a message that is known, of the same term. If it
// does, then all messages before it are the same, too: terms are unique, and each leader writes over the
// messages that it has read. That is the log matching of Raft (section 5.3 of its paper).
func (m mark) continues(ctx context.Context, stream jetstream.Stream) error {
	msg, err := stream.GetMsg(ctx, m.at)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return errOther
	case err != nil:
		return fmt.Errorf("read the stream %s: %w", streamName, err)
	case msg.Header.Get(headerTerm) != strconv.FormatUint(m.term, 10):
		return errOther
	}
	return nil
}

// catchUp reads what the stream has and the replica does not know.
func (r *replica) catchUp(ctx context.Context) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	err := r.read(ctx)
	if err == nil || aegis.CodeOf(err) == aegis.CodeDataLoss {
		return err
	}
	return aegis.Errorf(aegis.CodeUnavailable, "the book cannot be read now: %w", err)
}

func (r *replica) read(ctx context.Context) error {
	if r.stream == nil {
		if err := r.openLocked(ctx); err != nil {
			return err
		}
	}
	last := r.known().at // before the stream is asked, which may have got more until it answers
	info, err := r.stream.Info(ctx)
	if err != nil {
		return err
	}
	switch end := info.State.LastSeq; {
	case end < last:
		return aegis.Errorf(aegis.CodeDataLoss, "the stream %s ends at message %d, and had acknowledged %d", streamName, end, last)
	case end > last:
		return readStream(ctx, r.stream, last+1, end, r.apply)
	}
	return nil
}

// apply takes a message of the stream into the book. It refuses what no leader
// can have written: then somebody else has, and the book is not to be trusted.
func (r *replica) apply(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	at := meta.Sequence.Stream
	rec, err := readRecord(msg)
	if err != nil {
		return notTheBooks(at, err)
	}
	return r.take(at, rec)
}

// take adds the record of a message, unless it is known already: the same message may come from the
// leader here that wrote it, from Follow, and from a read on demand.
func (r *replica) take(at uint64, rec record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at <= r.last.at {
		return nil
	}
	if at != r.last.at+1 {
		return fmt.Errorf("message %d came where %d follows", at, r.last.at+1) // lost on the way: read again
	}
	if rec.term < r.last.term {
		return notTheBooks(at, fmt.Errorf("term %d wrote it after term %d had begun", rec.term, r.last.term))
	}
	if rec.order != nil {
		if err := r.book.add(rec.order); err != nil {
			return notTheBooks(at, err)
		}
	}
	r.last, r.told = mark{at, rec.term}, max(r.told, rec.told)
	return nil
}

func notTheBooks(at uint64, err error) error {
	return aegis.Errorf(aegis.CodeDataLoss, "message %d of the stream %s is not the book's: %w", at, streamName, err)
}
