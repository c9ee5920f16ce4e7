//go:build linux

package roles

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/wait"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// The stream in which the leaders keep the registers.
const (
	StateStream  = "FAULT"
	stateSubject = "fault.state"
)

const (
	storeTimeout = 100 * time.Millisecond // what was in flight when NATS went down is never acknowledged
	storePause   = 10 * time.Millisecond
)

// errUnsettled is returned to a caller if nobody knows whether its write landed.
var errUnsettled = aegis.NewError(aegis.CodeAborted, "the store did not say whether it has the write")

// registers are kept by the leader. Each write goes over exactly the last
// sequence of the stream that this leader knows, so that one of an earlier leader
// that comes late is refused, and has all puts that came up while the one before
// it was under way.
type registers struct {
	js       jetstream.JetStream
	instance string
	replicas int

	queue   sync.Mutex // for the next three
	term    uint64
	pending []*put
	writing bool

	store  sync.Mutex       // for the rest
	stream jetstream.Stream // nil: to be looked for
	loaded bool
	last   uint64 // sequence of the stream
	values map[uint32]uint64
}

// put waits for one write.
type put struct {
	id       uint64
	key      uint32
	previous uint64
	err      error
	done     chan struct{}
}

func newRegisters(nc *nats.Conn, instance string, replicas int) (*registers, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	r := &registers{js: js, instance: instance, replicas: replicas}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.open(ctx) // else the leader does it
	return r, nil
}

// lead begins a term. It goes on trying for as long as the term lasts.
func (r *registers) lead(ctx context.Context, term uint64) error {
	r.queue.Lock()
	r.term = term
	r.queue.Unlock()
	r.store.Lock()
	defer r.store.Unlock()
	for {
		r.loaded = false
		err := r.append(ctx, term, nil)
		if err == nil || ctx.Err() != nil {
			return err
		}
		slog.Warn("the registers cannot be loaded yet", "term", term, "err", err)
		wait.For(ctx, storePause)
	}
}

// put returns what was in the register before.
func (r *registers) put(ctx context.Context, term, id uint64, key uint32) (uint64, error) {
	p := &put{id: id, key: key, done: make(chan struct{})}
	r.queue.Lock()
	if term != r.term {
		r.queue.Unlock()
		return 0, errUnsettled
	}
	r.pending = append(r.pending, p)
	if !r.writing {
		r.writing = true
		go r.write() //nolint:gosec // it writes for all callers, not for this one
	}
	r.queue.Unlock()
	select {
	case <-p.done:
		return p.previous, p.err
	case <-ctx.Done():
		return 0, errUnsettled
	}
}

// write stores what is pending until nothing is.
func (r *registers) write() {
	for {
		r.queue.Lock()
		batch, term := r.pending, r.term
		r.pending = nil
		r.writing = len(batch) > 0
		r.queue.Unlock()
		if len(batch) == 0 {
			return
		}
		r.store.Lock()
		err := r.append(context.Background(), term, batch)
		r.store.Unlock()
		for _, p := range batch {
			if err != nil {
				p.err = errUnsettled
			}
			close(p.done)
		}
	}
}

// append writes a batch over the last message. Whatever goes wrong leaves open
// what the store holds, so that it is read before the next batch.
func (r *registers) append(ctx context.Context, term uint64, batch []*put) error {
	if !r.loaded {
		if err := r.load(ctx, term); err != nil {
			return err
		}
	}
	values := maps.Clone(r.values)
	puts := make([]*faultv1.Put, len(batch))
	for i, p := range batch {
		p.previous = values[p.key]
		values[p.key] = p.id
		puts[i] = &faultv1.Put{Id: p.id, Key: p.key}
	}
	data, err := proto.Marshal(&faultv1.Batch{Term: term, Instance: r.instance, Puts: puts, Registers: values})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ack, err := r.js.Publish(ctx, stateSubject, data,
		jetstream.WithExpectLastSequence(r.last), jetstream.WithRetryAttempts(0))
	if err != nil {
		r.loaded = false
		return err
	}
	r.last, r.values = ack.Sequence, values
	return nil
}

// load reads the last message.
func (r *registers) load(ctx context.Context, term uint64) (err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			r.stream = nil // it may be another one by now
		}
	}()
	batch := new(faultv1.Batch)
	msg, err := r.stream.GetLastMsgForSubject(ctx, stateSubject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		r.last = 0
	case err != nil:
		return err
	default:
		r.last = msg.Sequence
		if err := proto.Unmarshal(msg.Data, batch); err != nil {
			return err
		}
	}
	if batch.GetTerm() > term {
		return fmt.Errorf("the leader of a later term, %d, has written", batch.GetTerm())
	}
	r.values = batch.GetRegisters()
	if r.values == nil {
		r.values = make(map[uint32]uint64)
	}
	r.loaded = true
	return nil
}

// open finds the stream. One that is not there is made.
func (r *registers) open(ctx context.Context) (err error) {
	if r.stream != nil {
		return nil
	}
	r.stream, err = r.js.Stream(ctx, StateStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		r.stream, err = r.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: StateStream, Subjects: []string{stateSubject}, Replicas: r.replicas,
		})
	}
	if err != nil {
		r.stream = nil
	}
	return err
}
