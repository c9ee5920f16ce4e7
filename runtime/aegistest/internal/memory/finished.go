package memory

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/commandwait"
	"github.com/aegisrpc/aegis/runtime/internal/inmemory"
	"github.com/aegisrpc/aegis/runtime/internal/status"
)

// finished is the handle of a command of no hub, whose story is known from the beginning.
type finished struct {
	id   string
	news []commandwait.News // one after the other
}

// NewFinished returns the handle of a command that has ended with a response, or with why,
// after some reports; with neither it never ends.
func NewFinished(id string, res proto.Message, why *status.Status, reports []commandwait.Progress) inmemory.CommandHandle {
	f := &finished{id: id}
	for i := range reports {
		f.news = append(f.news, commandwait.News{Reports: i + 1, Progress: &reports[i]})
	}
	var last commandwait.News
	if len(f.news) > 0 {
		last = f.news[len(f.news)-1]
	}
	switch {
	case why != nil:
		last.Outcome = outcome(stateFor(why), 1, nil, nil, why)
	case res != nil:
		last.Outcome = outcome(wire.StateSucceeded, 1, res, nil, nil)
	}
	f.news = append(f.news, last)
	return f
}

// stateFor returns the state of a command that has ended with a status.
func stateFor(why *status.Status) string {
	switch {
	case why.Reason == wire.ReasonExpired:
		return wire.StateExpired
	case why.Code == status.Canceled:
		return wire.StateCanceled
	default:
		return wire.StateFailed
	}
}

func (f *finished) ID() string { return f.id }

// Follow tells the whole story, and waits for ctx if it has no end.
func (f *finished) Follow(ctx context.Context, each func(commandwait.News) (enough bool)) *status.Status {
	for _, news := range f.news {
		if ctx.Err() != nil {
			return status.Of(ctx.Err())
		}
		if each(news) {
			return nil
		}
	}
	<-ctx.Done()
	return status.Of(ctx.Err())
}

func (f *finished) View(context.Context) (*commandwait.View, *status.Status) {
	last := f.news[len(f.news)-1]
	v := &commandwait.View{State: commandwait.Running, Attempt: 1, Progress: last.Progress, Outcome: last.Outcome}
	if v.Outcome != nil {
		v.State = stateOf(v.Outcome.Header.Get(wire.HeaderState))
	}
	return v, nil
}

func (f *finished) Cancel(context.Context, string) *status.Status {
	if f.news[len(f.news)-1].Outcome == nil {
		return nil
	}
	return status.Newf(status.FailedPrecondition, "the command %s has ended already", f.id)
}
