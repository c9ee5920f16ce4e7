package registrar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
	"github.com/aegisrpc/aegis/runtime/internal/regstore"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// writeLoop keeps the records in the bucket. It writes them when they change, once in an
// interval, and after a reconnect, as the NATS server may have lost them.
func (r *Registrar) writeLoop() {
	returns := r.o.Link.Returns()
	retry := firstRetry
	timer := time.NewTimer(0) // at once: the records of Claim may be old by now, or not written
	defer timer.Stop()
	for {
		all, link := true, r.o.Link.State()
		if link.Returns != returns {
			returns = link.Returns
			r.bucket.ForgetStream()
			r.beat() // watchers have not heard the instance for a while
		} else {
			select {
			case <-r.ctx.Done():
				return
			case <-link.Changed():
				continue
			case <-r.dirty:
				all = false
			case <-timer.C:
			}
		}
		next := r.interval()
		if ok := r.writeAll(all); ok {
			retry = firstRetry
		} else {
			next = retry
			retry = min(2*retry, lastRetry)
		}
		timer.Reset(next)
	}
}

// interval returns the pause before records are written again. It varies by a quarter, so
// that not all instances write at once.
func (r *Registrar) interval() time.Duration {
	return r.o.Rewrite - rand.N(r.o.Rewrite/4+1)
}

// writeAll writes all records, or only the changed ones. It reports whether that
// succeeded. If another process has taken the name it ends the registrar.
func (r *Registrar) writeAll(all bool) bool {
	var errs []error
	for _, reg := range r.regs {
		r.mu.Lock()
		changed := reg.record.Change != reg.written
		r.mu.Unlock()
		if all || changed {
			errs = append(errs, r.keep(r.ctx, reg))
		}
	}
	err := errors.Join(errs...)
	if r.ctx.Err() != nil {
		return true
	}
	if lost := r.outcome(r.ctx, err); lost != nil {
		r.setAudible(false) // heartbeats would speak for the other process
		r.cancel()
		r.taken.Do(func() { r.o.Taken(lost) })
	}
	return err == nil
}

// register writes a record over the last revision that is known. If another write was
// faster, it reads the key and decides whether the record may go over that one.
func (r *Registrar) register(ctx context.Context, reg *registration) error {
	known := reg.revision != 0
	for attempt := range 10 {
		var over bucket.Entry
		if known {
			over.Revision = reg.revision
		} else {
			var err error
			if over, err = r.readOwnKey(ctx, reg); err != nil {
				return err
			}
		}
		err := r.write(ctx, reg, over.Revision)
		switch {
		case errors.Is(err, regstore.ErrRefused):
			known = false
		case errors.Is(err, regstore.ErrGone) && attempt == 0: // the bucket was deleted: write makes it anew
		default:
			return err
		}
	}
	return errors.New("the record in the registry changes all the time")
}

// write writes a record over a revision of its key, into a bucket that it finds or makes.
func (r *Registrar) write(ctx context.Context, reg *registration, over uint64) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	created, err := r.bucket.Open(ctx)
	if err != nil {
		r.setBucket(reg, 0)
		return err
	}
	r.mu.Lock()
	record := reg.record
	r.mu.Unlock()
	data, err := record.Encode()
	if err != nil {
		return err
	}
	revision, err := r.bucket.Write(ctx, reg.key, data, over)
	if err != nil {
		r.setBucket(reg, 0)
		return err
	}
	reg.revision, reg.written = revision, record.Change
	r.setBucket(reg, created)
	r.mute(reg, nil)
	return nil
}

// setBucket notes in which bucket the record is, 0 for none. Heartbeats tell watchers.
func (r *Registrar) setBucket(reg *registration, bucket int64) {
	r.mu.Lock()
	reg.bucket = bucket
	r.mu.Unlock()
}

// readOwnKey returns the entry under the key of a service. The error wraps
// [ErrNameTaken] if a process that lives has written it.
func (r *Registrar) readOwnKey(ctx context.Context, reg *registration) (bucket.Entry, error) {
	read, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	entry, err := r.bucket.Read(read, reg.key)
	if err != nil {
		return entry, err
	}
	switch other, err := registry.Decode(reg.service, r.o.Instance, entry.Data); {
	case entry.Absent:
		r.renumberRemoved(reg)
	case err != nil:
		return entry, r.replace(ctx, reg, entry.Data, err)
	case other.Process == r.o.Process:
	default:
		if err := r.challenge(ctx, reg, other); err != nil {
			return entry, err
		}
		r.renumberAfter(reg, other)
	}
	return entry, nil
}

// replace decides whether a value may be replaced that is no record of this version. A
// process that lives may have written it, in a newer version.
func (r *Registrar) replace(ctx context.Context, reg *registration, data []byte, why error) error {
	if process := registry.ProcessOf(data); process != "" && process != r.o.Process {
		other := &registry.Record{
			Service: reg.service, Instance: r.o.Instance, Process: process, Heartbeat: registry.DefaultHeartbeat,
		}
		if err := r.challenge(ctx, reg, other); err != nil {
			return err
		}
	}
	r.o.Logger.Warn("aegis: the own key in the registry has a value that is no record; it is replaced", "key", reg.key, "err", why)
	return nil
}

// renumberRemoved gives a record that was registered before another number: somebody has
// removed it, and watchers must not take the next one for the one that was removed.
func (r *Registrar) renumberRemoved(reg *registration) {
	if reg.revision == 0 {
		return
	}
	r.mu.Lock()
	reg.record.Change++
	r.mu.Unlock()
}

// renumberAfter numbers the record after that of another process, which is gone.
func (r *Registrar) renumberAfter(reg *registration, other *registry.Record) {
	r.o.Logger.Info("aegis: taking over the registration of a process that is gone", "key", reg.key, "process", other.Process)
	r.mu.Lock()
	defer r.mu.Unlock()
	if other.Incarnation >= reg.record.Incarnation {
		reg.record.Incarnation = registry.NextIncarnation(other.Incarnation, r.started)
		reg.record.Change++
	}
}

// challenge returns nil if the process that wrote a record is gone. NATS says so if nobody
// listens on its liveness subject; else no heartbeat comes for as long as watchers wait
// before they count an instance as gone. The error wraps [ErrNameTaken] if it lives.
func (r *Registrar) challenge(ctx context.Context, reg *registration, other *registry.Record) error {
	beats := make(chan *nats.Msg, 64)
	sub, err := r.nc.ChanSubscribe(reg.subject, beats)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
	answers := make(chan *nats.Msg, 8)
	inbox := r.nc.NewInbox()
	answer, err := r.nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Unsubscribe() }()
	if err := r.nc.PublishRequest(r.subjects.Live(other.Process), inbox, nil); err != nil {
		return err
	}
	timer := time.NewTimer(registry.MissedHeartbeats*other.Heartbeat + registry.Grace)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case msg := <-answers:
			if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
				return nil
			}
			if _, stored := wire.StoredBy(msg.Data); !stored { // a stream that stores the question answers too
				return r.nameTaken(other, "answers")
			}
		case msg := <-beats:
			b, err := registry.DecodeBeat(other.Service, other.Instance, msg.Data)
			switch {
			case err != nil || b.Record.Process != other.Process:
			case b.Record.State == registry.Stopped:
				return nil
			default:
				return r.nameTaken(other, "was just heard")
			}
		}
	}
}

// askTimeout bounds how long a start waits for an answer under its own name.
const askTimeout = time.Second

// ask finds out without the bucket whether another process serves under this name: such a
// process answers a directed call, whatever its method. The error wraps [ErrNameTaken].
func (r *Registrar) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, reg := range r.regs {
		if reg.subscriber { // which takes no calls
			continue
		}
		if r.answered(ctx, r.subjects.Instance(r.o.Instance, reg.service, wire.NoMethod)) {
			return fmt.Errorf("%w: another process answers as instance %q of %s; give this one another name, or stop the other one first",
				ErrNameTaken, r.o.Instance, reg.service)
		}
	}
	return nil
}

// answered reports whether a process answers an empty request, and not only a stream that
// stores the request.
func (r *Registrar) answered(ctx context.Context, subject string) bool {
	inbox := r.nc.NewInbox()
	sub, err := r.nc.SubscribeSync(inbox)
	if err != nil {
		return false
	}
	defer func() { _ = sub.Unsubscribe() }()          // fails only if it is gone already
	ctx, why := r.o.JetStream.AllowedTo(ctx, subject) // ends at once if this user may not ask
	defer func() { _ = why(nil) }()
	if r.nc.PublishRequest(subject, inbox, nil) != nil {
		return false
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return false
		}
		if _, stored := wire.StoredBy(msg.Data); !stored {
			return true
		}
	}
}

func (r *Registrar) nameTaken(other *registry.Record, how string) error {
	return fmt.Errorf("%w: another process (%s, started %s) is instance %q of %s, and it %s; give this one another name, or stop the other one first",
		ErrNameTaken, other.Process, other.Started.Format(time.RFC3339), other.Instance, other.Service, how)
}

// remove deletes the key of a service, if this process has written its value.
func (r *Registrar) remove(ctx context.Context, reg *registration) {
	err := r.bucket.Delete(ctx, reg.key, reg.revision)
	if errors.Is(err, regstore.ErrRefused) { // by a write of this process that has timed out, or by another process
		var entry bucket.Entry
		entry, err = r.bucket.Read(ctx, reg.key)
		if err == nil && !entry.Absent {
			var current *registry.Record
			current, err = registry.Decode(reg.service, r.o.Instance, entry.Data)
			if err == nil && current.Process == r.o.Process {
				err = r.bucket.Delete(ctx, reg.key, entry.Revision)
			}
		}
	}
	if err != nil {
		r.o.Logger.Warn("aegis: this instance could not be deregistered; its record is removed by age", "key", reg.key, "err", err)
	}
}
