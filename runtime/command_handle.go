package aegis

import (
	"context"
	"iter"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/spec"
	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/body"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
)

// Command is a handle of one command, whoever sent it: it tells what becomes of the
// command, and can cancel it. It is safe for concurrent use, and needs no closing.
type Command[R any] struct{ commandHandle }

// commandHandle is the part of a handle that does not depend on the message types.
type commandHandle struct {
	command inmemory.CommandHandle // a *commandwait.Command, but in unit tests
	method  *spec.Method           // nil if command is nil, and in unit tests
	id      string
	broken  *Error // why there can be no such command; command is nil then
}

// follows makes h the handle of another command.
func (h *commandHandle) follows(c inmemory.CommandHandle) { h.command, h.id = c, c.ID() }

// ID returns the id of the command, by which any process finds it again: see the
// generated function that ends in Command.
func (c *Command[R]) ID() string { return c.id }

// Result waits until the command has ended, or ctx ends, and returns the response of
// the command, or why it has none. A command that has failed has the code that its
// handler returned last; one that was canceled has CodeCanceled, and one that has expired
// CodeDeadlineExceeded with ReasonExpired. IsWireError tells these errors of the command
// from those of this call, such as CodeDeadlineExceeded when ctx ends. The code is
// CodeNotFound if there is no such command, or none any more: results are kept for the
// method's result_ttl.
func (c *Command[R]) Result(ctx context.Context) (*R, error) {
	msg, err := c.await(ctx)
	if err != nil {
		return nil, err
	}
	if failure := outcomeError(msg); failure != nil {
		return nil, failure
	}
	res := new(R)
	into, _ := any(res).(proto.Message) // generated code passes messages
	if err := body.Unmarshal(msg.Data, wire.WantsJSON(msg.Header), into); err != nil {
		return nil, Errorf(CodeInternal, "the result of command %s cannot be read: %w", c.id, err)
	}
	return res, nil
}

// await waits for the outcome of the command.
func (h *commandHandle) await(ctx context.Context) (*nats.Msg, error) {
	var outcome *nats.Msg
	err := h.follow(ctx, func(news commandwait.News) bool {
		outcome = news.Outcome
		return outcome != nil
	})
	return outcome, err
}

// follow is commandwait.Follow.
func (h *commandHandle) follow(ctx context.Context, each func(commandwait.News) (enough bool)) error {
	if h.broken != nil {
		return h.broken
	}
	return errorOrNone(outward(h.command.Follow(ctx, each)))
}

// outcomeError returns why a command that has ended has no response; nil if it has one.
func outcomeError(outcome *nats.Msg) *Error {
	if outcome.Header.Get(wire.HeaderState) == wire.StateSucceeded {
		return nil
	}
	return decodeError(outcome)
}

// Progress returns the reports of the command's handler, beginning with the last report
// so far. The loop ends when the command has ended, whichever way. If ctx ends before
// that, or there is no such command, the last element is the error, an *Error. A reader
// that is slower than the handler misses reports in between, never the last one.
func (c *Command[R]) Progress(ctx context.Context) iter.Seq2[*Progress, error] {
	return func(yield func(*Progress, error) bool) {
		seen, stopped := 0, false
		err := c.follow(ctx, func(news commandwait.News) bool {
			if news.Reports > seen {
				seen = news.Reports
				p := Progress(*news.Progress)
				if stopped = !yield(&p, nil); stopped {
					return true
				}
			}
			return news.Outcome != nil
		})
		if err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// Cancel asks for the end of the command and returns when the request is stored. A
// command that no worker has begun never begins; the context of a handler that runs
// ends, and the handler decides by what it returns: with a response the command succeeds,
// with an error it is canceled. The code of the error is CodeFailedPrecondition if the
// command has ended already, and CodeNotFound if there is no such command. Without a
// deadline of ctx it waits for 5 s.
func (c *Command[R]) Cancel(ctx context.Context) error {
	if c.broken != nil {
		return c.broken
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	ttl := ""
	if c.method != nil {
		ttl = c.method.Command.ResultTTL.String()
	}
	return errorOrNone(outward(c.command.Cancel(ctx, ttl)))
}

// CommandState says where a command is in its life.
type CommandState int

// The states.
const (
	// CommandUnknown: there is no such command, or its result is kept no longer.
	CommandUnknown CommandState = iota
	// CommandScheduled: the command is not due yet.
	CommandScheduled
	// CommandQueued: the command waits for a worker, or its first attempt has run for
	// less than a second.
	CommandQueued
	// CommandRunning: a worker has begun the command; between attempts too.
	CommandRunning
	// CommandSucceeded: the command has a result.
	CommandSucceeded
	// CommandFailed: the command has ended with an error, and is among the dead letters.
	CommandFailed
	// CommandCanceled: the command was canceled.
	CommandCanceled
	// CommandExpired: the command's expiry came before a worker.
	CommandExpired
)

// The numbers are those of commandwait.State: this compiles only if there are as many.
var _ [CommandExpired]struct{} = [commandwait.Expired]struct{}{}

// String returns the state's name in capitals, such as "RUNNING".
func (s CommandState) String() string { return commandwait.State(s).String() }

// Ended reports whether the state is the last one.
func (s CommandState) Ended() bool { return commandwait.State(s).Ended() }

// CommandStatus is what is known of a command at one moment.
type CommandStatus struct {
	State CommandState
	// Attempt is the number of the last attempt that is known of, 0 for none.
	Attempt int
	// Progress is the last report, nil for none.
	Progress *Progress
	// Canceling says that the command was canceled, and has not ended yet.
	Canceling bool
	// Err is why a command has failed, was canceled or has expired, as Result
	// returns it.
	Err error
}

// Status returns what is known of the command now. It is no error if there is no such
// command: the state is CommandUnknown then. Without a deadline of ctx it waits for 5 s
// for JetStream to answer.
func (c *Command[R]) Status(ctx context.Context) (*CommandStatus, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.status(ctx)
}

// status is Status for all message types.
func (h *commandHandle) status(ctx context.Context) (*CommandStatus, error) {
	if h.broken != nil {
		return nil, h.broken
	}
	view, why := h.command.View(ctx)
	if why != nil {
		return nil, outward(why)
	}
	s := &CommandStatus{State: CommandState(view.State), Attempt: view.Attempt, Progress: (*Progress)(view.Progress), Canceling: view.Canceling}
	if view.Outcome != nil {
		s.Err = errorOrNone(outcomeError(view.Outcome))
	}
	return s, nil
}
