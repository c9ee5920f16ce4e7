package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
)

const (
	// glance is how often a recovery is looked for.
	glance = 20 * time.Millisecond
	// parting is how long a server that is being stopped is still waited for after Ctrl-C,
	// so that its keeper can be asked to start it again.
	parting = 5 * time.Second
)

// victim is the process that a fault meets.
type victim struct {
	*process

	instance string
	leads    bool
	serving  int // how many instances served before
}

// choose finds the process for the next fault.
func (s *session) choose(ctx context.Context) (*victim, error) {
	if _, err := s.fleet.refresh(); err != nil {
		return nil, err
	}
	if err := s.identifier.identifyAll(ctx, s.fleet); err != nil {
		return nil, err
	}
	leader := ""
	if group := s.method.Group(); group != "" {
		if err := s.await(ctx, s.order.wait, func() (bool, error) {
			leader = s.crowd.leader(group)
			return leader != "", nil
		}); err != nil {
			return nil, fmt.Errorf("nobody leads the group %s of %s: %w", group, s.service, err)
		}
	}
	serving, err := s.crowd.serving()
	if err != nil {
		return nil, err
	}
	candidates := slices.DeleteFunc(slices.Clone(s.fleet.processes), func(p *process) bool {
		return p.other || p.id == "" || s.order.target == targetLeader && p.id != leader
	})
	if len(candidates) == 0 {
		return nil, fmt.Errorf("the leader is the instance %s, which is none of the processes %s: name its process, or use --target %s",
			s.crowd.name(leader), s.fleet, targetRandom)
	}
	p := candidates[rand.IntN(len(candidates))]
	return &victim{process: p, instance: s.crowd.name(p.id), leads: p.id == leader, serving: len(serving)}, nil
}

// await waits until a condition holds. It is an error if that takes too long.
func (s *session) await(ctx context.Context, within time.Duration, holds func() (bool, error)) error {
	deadline := time.Now().Add(within)
	for {
		ok, err := holds()
		switch {
		case ok || err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return errTooLong
		}
		sleep(ctx, glance)
	}
}

var errTooLong = errors.New("it takes too long")

// sleep waits, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// inject does a fault, waits for the recovery, and returns what happened.
func (s *session) inject(ctx context.Context, number int) (*faultReport, error) {
	sleep(ctx, s.order.every)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	v, err := s.choose(ctx)
	if err != nil {
		return nil, err
	}
	s.traffic.reset()
	at := s.traffic.clock.Now()
	if err := s.harm(ctx, v); err != nil {
		return nil, err
	}
	recovered, problem, err := s.awaitRecovery(ctx, v, at)
	if err != nil {
		return nil, err
	}
	calls, _ := s.traffic.since()
	r := newFaultReport(number, v, impactOf(calls, at))
	r.Recovered, r.Problem = recovered, problem
	return r, nil
}

// harm does to a process what the order says.
func (s *session) harm(ctx context.Context, v *victim) error {
	if s.order.kind == pause {
		thaw, err := v.freeze()
		if err != nil {
			return err
		}
		defer thaw()
		s.progress.Sayf("%s is paused", v)
		sleep(ctx, s.order.pause)
		return nil
	}
	if err := v.strike(s.order.kind); err != nil {
		return err
	}
	if s.order.kind != stop {
		s.crowd.bury(v.id)
	}
	s.progress.Sayf("%s: waiting until calls succeed and all instances serve", v)
	if s.fleet.keeper == nil {
		s.fleet.drop(v.process)
		return nil
	}
	if s.order.kind == kill {
		return nil // the keeper starts it again by itself
	}
	return s.startAgain(ctx, v)
}

// startAgain waits until the keeper has seen the end of a server, and asks it to start the
// server again.
func (s *session) startAgain(ctx context.Context, v *victim) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.order.wait)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(parting, cancel) })()
	err := s.await(within, s.order.wait, func() (bool, error) {
		state, err := s.fleet.refresh()
		if err != nil {
			return false, err
		}
		for _, srv := range state.Servers {
			if srv.PID == v.pid {
				return false, nil
			}
		}
		return true, state.StartAgain()
	})
	if errors.Is(err, errTooLong) || within.Err() != nil {
		return nil // awaitRecovery tells that it does not serve again
	}
	return err
}

// awaitRecovery waits until the instances are as they should be, and calls succeed, and tells why
// that is not so when the time is over.
func (s *session) awaitRecovery(ctx context.Context, v *victim, at time.Duration) (ok bool, problem string, err error) {
	begun := time.Duration(-1) // when the instances were as they should be
	err = s.await(ctx, s.order.wait, func() (bool, error) {
		why, err := s.unsettled(v)
		if err != nil {
			return false, err
		}
		if problem = why; why != "" {
			begun = -1
			return false, nil
		}
		if begun < 0 {
			begun = s.traffic.clock.Now()
		}
		calls, oldest := s.traffic.since()
		failover := impactOf(calls, at).failover
		problem = "calls do not succeed"
		if failover != load.Never {
			problem = "calls from before the recovery have not ended"
		}
		return failover != load.Never && oldest > begun, nil
	})
	switch {
	case err == nil:
		return true, "", nil
	case errors.Is(err, errTooLong):
		return false, problem, nil
	case ctx.Err() != nil:
		return false, "interrupted", nil //nolint:nilerr // the report is for what happened before
	default:
		return false, "", err
	}
}

// unsettled tells in what the instances are not as they should be after a fault.
func (s *session) unsettled(v *victim) (string, error) {
	serving, err := s.crowd.serving()
	if err != nil {
		return "", err
	}
	there := slices.Contains(serving, v.id)
	expected := v.serving
	switch {
	case s.order.kind == pause && !there:
		return "the instance " + v.instance + " does not serve", nil
	case (s.order.kind == kill || s.order.kind == stop) && s.crowd.has(v.id):
		return "the instance " + v.instance + " is still in the registry", nil
	case s.order.kind != pause && s.fleet.keeper == nil:
		expected-- // nobody starts it again
	}
	if len(serving) < expected {
		return fmt.Sprintf("%d of %d instances serve", len(serving), expected), nil
	}
	if group := s.method.Group(); group != "" && s.crowd.leader(group) == "" {
		return "nobody leads the group " + group, nil
	}
	return "", nil
}
