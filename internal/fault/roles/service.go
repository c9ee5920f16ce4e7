//go:build linux

package roles

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	faultv1 "github.com/aegisrpc/aegis/internal/fault/gen/fault/v1"
	"github.com/aegisrpc/aegis/internal/fault/history"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// actTimeout is the timeout of Act in the proto.
const actTimeout = 5 * time.Second

// service is the implementation of FaultService: it records all it does.
type service struct {
	log       *history.Log
	registers *registers
}

func newService(nc *nats.Conn, o CandidateOrder, log *history.Log) (*service, error) {
	r, err := newRegisters(nc, o.Instance, o.Replicas)
	return &service{log: log, registers: r}, err
}

// OnLeading loads the registers and puts this term's mark behind all that earlier
// leaders wrote.
func (s *service) OnLeading(ctx context.Context, term aegis.Term) error {
	s.log.Append(history.Record{Kind: history.Elected, Term: term.Token, Begin: history.Now()})
	return s.registers.lead(ctx, term.Token)
}

// Act puts the id into the register.
func (s *service) Act(ctx context.Context, req *faultv1.ActRequest) (*faultv1.ActResponse, error) {
	entered := history.Now()
	term, _ := aegis.TermFromContext(ctx)
	s.log.Append(history.Record{
		Kind: history.Started, ID: req.GetId(), Key: req.GetKey(), Term: term.Token,
		Begin: letIn(ctx, req, entered), End: entered,
	})
	previous, err := s.registers.put(ctx, term.Token, req.GetId(), req.GetKey())
	s.log.Append(history.Record{Kind: history.Ended, ID: req.GetId(), Term: term.Token, End: history.Now()})
	if err != nil {
		return nil, err
	}
	return &faultv1.ActResponse{Previous: previous}, nil
}

// letIn is when the runtime decided that the handler may run. Of a first attempt
// it is known, as the deadline counts from there; of others it is taken to be
// when the handler began, which is later and so never hides anything.
func letIn(ctx context.Context, req *faultv1.ActRequest, entered int64) int64 {
	call, ok := aegis.CallFromContext(ctx)
	deadline, timed := ctx.Deadline()
	if !ok || !timed || call.Attempt() > 1 {
		return entered
	}
	at := history.At(deadline.Add(-actTimeout))
	if at < req.GetCalled() || at > entered { // the caller sent another timeout
		return entered
	}
	return at
}
