package aegis

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// CommandState says where a command is in its life.
type CommandState int

// The states.
const (
	// CommandUnknown: there is no such command, or its result is kept no longer.
	CommandUnknown CommandState = iota
	// CommandScheduled: it is not due yet.
	CommandScheduled
	// CommandQueued: it waits for a worker, or its first attempt has run for less
	// than a second.
	CommandQueued
	// CommandRunning: a worker has begun it; between attempts too.
	CommandRunning
	// CommandSucceeded: it has a result.
	CommandSucceeded
	// CommandFailed: it has ended with an error, and is among the dead letters.
	CommandFailed
	// CommandCanceled: it was canceled.
	CommandCanceled
	// CommandExpired: its expiry came before a worker.
	CommandExpired
)

const stateUnknown = "UNKNOWN"

// String returns the state's name in capitals, such as "RUNNING".
func (s CommandState) String() string {
	names := [...]string{stateUnknown, "SCHEDULED", "QUEUED", "RUNNING", wire.StateSucceeded, wire.StateFailed, wire.StateCanceled, wire.StateExpired}
	if s < 0 || int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// Ended reports whether the state is the last one.
func (s CommandState) Ended() bool { return s >= CommandSucceeded }

// CommandStatus is what is known of a command.
type CommandStatus struct {
	State CommandState
	// Attempt is the number of the last attempt that is known of, 0 for none.
	Attempt int
	// Progress is the last report, nil for none.
	Progress *Progress
	// Canceling: it was canceled, and has not ended yet.
	Canceling bool
	// Err is why a command has failed, was canceled or has expired, as Result
	// returns it.
	Err error
}

// Status returns what is known of the command now. It is no error if there is no
// such command: see CommandUnknown.
func (c *Command[R]) Status(ctx context.Context) (*CommandStatus, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.handle.status(ctx)
}

func (h *commandHandle) status(ctx context.Context) (*CommandStatus, error) {
	if h.broken != nil {
		return nil, h.broken
	}
	view, err := h.view(ctx)
	if err != nil {
		return nil, err
	}
	return &view.CommandStatus, nil
}

// commandView is what is stored of a command.
type commandView struct {
	CommandStatus

	message *stores.Stored // the command itself; nil if it has ended, or there is none
}

// send tells the command from others with its id.
func (v *commandView) send() string { return v.message.Header.Get(wire.HeaderSend) }

// view reads what is stored. The result is stored before the command goes.
func (h *commandHandle) view(ctx context.Context) (*commandView, *Error) {
	v := &commandView{}
	if ended, err := h.viewEnded(ctx, v); ended || err != nil {
		return v, err
	}
	conn, service := h.client.conn, h.client.service.Name
	var err *Error
	v.message, err = conn.lastStored(ctx, wire.CommandStream(conn.ns, service), conn.subjects.CommandAnywhere(service, h.method.Name, h.id))
	switch {
	case err != nil:
		return nil, err
	case v.message == nil: // it may have ended between the two looks
		_, err = h.viewEnded(ctx, v)
		return v, err
	case conn.subjects.IsCommandAt(v.message.Subject):
		v.State = CommandScheduled
	default:
		v.State = CommandQueued
	}
	h.watch.expect(v.send())
	if err := h.viewProgress(ctx, v, v.send()); err != nil {
		return nil, err
	}
	stop, err := h.stored(ctx, wire.ResultStop)
	if err != nil {
		return nil, err
	}
	v.Canceling = stop != nil && string(stop.Data) == v.send()
	return v, nil
}

// viewEnded reports whether the command has ended.
func (h *commandHandle) viewEnded(ctx context.Context, v *commandView) (bool, *Error) {
	outcome := h.watch.ended()
	if outcome == nil {
		msg, err := h.stored(ctx, wire.ResultResult)
		if msg == nil || err != nil {
			return false, err
		}
		outcome = &msg.Msg
		h.watch.heard(outcome)
	}
	v.ended(outcome)
	return true, h.viewProgress(ctx, v, outcome.Header.Get(wire.HeaderSend))
}

func (h *commandHandle) viewProgress(ctx context.Context, v *commandView, send string) *Error {
	msg, err := h.stored(ctx, wire.ResultProgress)
	if msg == nil || err != nil {
		return err
	}
	p, ok := parseProgress(msg.Data)
	if !ok || p.send != send {
		return nil // it is of an earlier command with the same key
	}
	h.watch.heard(&msg.Msg)
	if v.State == CommandQueued {
		v.State, v.Attempt = CommandRunning, p.attempt
	}
	if p.reported {
		v.Progress = &p.Progress
	}
	return nil
}

func (h *commandHandle) notFound() *Error {
	return Errorf(CodeNotFound, "there is no command %s of %s.%s, or its result is kept no longer", h.id, h.client.service.Name, h.method.Name)
}

func (s *CommandStatus) ended(outcome *nats.Msg) {
	for state := CommandSucceeded; state <= CommandExpired; state++ {
		if state.String() == outcome.Header.Get(wire.HeaderState) {
			s.State = state
		}
	}
	if n, err := strconv.Atoi(outcome.Header.Get(wire.HeaderAttempt)); err == nil {
		s.Attempt = n
	}
	if err := outcomeError(outcome); err != nil {
		s.Err = err
	}
}
