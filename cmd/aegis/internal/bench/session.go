package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/spec"
	aegis "github.com/aegisrpc/aegis/runtime"
)

// session is a load that is prepared.
type session struct {
	app    *cli.App
	order  *order
	method *spec.Method
	target *target
	drain  time.Duration
	clock  load.Clock
	next   int64 // number of the next call
}

// prepare finds the method and makes it a target.
func (f *flags) prepare(ctx context.Context, app *cli.App, conn *aegis.Conn, o *order, name, text string) (*session, error) {
	found, err := f.route.Find(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	service := found.Service().Descriptor()
	all, err := spec.FromDescriptor(service)
	if err != nil {
		return nil, err
	}
	method := all.Method(found.Name())
	options, err := f.options(method)
	if err != nil {
		return nil, err
	}
	header, err := f.metadata.Header()
	if err != nil {
		return nil, err
	}
	d, err := newData(text, found.Request)
	if err != nil {
		return nil, err
	}
	a := &aim{conn: conn, service: service, method: method, options: options, await: f.await, timeout: f.timeout, header: header}
	t, err := targetOf(a, d, o.callers)
	if err != nil {
		return nil, err
	}
	s := &session{app: app, order: o, method: method, target: t, clock: load.Wall()}
	switch {
	case t.endless: // nobody waits for what may never end
	case f.timeout > 0:
		s.drain = f.timeout + time.Second
	default:
		s.drain = max(method.Timeout, app.Timeout) + time.Second
	}
	return s, nil
}

// options are those of the client.
func (f *flags) options(m *spec.Method) ([]aegis.ClientOption, error) {
	if f.await && m.Pattern != spec.Command {
		return nil, cli.Usagef("--await: %s is no command; leave it out", m.Desc.FullName())
	}
	options, err := f.route.Options()
	if len(options) == 0 || err != nil {
		return nil, err
	}
	if err := f.route.Check(string(m.Desc.FullName()), m.Pattern); err != nil {
		return nil, err
	}
	return []aegis.ClientOption{options[0]}, nil
}

// run makes the load and returns its report.
func (s *session) run(ctx context.Context) (*report.Report, error) {
	r := &report.Report{
		Version: report.Version, Method: string(s.method.Desc.Parent().FullName()) + "/" + s.method.Name, Pattern: s.pattern(),
		Load: s.order.describe(),
	}
	if err := s.warmUp(ctx); err != nil {
		return nil, err
	}
	r.Started = time.Now().UTC()
	var err error
	if s.order.shape == stress {
		err = s.stress(ctx, r)
	} else {
		err = s.measure(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	s.judge(r)
	return r, nil
}

// pattern tells the pattern of the method in words.
func (s *session) pattern() string {
	text := s.method.Pattern.String()
	if s.method.Desc.IsStreamingServer() {
		text += ", stream of responses"
	}
	if s.method.Event != nil && s.method.Event.Durable {
		text = "durable " + text
	}
	return text
}

// warmUp makes calls that do not count, at the rate of the load.
func (s *session) warmUp(ctx context.Context) error {
	if s.order.warmUp == 0 {
		return nil
	}
	shape := s.order.plan()
	if s.order.shape != burst && shape != nil {
		shape = load.Constant(s.order.rate)
	}
	_, _, err := s.play(ctx, &load.Plan{Shape: shape, Duration: s.order.warmUp}, "warm-up", 0)
	return err
}

// measure makes the calls of one plan.
func (s *session) measure(ctx context.Context, r *report.Report) error {
	plan := &load.Plan{Shape: s.order.plan(), Duration: s.order.duration, Requests: s.order.requests}
	rec, out, err := s.play(ctx, plan, "", s.order.expected)
	if err != nil {
		return err
	}
	r.Fill(rec, out, codeName)
	return nil
}

// play makes the calls of a plan, and shows how it goes.
func (s *session) play(ctx context.Context, plan *load.Plan, phase string, expected time.Duration) (*load.Recording, *load.Outcome, error) {
	plan.Callers, plan.First, plan.Drain = s.order.callers, s.next, s.drain
	bin := 10 * time.Millisecond
	if s.target.counted {
		bin = tick // messages are counted at each tick
	}
	rec := load.NewRecorder(classify, expected, bin)
	s.target.messages = rec.Messages
	watch := startWatch(s.app, s.clock, rec, phase, plan.Duration)
	out, err := load.Run(ctx, plan, s.target, rec, s.clock)
	watch.end()
	s.next += out.Started
	return rec.Recording(), &out, err
}

// stress raises the rate until a limit is exceeded.
func (s *session) stress(ctx context.Context, r *report.Report) error {
	var failure error
	r.Stress = &report.Stress{}
	try := func(rate float64) (held, goOn bool) {
		plan := &load.Plan{Shape: load.Constant(rate), Duration: s.order.period}
		rec, out, err := s.play(ctx, plan, "at "+report.PerSecond(rate), 0)
		if err != nil || out.Interrupted && len(r.Stress.Steps) > 0 {
			failure, r.Interrupted = err, out.Interrupted
			return false, false
		}
		step := report.Report{Load: r.Load}
		step.Fill(rec, out, codeName)
		verdict := s.step(&step, rate)
		r.Stress.Steps = append(r.Stress.Steps, verdict)
		r.Add(&step, verdict.Held || len(r.Stress.Steps) == 1)
		return verdict.Held, !out.Interrupted
	}
	r.Stress.HeldRate = load.Stress(load.Staircase{Start: s.order.rate, Factor: 1.5, Max: s.order.peak, Refine: 3}, try)
	return failure
}

// keepsUp is the part of a rate that has to be answered for the rate to hold: a backlog
// that grows shows in the latency only later.
const keepsUp = 0.95

// step judges one rate of a stress test.
func (s *session) step(r *report.Report, rate float64) report.Step {
	t := report.Step{Rate: rate, Achieved: r.Totals.Rate, P99: r.Latency.P99, ErrorRatio: r.Totals.ErrorRatio}
	switch {
	case t.P99 > float64(s.order.maxP99)/1e6:
		t.Why = fmt.Sprintf("p99 above %s", s.order.maxP99)
	case t.ErrorRatio > s.order.maxErrors:
		t.Why = "errors above " + report.Percent(s.order.maxErrors)
	case t.Achieved < keepsUp*rate:
		t.Why = "not all were answered in time"
	case r.Totals.Calls == 0:
		t.Why = "no call ended"
	default:
		t.Held = true
	}
	return t
}

// judge adds the thresholds. Those of a stress test have made its steps, and it fails if no
// rate held, or none that is as high as the user demands.
func (s *session) judge(r *report.Report) {
	o := s.order
	add := func(name string, limit, value float64, held bool) {
		r.Thresholds = append(r.Thresholds, report.Threshold{Name: name, Limit: limit, Value: value, Held: held})
	}
	if r.Stress != nil {
		if o.minRate > 0 {
			add(report.MinRate, o.minRate, r.Stress.HeldRate, r.Stress.HeldRate >= o.minRate)
		}
		return
	}
	if o.maxP99 > 0 {
		limit := float64(o.maxP99) / 1e6
		add(report.MaxP99, limit, r.Latency.P99, r.Latency.P99 <= limit && r.Totals.Calls > 0)
	}
	if o.maxErrors >= 0 {
		add(report.MaxErrors, o.maxErrors, r.Totals.ErrorRatio, r.Totals.ErrorRatio <= o.maxErrors && r.Totals.Calls > 0)
	}
	if o.minRate > 0 {
		add(report.MinRate, o.minRate, r.Totals.Rate, r.Totals.Rate >= o.minRate)
	}
}

// classify returns the code of a call's error.
func classify(err error) uint8 { return uint8(aegis.CodeOf(err)) }

func codeName(code uint8) string { return aegis.Code(code).String() }
