package commandstore

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/bus"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/status"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// Queue is the stream with the commands of one service that wait for a worker. It is
// safe for concurrent use.
type Queue struct {
	Results *Results
	Stream  stores.Stream
}

// Sending is one command on its way into the queue. Its message is the payload of the
// slot that Put gets.
type Sending struct {
	Method    string
	ID        string
	Keyed     bool   // the id is that of a key, which others may have used
	Level     string // of priority, such as wire.LevelNormal
	NotBefore time.Time
	Expiry    time.Time   // zero for none
	Header    nats.Header // the metadata; Put adds its own headers
	Deadline  time.Time
}

// Put stores a command. If its id is that of a key, and there is a command with that key
// that waits or runs or whose outcome is kept, Put stores nothing and succeeds.
func (q *Queue) Put(ctx context.Context, slot *bus.Slot, s *Sending) *status.Status {
	s.Header[wire.HeaderMessageID] = []string{s.Method + "." + s.ID}
	if !s.Expiry.IsZero() {
		s.Header[wire.HeaderExpires] = []string{strconv.FormatInt(s.Expiry.UnixMilli(), 10)}
	}
	subject := q.subject(s)
	storing := &stores.Storing{Subject: &subject, Header: s.Header, Deadline: s.Deadline, Again: true, Window: q.Stream.Window()}
	if s.Keyed {
		return q.putKeyed(ctx, slot, s, storing)
	}
	_, why := q.Stream.Store(ctx, slot, storing)
	return why
}

// subject returns where the command is stored. A command that is not due says in its
// header to which subject NATS moves it then.
func (q *Queue) subject(s *Sending) string {
	subjects, service := q.Results.Subjects, q.Results.Service
	due := subjects.Command(service, s.Method, s.Level, s.ID)
	if !s.NotBefore.After(time.Now()) {
		return due
	}
	s.Header[wire.HeaderSchedule] = []string{"@at " + s.NotBefore.UTC().Format(time.RFC3339Nano)}
	s.Header[wire.HeaderScheduleTarget] = []string{due}
	return subjects.CommandAt(service, s.Method, s.Level, s.ID)
}

// putKeyed stores a command unless there is one with its key, on whichever level. A
// wire.HeaderSend of its own tells the copies of this command, of which a first one may
// be on its way when a second one is sent, from the commands of others.
func (q *Queue) putKeyed(ctx context.Context, slot *bus.Slot, s *Sending, storing *stores.Storing) *status.Status {
	r := q.Results
	anywhere := r.Subjects.CommandAnywhere(r.Service, s.Method, s.ID)
	send := rand.Text()
	s.Header[wire.HeaderSend] = []string{send}
	s.Header[wire.HeaderMessageID] = []string{s.Method + "." + s.ID + "." + send}
	s.Header[wire.HeaderExpectedLast] = expectNone
	s.Header[wire.HeaderExpectedSubject] = []string{anywhere}
	ctx, cancel := context.WithDeadline(ctx, s.Deadline)
	defer cancel()
	for attempt := 1; ; attempt++ {
		if outcome, why := r.Outcome(ctx, s.ID); outcome != nil || why != nil {
			return why
		}
		_, refused := q.Stream.Store(ctx, slot, storing)
		if refused == nil || !jserror.WrongLastSequence(refused.Cause) {
			return refused
		}
		// Perhaps the other one is on its way, and may yet be lost.
		if waits, why := r.Stores.Last(ctx, q.Stream.Want.Name, anywhere); waits != nil || why != nil {
			return why
		}
		if !bus.Sleep(ctx, bus.Pause(attempt), s.Deadline) {
			return status.Because(context.DeadlineExceeded, status.DeadlineExceeded,
				"another command with the key of "+s.ID+" was on its way until the deadline; whether one is stored is unknown")
		}
	}
}
