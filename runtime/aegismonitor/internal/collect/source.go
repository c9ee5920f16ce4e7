package collect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/internal/jserror"
	"github.com/aegisrpc/aegis/runtime/internal/quiet"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// maxProblem bounds the text of a problem, which may quote what others have written.
const maxProblem = 600

// sources tells the board, and the log, how the sources are. They are safe for concurrent
// use.
type sources struct {
	board  sink
	logger *slog.Logger
	up     func() bool // the connection is up

	repeated quiet.Repeated // bounds the log of what comes and goes

	mu   sync.Mutex                       // guards told
	told map[monitorapi.SourceName]string // the kind of the problem, as the log has it
}

// ready says that a source was read.
func (s *sources) ready(name monitorapi.SourceName) {
	s.tell(name, monitorapi.SourceReady, "")
}

// partly says that a source was read but for a part.
func (s *sources) partly(name monitorapi.SourceName, problem string) {
	s.tell(name, monitorapi.SourceReady, problem)
}

// denied says that NATS does not allow this user to read a source.
func (s *sources) denied(name monitorapi.SourceName, problem string) {
	s.tell(name, monitorapi.SourceDenied, problem)
}

// failed says why a source could not be read. While the connection is away that says
// nothing of the source, and the board knows of it.
func (s *sources) failed(ctx context.Context, name monitorapi.SourceName, err error) {
	if ctx.Err() != nil || !s.up() {
		return
	}
	s.tell(name, stateOf(err), err.Error())
}

// stateOf returns the state of a source that was read with this error.
func stateOf(err error) monitorapi.SourceState {
	switch {
	case err == nil:
		return monitorapi.SourceReady
	case aegis.CodeOf(err) == aegis.CodePermissionDenied:
		return monitorapi.SourceDenied
	case noJetStream(err):
		return monitorapi.SourceAbsent
	default:
		return monitorapi.SourceFailed
	}
}

// noJetStream reports whether an error says that the account has no JetStream, and not that
// JetStream has not answered.
func noJetStream(err error) bool {
	return jserror.NotEnabled(err) || errors.Is(err, stores.ErrUnavailable) &&
		!errors.Is(err, stores.ErrDisconnected) && !errors.Is(err, context.DeadlineExceeded)
}

// tell tells the board, and the log when a problem begins or is over.
func (s *sources) tell(name monitorapi.SourceName, state monitorapi.SourceState, problem string) {
	problem = shortened(problem, maxProblem)
	s.mu.Lock()
	defer s.mu.Unlock() // so that the board hears of all in order
	if s.told == nil {
		s.told = make(map[monitorapi.SourceName]string)
	}
	kind := "" // texts differ in numbers, and one problem is logged once
	if problem != "" {
		kind = string(state)
	}
	was := s.told[name] // a source that was not told before is taken for one that can be read
	s.told[name] = kind
	if kind != was {
		s.repeated.Tell(string(name)+" "+kind, func(more ...any) { s.log(name, state, problem, more) })
	}
	s.board.Source(time.Now(), name, state, problem)
}

// log writes one line about how a source is now.
func (s *sources) log(name monitorapi.SourceName, state monitorapi.SourceState, problem string, more []any) {
	if problem == "" {
		s.logger.Info("aegis monitor: a source can be read", append([]any{"source", name}, more...)...)
		return
	}
	text := "aegis monitor: a source cannot be read"
	if state == monitorapi.SourceReady {
		text = "aegis monitor: a part of a source cannot be read"
	}
	s.logger.Warn(text, append([]any{"source", name, "state", state, "problem", problem}, more...)...)
}

// shortened returns the beginning of a long text, by whole characters.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for i := range text {
		if i > most {
			return text[:i] + "..."
		}
	}
	return text
}
