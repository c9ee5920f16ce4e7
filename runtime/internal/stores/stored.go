package stores

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// Stored is a message as its stream's leader has it.
type Stored struct {
	nats.Msg

	Sequence uint64
	Time     time.Time // by the clock of the NATS server that stored it
}

// readAgainAfter is how long the answer to a read may take before the read is sent once
// more: a leader that was lost meanwhile never answers. The next pauses are twice as long
// each. All answers count, also a late one to an early read.
const readAgainAfter = time.Second

// DefaultTimeout bounds requests to JetStream that have no deadline.
const DefaultTimeout = 5 * time.Second

// Last returns the last message of a subject, which may have wildcards; nil if there is no
// message, or no such stream. The stream's leader is asked, as any other replica may be
// behind: only the leader's answer shows that nothing is stored.
func (s *Stores) Last(ctx context.Context, stream, subject string) (*Stored, *status.Status) {
	return s.read(ctx, stream, map[string]any{"last_by_subj": subject})
}

// At returns the message that has a sequence, as Last does.
func (s *Stores) At(ctx context.Context, stream string, sequence uint64) (*Stored, *status.Status) {
	return s.read(ctx, stream, map[string]any{"seq": sequence})
}

// From returns the first message of a subject, which may have wildcards, that has a
// sequence or a greater one, as Last does.
func (s *Stores) From(ctx context.Context, stream, subject string, sequence uint64) (*Stored, *status.Status) {
	return s.read(ctx, stream, struct {
		Sequence uint64 `json:"seq"`
		Subject  string `json:"next_by_subj"`
	}{sequence, subject})
}

// read asks until there is an answer or ctx ends; if ctx has no deadline, for 5 s.
func (s *Stores) read(ctx context.Context, stream string, what any) (*Stored, *status.Status) {
	body, err := json.Marshal(what)
	if err != nil {
		return nil, status.Newf(status.Internal, "a read of the stream %s: %w", stream, err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(DefaultTimeout)
	}
	asking, cancel := context.WithCancel(ctx) // ends the other questions when one is answered
	defer cancel()
	type answer struct {
		msg *Stored
		err *status.Status
	}
	answers, asked := make(chan answer), 0
	ask := func() {
		asked++
		go func() {
			msg, err := s.readOnce(asking, stream, body, deadline)
			select {
			case answers <- answer{msg, err}:
			case <-asking.Done():
			}
		}()
	}
	ask()
	again := time.NewTimer(readAgainAfter)
	defer again.Stop()
	for attempt := 1; ; {
		select {
		case a := <-answers:
			asked--
			if a.err == nil || !errors.Is(a.err.Cause, errNoLeader) || ctx.Err() != nil {
				return a.msg, a.err
			}
			if attempt++; !bus.Sleep(ctx, bus.Pause(attempt-1), deadline) {
				return nil, a.err
			}
			if asked == 0 {
				ask()
			}
		case <-again.C:
			again.Reset(readAgainAfter << asked)
			ask()
		case <-ctx.Done():
			return nil, unread(ctx, stream)
		}
	}
}

// unread returns the status of a read that was not answered.
func unread(ctx context.Context, stream string) *status.Status {
	if errors.Is(ctx.Err(), context.Canceled) {
		return status.Of(ctx.Err())
	}
	return status.Newf(status.DeadlineExceeded, "JetStream does not answer what the stream %s holds: %w", stream, context.DeadlineExceeded)
}

// errNoLeader is what JetStream says while a stream, or JetStream, has no leader.
var errNoLeader = errors.New("the stream has no leader")

func (s *Stores) readOnce(ctx context.Context, stream string, body []byte, deadline time.Time) (*Stored, *status.Status) {
	api := s.MsgGet(stream)
	slot := s.bus.Acquire()
	defer s.bus.Release(slot)
	r := bus.Request{Subject: &api, Payload: body, Deadline: deadline, Timed: true}
	msg, err := s.bus.RoundTrip(ctx, slot, &r)
	for err == bus.LinkWasDown {
		msg, err = s.bus.RoundTrip(ctx, slot, &r)
	}
	switch {
	case err != nil && err.Code == status.DeadlineExceeded:
		return nil, unread(ctx, stream)
	case err != nil:
		return nil, err
	case bus.NoResponders(msg):
		return nil, StatusOf(fmt.Errorf("the stream %s: %w: %s", stream, ErrUnavailable, s.Advice()))
	}
	return parseStored(stream, msg)
}

func parseStored(stream string, msg *nats.Msg) (*Stored, *status.Status) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, status.Newf(status.Internal, "what answered for the stream %s is not JetStream: %w", stream, err)
	}
	switch e := answer.Error; {
	case e != nil && (e.ErrorCode == jetstream.JSErrCodeMessageNotFound || e.ErrorCode == jetstream.JSErrCodeStreamNotFound):
		return nil, nil
	case e != nil && jserror.NotEnabled(e):
		return nil, StatusOf(e)
	case e != nil && e.Code == 503:
		return nil, status.Newf(status.Unavailable, "the stream %s cannot be read: %w: %w", stream, errNoLeader, e)
	case e != nil:
		return nil, status.Newf(codeOf(e), "the stream %s cannot be read: %w", stream, e)
	case answer.Message == nil:
		return nil, status.Newf(status.Internal, "JetStream answers neither a message of the stream %s nor an error", stream)
	}
	m := &Stored{Sequence: answer.Message.Sequence, Time: answer.Message.Time}
	m.Subject, m.Data = answer.Message.Subject, answer.Message.Data
	if len(answer.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(answer.Message.Header)
		if err != nil {
			return nil, status.Newf(status.Internal, "the header of message %d of the stream %s cannot be read: %w", m.Sequence, stream, err)
		}
		m.Header = header
	}
	return m, nil
}

// Delete deletes a message of a stream; it is no error if the message is gone. JetStream
// has no error code for that, so that a read tells whether the message is gone.
func (s *Stores) Delete(ctx context.Context, stream jetstream.Stream, sequence uint64) error {
	name := stream.CachedInfo().Config.Name
	asking, why := s.Allowed(ctx, "STREAM.MSG.DELETE."+name)
	err := why(stream.DeleteMsg(asking, sequence))
	if err == nil || errors.Is(err, ErrPermission) {
		return err
	}
	if msg, failure := s.At(ctx, name, sequence); msg == nil && failure == nil {
		return nil
	}
	return err
}
