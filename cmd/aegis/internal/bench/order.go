package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/report"
	"github.com/aegisrpc/aegis/cmd/aegis/internal/cli"
	"github.com/aegisrpc/aegis/internal/near"
)

// The shapes of load.
const (
	constant = "constant"
	ramp     = "ramp"
	spike    = "spike"
	wave     = "wave"
	burst    = "burst"
	stress   = "stress"
)

const (
	defaultDuration = 10 * time.Second
	defaultWarmUp   = time.Second
	defaultCallers  = 16   // of a closed loop
	defaultInFlight = 1024 // of an open loop
	maxCallers      = 100_000
)

// loadFlags say which load is to be made.
type loadFlags struct {
	rate     float64
	callers  int
	duration time.Duration
	requests int64
	warmUp   time.Duration
	shape    string
	peak     float64
	period   time.Duration
	expected time.Duration
}

func (f *loadFlags) define(c *cobra.Command) {
	s := c.Flags()
	s.Float64Var(&f.rate, "rate", 0, "calls a second; makes the loop open (default: a closed loop)")
	s.IntVar(&f.callers, "callers", 0, fmt.Sprintf("callers of a closed loop (default %d), or most calls in flight of an open one (default %d)",
		defaultCallers, defaultInFlight))
	s.DurationVar(&f.duration, "duration", 0, fmt.Sprintf("how long calls are made (default %s without --requests)", defaultDuration))
	s.Int64Var(&f.requests, "requests", 0, "how many calls are made (default: as many as the duration has)")
	s.DurationVar(&f.warmUp, "warm-up", 0, fmt.Sprintf("calls before the measurement, which do not count (default %s, 0s with --requests)", defaultWarmUp))
	s.StringVar(&f.shape, "shape", constant, "shape of an open loop: constant, ramp, spike, wave, burst or stress")
	s.Float64Var(&f.peak, "peak", 0,
		"the other rate of ramp, spike and wave, which need it, or the highest that stress tries (default: no limit), in calls a second")
	s.DurationVar(&f.period, "period", 0, "length of a ramp, a spike, a wave, a burst's interval, or a step of stress (defaults above)")
	s.DurationVar(&f.expected, "expected-interval", 0, "closed loop: correct latencies as if each caller called this often (default: no correction)")
}

// limitFlags are what a run has to keep.
type limitFlags struct {
	p99     time.Duration
	errors  string
	minRate float64
}

func (f *limitFlags) define(c *cobra.Command) {
	s := c.Flags()
	s.DurationVar(&f.p99, report.MaxP99, 0, "exit code 1 if the 99th percentile of the latency is above this (default: no limit)")
	s.StringVar(&f.errors, report.MaxErrors, "", "exit code 1 if more calls than this fail, such as 0.1% (default: no limit)")
	s.Float64Var(&f.minRate, report.MinRate, 0, "exit code 1 if fewer calls a second are answered; with stress, if none as high held (default: no limit)")
}

// order is a load that makes sense.
type order struct {
	loadFlags

	maxP99    time.Duration // 0 for no limit
	maxErrors float64       // ratio, below 0 for no limit
	minRate   float64
}

// order checks the flags, and fills in defaults.
func (f *loadFlags) order(limits *limitFlags, given func(string) bool) (*order, error) {
	o := &order{loadFlags: *f, maxP99: limits.p99, maxErrors: -1, minRate: limits.minRate}
	if limits.errors != "" {
		ratio, err := parseRatio(limits.errors)
		if err != nil {
			return nil, err
		}
		o.maxErrors = ratio
	}
	for _, check := range []func(*order, func(string) bool) error{checkNumbers, checkLoop, checkShape} {
		if err := check(o, given); err != nil {
			return nil, err
		}
	}
	if o.requests == 0 && o.duration == 0 {
		o.duration = defaultDuration
	}
	if !given("warm-up") && o.requests == 0 {
		o.warmUp = min(defaultWarmUp, o.duration/5)
	}
	o.fillShape()
	return o, nil
}

func checkNumbers(o *order, given func(string) bool) error {
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"rate", o.rate},
		{"callers", float64(o.callers)},
		{"duration", o.duration.Seconds()},
		{"requests", float64(o.requests)},
		{"peak", o.peak},
		{"period", o.period.Seconds()},
		{"expected-interval", o.expected.Seconds()},
		{report.MaxP99, o.maxP99.Seconds()},
		{report.MinRate, o.minRate},
	} {
		if given(n.name) && !(n.value > 0 && n.value <= 1e12) {
			return cli.Usagef("--%s: use more than 0", n.name)
		}
	}
	switch {
	case o.warmUp < 0:
		return cli.Usagef("--warm-up %s: use 0s or more", o.warmUp)
	case o.callers > maxCallers:
		return cli.Usagef("--callers %d: use at most %d", o.callers, maxCallers)
	}
	return nil
}

// checkLoop fills in the callers, and refuses flags of the other loop.
func checkLoop(o *order, given func(string) bool) error {
	if o.rate > 0 {
		if o.expected > 0 {
			return cli.Usagef("--expected-interval is for closed loops: latencies of an open loop (--rate) count from the intended start already")
		}
		if o.callers == 0 {
			o.callers = defaultInFlight
		}
		return nil
	}
	for _, name := range []string{"shape", "peak", "period"} {
		if given(name) {
			return cli.Usagef("--%s needs --rate: it is a rate that has a shape, and a closed loop has none", name)
		}
	}
	if o.callers == 0 {
		o.callers = defaultCallers
	}
	return nil
}

// checkShape refuses flags that the shape does not have.
func checkShape(o *order, given func(string) bool) error {
	shapes := []string{constant, ramp, spike, wave, burst, stress}
	if !slices.Contains(shapes, o.shape) {
		if near := near.Name(o.shape, shapes); near != "" {
			return cli.Usagef("--shape %s: did you mean %s?", o.shape, near)
		}
		return cli.Usagef("--shape %s: use one of %s", o.shape, strings.Join(shapes, ", "))
	}
	peaked := o.shape == ramp || o.shape == spike || o.shape == wave
	switch {
	case peaked && o.peak == 0:
		return cli.Usagef("--shape %s needs --peak, its other rate", o.shape)
	case o.shape == wave && o.peak < o.rate:
		return cli.Usagef("--shape wave: --peak %g is its highest rate and --rate %g its lowest", o.peak, o.rate)
	case !peaked && o.shape != stress && o.peak > 0:
		return cli.Usagef("--peak: the shape %s has none; leave it out, or choose ramp, spike, wave or stress", o.shape)
	case o.shape == stress && o.peak > 0 && o.peak < o.rate:
		return cli.Usagef("--peak %g: stress goes up from --rate %g", o.peak, o.rate)
	case o.shape == constant && o.period > 0:
		return cli.Usagef("--period: the shape constant has none; leave it out")
	case o.shape == stress && (given("duration") || o.requests > 0):
		return cli.Usagef("--duration and --requests: stress ends by itself; --period is how long it stays at each rate")
	case peaked && o.requests > 0 && o.duration == 0 && o.period == 0:
		return cli.Usagef("--shape %s with --requests needs --period or --duration, for its length", o.shape)
	}
	return nil
}

// fillShape fills in the period and the limits of the shape.
func (o *order) fillShape() {
	if o.shape == stress {
		if o.maxP99 == 0 {
			o.maxP99 = 100 * time.Millisecond
		}
		if o.maxErrors < 0 {
			o.maxErrors = 0.01
		}
	}
	if o.period > 0 {
		return
	}
	switch o.shape {
	case ramp:
		o.period = o.duration
	case spike:
		o.period = o.duration / 10
	case wave:
		o.period = o.duration / 4
	case burst:
		o.period = time.Second
	case stress:
		o.period = 2 * time.Second
	}
}

// plan returns the shape, nil for a closed loop.
func (o *order) plan() load.Shape {
	switch {
	case o.rate == 0:
		return nil
	case o.shape == ramp:
		return load.Ramp(o.rate, o.peak, o.period)
	case o.shape == spike:
		return load.Spike(o.rate, o.peak, max(0, o.duration-o.period)/2, o.period)
	case o.shape == wave:
		return load.Wave((o.rate+o.peak)/2, (o.peak-o.rate)/2, o.period)
	case o.shape == burst:
		return load.Burst(max(1, int64(o.rate*o.period.Seconds()+0.5)), o.period)
	default:
		return load.Constant(o.rate)
	}
}

// describe returns the load as the report has it.
func (o *order) describe() report.Load {
	l := report.Load{
		Loop: report.Closed, Callers: o.callers, Duration: o.duration.Seconds(), Requests: o.requests, WarmUp: o.warmUp.Seconds(),
		Correction: report.NotCorrected,
	}
	if o.expected > 0 {
		l.Correction, l.ExpectedInterval = report.CorrectedByInterval, float64(o.expected)/1e6
	}
	if o.rate == 0 {
		return l
	}
	l.Loop, l.Shape, l.Rate, l.Correction = report.Open, o.shape, o.rate, report.CorrectedByStart
	var parameters []string
	if o.peak > 0 {
		parameters = append(parameters, "peak "+report.PerSecond(o.peak))
	}
	if o.shape != constant {
		parameters = append(parameters, "period "+o.period.String())
	}
	l.Parameters = strings.Join(parameters, ", ")
	return l
}

// parseRatio reads 0.1% or 0.001.
func parseRatio(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, cli.Usagef("--%s %s: use a percentage such as 0.1%%, or a ratio from 0 to 1", report.MaxErrors, text)
	}
	return v, nil
}
