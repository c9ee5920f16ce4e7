package aegisadmin

import (
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/commandstore"
	"github.com/aegisrpc/aegis/runtime/internal/metadata"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// CommandState is where a command is in its life.
type CommandState string

// The states. The first four are those of commands in a queue.
const (
	// Scheduled: the command is not due yet.
	Scheduled CommandState = "SCHEDULED"
	// Waiting: no worker has been given the command.
	Waiting CommandState = "WAITING"
	// Running: a worker has the command.
	Running CommandState = "RUNNING"
	// Retrying: attempts have failed, and the command waits for the next one.
	Retrying CommandState = "RETRYING"

	Succeeded CommandState = wire.StateSucceeded
	Failed    CommandState = wire.StateFailed
	Canceled  CommandState = wire.StateCanceled
	Expired   CommandState = wire.StateExpired
)

// Command is a command as it is stored.
type Command struct {
	Service string
	// Method is the name of the method, "" for a command that has ended: its result does
	// not name it.
	Method string
	ID     string
	State  CommandState
	// Priority is "high", "normal" or "low", "" for a command that has ended.
	Priority string
	// Stored is when the command was stored, by the NATS server's clock; of a command that
	// has ended when the result was. Sequence is that of the command in its stream, 0 if
	// it has ended.
	Stored   time.Time
	Sequence uint64
	// Due is when a scheduled command enters the queue, and Expires after which time it is
	// not begun any more; zero for none.
	Due, Expires time.Time
	// Failures is how many attempts have failed so far, and FailedAt when the last one did.
	// NATS does not keep its error: that is in the log of the worker, and in the dead
	// letter in the end.
	Failures int
	FailedAt time.Time
	// Attempt is the number of the last attempt that is known of, 0 for none. An attempt is
	// known after its first second or its first report.
	Attempt int
	// Progress is the last report of the handler, nil for none.
	Progress *aegis.Progress
	// Canceling: the command was canceled, and has not ended yet.
	Canceling bool
	// Header is the metadata of the command, or of the result.
	Header aegis.Header
	// Data is the request; of a command that has succeeded the response. It is protobuf
	// unless ContentType says otherwise.
	Data        []byte
	ContentType string
	// Err is why a command has ended without a response; nil else.
	Err error

	subject string
	send    string
}

// CommandFilter picks commands out of a queue. The zero value picks all of them.
type CommandFilter struct {
	// Method is the name of a method; "" for all.
	Method string
	// Priority is "high", "normal" or "low"; "" for all.
	Priority string
	// States are some of Scheduled, Waiting, Running and Retrying; none for all.
	States []CommandState
	// Older picks what was stored at least so long ago; 0 for all.
	Older time.Duration
}

// priorities are the names of the levels, by the token of the subject.
var priorities = map[string]string{wire.LevelHigh: "high", wire.LevelNormal: "normal", wire.LevelLow: "low"}

// levelOf returns the token of a priority: "*" for any.
func levelOf(priority string) (string, error) {
	if priority == "" {
		return "*", nil
	}
	for level, name := range priorities {
		if name == priority {
			return level, nil
		}
	}
	return "", aegis.Errorf(aegis.CodeInvalidArgument, "%q is no priority; use high, normal or low", priority)
}

func (f *CommandFilter) wants(s CommandState) bool {
	return len(f.States) == 0 || slices.Contains(f.States, s)
}

// check returns an error for a filter that can match nothing.
func (f *CommandFilter) check() error {
	for _, s := range f.States {
		if s != Scheduled && s != Waiting && s != Running && s != Retrying {
			return aegis.Errorf(aegis.CodeInvalidArgument, "no command in a queue is %s: use SCHEDULED, WAITING, RUNNING or RETRYING", s)
		}
	}
	if f.Method != "" {
		return checkToken("a method", f.Method)
	}
	return nil
}

// subject returns the subjects to read, with as few as possible of commands that the filter
// does not want.
func (f *CommandFilter) subject(ns, service, level string) string {
	kind := "*"
	switch queued := f.wants(Waiting) || f.wants(Running) || f.wants(Retrying); {
	case !queued:
		kind = wire.KindCommandAt
	case !f.wants(Scheduled):
		kind = wire.KindCommand
	}
	method := "*"
	if f.Method != "" {
		method = f.Method
	}
	return strings.Join([]string{ns, kind, service, method, level, "*", "*"}, ".")
}

// Commands returns the commands in the queue of a service, in the order in which they were
// stored. It reads them as they are asked for, and holds no more than 64, or some megabytes, at a
// time; for those that a worker has been given it reads the records of their attempts as well. A service without a queue
// has no commands. The loop ends after an error.
func (a *Admin) Commands(ctx context.Context, service string, f CommandFilter) iter.Seq2[*Command, error] {
	return func(yield func(*Command, error) bool) {
		if err := a.commands(ctx, service, &f, func(c *Command) bool { return yield(c, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func (a *Admin) commands(ctx context.Context, service string, f *CommandFilter, each func(*Command) bool) error {
	if err := a.check(service); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	level, err := levelOf(f.Priority)
	if err != nil {
		return err
	}
	delivered, err := a.delivered(ctx, service)
	if err != nil {
		return err
	}
	queue := wire.CommandStream(a.in.Layout.Namespace, service)
	subject := f.subject(a.in.Layout.Namespace, service, level)
	r := &reader{stores: a.in.Stores, stream: queue, subject: subject}
	for {
		msg, why := r.read(ctx)
		if why != nil {
			return a.refused(why)
		}
		if msg == nil || f.Older > 0 && time.Since(msg.Time) < f.Older {
			return nil // those after it are younger
		}
		c, ok := a.queued(service, msg)
		if !ok {
			continue
		}
		if c.State == Waiting && c.Sequence <= delivered[deliveredKey(c.Method, c.Priority)] {
			if err := a.viewAttempts(ctx, c); err != nil {
				return err
			}
		}
		if f.wants(c.State) && !each(c) {
			return nil
		}
	}
}

// queued reads a message of a queue. It returns false for what is no command.
func (a *Admin) queued(service string, msg *stores.Stored) (*Command, bool) {
	ns := a.in.Layout.Namespace
	rest, due := strings.CutPrefix(msg.Subject, ns+"."+wire.KindCommand+"."+service+".")
	if !due {
		var ok bool
		if rest, ok = strings.CutPrefix(msg.Subject, ns+"."+wire.KindCommandAt+"."+service+"."); !ok {
			return nil, false
		}
	}
	tokens := strings.SplitN(rest, ".", 3)
	if len(tokens) != 3 || !wire.ValidCommandID(tokens[2]) {
		return nil, false
	}
	c := &Command{
		Service: service, Method: tokens[0], ID: tokens[2], State: Waiting, Priority: priorities[tokens[1]],
		Stored: msg.Time, Sequence: msg.Sequence, Data: msg.Data, ContentType: msg.Header.Get(wire.HeaderContentType),
		subject: msg.Subject, send: msg.Header.Get(wire.HeaderSend), Header: metadataOf(msg.Header),
	}
	if !due {
		c.State = Scheduled
		if at, ok := strings.CutPrefix(msg.Header.Get(wire.HeaderSchedule), "@at "); ok {
			c.Due, _ = time.Parse(time.RFC3339, at) // another schedule has no time
		}
	}
	if ms, err := strconv.ParseInt(msg.Header.Get(wire.HeaderExpires), 10, 64); err == nil {
		c.Expires = time.UnixMilli(ms)
	}
	return c, true
}

// metadataOf returns the metadata in the header of a message; none if they cannot be read.
func metadataOf(h nats.Header) aegis.Header {
	user, why := metadata.Decode(h)
	if why != nil {
		return nil
	}
	return user
}

// viewAttempts completes a command that a worker was given by the records of its attempts.
func (a *Admin) viewAttempts(ctx context.Context, c *Command) error {
	c.State = Running
	results := a.results(c.Service)
	record, why := results.Last(ctx, c.ID, wire.ResultAttempts)
	if why != nil {
		return a.refused(why)
	}
	tries, begun := 0, false
	if record != nil {
		if r, ok := wire.DecodeAttempts(record.Data); ok && r.Sequence == c.Sequence {
			c.Failures, tries, begun = r.Attempts, r.Tries, r.Begun
			c.Attempt, c.FailedAt = r.Tries, record.Time
			if begun {
				c.Failures, c.FailedAt = max(r.Attempts-1, 0), time.Time{}
			}
		}
	}
	progress, why := results.Last(ctx, c.ID, wire.ResultProgress)
	if why != nil {
		return a.refused(why)
	}
	if progress != nil {
		if p, ok := wire.ParseProgress(progress.Data); ok && p.Send == c.send {
			c.Attempt = max(c.Attempt, p.Attempt)
			if p.Percent != nil {
				c.Progress = &aegis.Progress{Percent: *p.Percent, Message: p.Message}
			}
		}
	}
	if c.Failures > 0 && !begun && c.Attempt <= tries {
		c.State = Retrying
	}
	return nil
}

// results returns the store of what is known of a service's commands. It makes no stream.
func (a *Admin) results(service string) *commandstore.Results {
	layout := a.in.Layout
	want := layout.Results(&spec.Service{Name: service, CommandStorage: &spec.Storage{}}, &stores.Settings{})
	return &commandstore.Results{
		Bus: a.in.Bus, Stores: a.in.Stores, Subjects: layout.Subjects, Service: service,
		Queue:  wire.CommandStream(layout.Namespace, service),
		Stream: stores.Stream{Stores: a.in.Stores, Want: want, Policy: stores.Policy{Warn: func(string) {}}},
	}
}
