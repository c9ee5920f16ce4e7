package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/consent"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/methods"
	"github.com/aegisrpc/aegis/internal/devstate"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisreflect"
)

const (
	// warmUp is how long, and warmUpCalls how often, calls have to succeed before the first
	// fault.
	warmUp      = time.Second
	warmUpCalls = 20
)

// session is one run of chaos.
type session struct {
	app        *cli.App
	order      *order
	service    string
	method     *aegisreflect.Method
	fleet      *fleet
	crowd      *crowd
	identifier *identifier
	traffic    *traffic
	progress   *cli.Progress
	report     *report
}

// run does the faults and reports them. An error is one of the preparation, or says what
// was exceeded.
func run(ctx context.Context, app *cli.App, o *order, agreed *consent.Flags, args []string) error {
	all, kept, err := findFleet(o)
	if err != nil {
		return err
	}
	conn, err := connect(ctx, app, all.keeper, kept)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), app.Timeout)
		defer cancel()
		_ = conn.Close(ctx) // the calls have ended
	}()
	m, err := methods.Find(ctx, conn, args[0])
	if err != nil {
		return err
	}
	s := &session{app: app, order: o, method: m, service: string(m.Descriptor().Parent().FullName()), fleet: all}
	call, err := s.prepare(args[1:])
	if err != nil {
		return err
	}
	if ok, err := agreed.Ask(ctx, app, s.intention()); !ok || err != nil {
		return err
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.crowd = watchCrowd(ctx, conn, s.service, &watching)
	s.identifier = &identifier{nc: conn.NATS(), service: s.service, crowd: s.crowd}
	s.traffic = newTraffic(call)
	s.report = newReport(m.FullName(), o)
	failure := s.play(ctx)
	if failure != nil && len(s.report.Faults) == 0 {
		return failure
	}
	if err := s.report.show(app); err != nil {
		return err
	}
	return cmp.Or(failure, s.report.verdict())
}

// connect connects to the NATS that the keeper of the servers has started, or else to that of the flags and
// the environment.
func connect(ctx context.Context, app *cli.App, keeper *devstate.Place, kept *devstate.State) (*aegis.Conn, error) {
	if kept == nil || kept.NATS == "" {
		return app.Connect(ctx)
	}
	if app.Elsewhere() {
		return nil, cli.Usagef("%s has a NATS of its own, %s: leave --server, --context and --kube out, or name processes with --pid", keeper.Command, kept.NATS)
	}
	ctx, cancel := context.WithTimeout(ctx, app.Timeout)
	defer cancel()
	opts := []aegis.ConnOption{aegis.WithLogger(app.Logger())}
	if kept.Namespace != "" {
		opts = append(opts, aegis.WithNamespace(kept.Namespace))
	}
	return aegis.Connect(ctx, kept.NATS, opts...)
}

// intention tells what is about to happen.
func (s *session) intention() string {
	does := map[kind]string{kill: "Kill", pause: "Pause", stop: "Stop", restart: "Kill and restart"}[s.order.kind]
	what := s.fleet.String()
	if len(s.fleet.processes) > 1 {
		what = "one of " + what
	}
	times := "once"
	if s.order.faults > 1 {
		times = fmt.Sprintf("%d times", s.order.faults)
	}
	return fmt.Sprintf("%s %s, %s, while %s is called %v times a second.", does, what, times, s.method.FullName(), s.order.rate)
}

// prepare checks what the order asks of the method, and returns how it is called.
func (s *session) prepare(args []string) (func(ctx context.Context, worker int, n int64) error, error) {
	d := s.method.Descriptor()
	command := s.method.Pattern() == aegisreflect.PatternCommand
	unary := s.method.Pattern() == aegisreflect.PatternLoadBalanced || s.method.Pattern() == aegisreflect.PatternSingleActive
	if d.IsStreamingClient() || d.IsStreamingServer() || !unary && !command {
		return nil, cli.Usagef("%s: aegis chaos calls methods with one request and one response, load balanced or single active, or commands", s.method.FullName())
	}
	switch {
	case s.order.target == targetLeader && s.method.Group() == "":
		return nil, cli.Usagef("--target %s: %s has no leader; leave it out", targetLeader, s.method.FullName())
	case s.order.target == "" && s.method.Group() != "":
		s.order.target = targetLeader
	case s.order.target == "":
		s.order.target = targetRandom
	}
	arg := ""
	if len(args) > 0 {
		arg = args[0]
	}
	text, err := methods.Text(s.app, arg)
	if err != nil {
		return nil, err
	}
	requests, err := methods.NewTemplate(text, s.method.Request)
	if err != nil {
		return nil, err
	}
	timeout := s.order.timeout
	if timeout == 0 && command {
		timeout = s.order.wait
	}
	return func(ctx context.Context, worker int, n int64) error {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		req, err := requests.Request(worker, n)
		if err != nil {
			return err
		}
		if !command {
			_, err = s.method.Call(ctx, req)
			return err
		}
		sent, err := s.method.Send(ctx, req)
		if err == nil {
			_, err = sent.Result(ctx)
		}
		return err
	}, nil
}

// play makes calls and does the faults meanwhile. When it returns, no call is in flight.
func (s *session) play(ctx context.Context) error {
	s.progress = s.app.Progress("finding out which process is which instance")
	defer func() { s.progress.Done() }()
	if err := s.identifier.settle(ctx); err != nil {
		return err
	}
	if err := s.identifier.identifyAll(ctx, s.fleet); err != nil {
		return err
	}
	calling, end := context.WithCancel(ctx)
	defer end()
	called := make(chan error, 1)
	go func() { called <- s.traffic.run(calling, s.order.rate) }()
	err := s.faults(ctx)
	s.traffic.stop()
	if err != nil {
		end() // the rest of the calls is of no interest
	}
	s.progress.Sayf("waiting for the calls in flight")
	if failed := <-called; err == nil {
		err = failed
	}
	s.report.total(s.traffic, ctx.Err() != nil)
	if ctx.Err() != nil {
		return nil // the report is for what happened before
	}
	return err
}

// faults does the faults one after the other, until all are done, one is not recovered
// from, or ctx ends.
func (s *session) faults(ctx context.Context) error {
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	for number := 1; number <= s.order.faults && ctx.Err() == nil; number++ {
		s.progress.Sayf("fault %d of %d", number, s.order.faults)
		r, err := s.inject(ctx, number)
		if err != nil {
			return err
		}
		s.report.Faults = append(s.report.Faults, r)
		if !s.app.JSON() {
			s.progress.Done()
			if err := s.app.Printf("%s\n", r.line(s.app, s.order.kind)); err != nil {
				return err
			}
			s.progress = s.app.Progress("calling")
		}
		if !r.Recovered {
			return nil
		}
	}
	return nil
}

// warmUp waits until some calls have succeeded. It is an error if one fails before there is
// any fault.
func (s *session) warmUp(ctx context.Context) error {
	s.progress.Sayf("calling %s, without a fault", s.method.FullName())
	begun := time.Now()
	succeeded := 0
	err := s.await(ctx, s.order.wait, func() (bool, error) {
		calls, _ := s.traffic.since()
		for _, c := range calls {
			if c.err != nil {
				return false, fmt.Errorf("calls of %s fail before there is any fault: %w", s.method.FullName(), c.err)
			}
		}
		succeeded = len(calls)
		return succeeded >= warmUpCalls && time.Since(begun) >= warmUp, nil
	})
	if errors.Is(err, errTooLong) {
		return fmt.Errorf("only %d calls of %s have succeeded within %s, without any fault: use a --rate that the service can keep up with",
			succeeded, s.method.FullName(), s.order.wait)
	}
	return err
}
