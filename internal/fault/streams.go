//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aegisrpc/aegis/internal/fault/roles"

	"github.com/aegisrpc/aegis/internal/fault/proxy"
	"github.com/aegisrpc/aegis/internal/lossy"
)

// Faults between the two ends of streams. Each stream has to be whole, or to end
// with a status that says that it is not; and when all is over, nothing is left.

// streamScenario stands for all of them.
const streamScenario = "streams"

func (o *options) streams() bool {
	return o.scenario == "" || slices.Contains(strings.Split(o.scenario, ","), streamScenario)
}

// streamResult is what became of streams that met with one kind of fault.
type streamResult struct {
	Scenario string            `json:"scenario"`
	What     string            `json:"what"`
	Whole    uint64            `json:"whole"`
	Ended    map[string]uint64 `json:"ended"` // with a status, by code
	Short    uint64            `json:"short"` // ended well, and something was missing
	Hung     uint64            `json:"hung"`
	Left     []string          `json:"left,omitempty"`     // what the processes hold afterwards
	Failures []string          `json:"failures,omitempty"` // what else is not as it should be
}

func (r *streamResult) bad() bool { return r.Short+r.Hung > 0 || len(r.Left)+len(r.Failures) > 0 }

func (r *streamResult) ended() string {
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(r.Ended)) {
		codes = append(codes, fmt.Sprint(r.Ended[code], " ", code))
	}
	if codes == nil {
		return "0"
	}
	return strings.Join(codes, ", ")
}

func (r *streamResult) leaked() string {
	if len(r.Left) == 0 {
		return "nothing"
	}
	return strings.Join(r.Left, ", ")
}

func (r *streamResult) print(out io.Writer) {
	fmt.Fprintf(out, "streams: %-8s whole %5d, short %d, hung %d, left over: %s, ended with a status: %s\n",
		r.Scenario, r.Whole, r.Short, r.Hung, r.leaked(), r.ended())
	for _, f := range r.Failures {
		fmt.Fprintln(out, "    ", f)
	}
}

// streamCase is one kind of fault.
type streamCase struct {
	name, what string
	// fate is what happens to the messages of streams on their way to either end;
	// nil lets them pass.
	fate func(*lossy.Message) lossy.Fate
	// run has streams used, and things broken. What it returns is not finished.
	run func(context.Context, *streamWorld) error
	// size is how many streams there are, or seconds, and short in the short form,
	// where 0 leaves it out.
	size, short int
}

func streamCases() []streamCase {
	return []streamCase{
		{
			name: "laggy", what: "frames come late, one in 20 by 5 ms, with all that follow", size: 1000, short: 90,
			fate: func(*lossy.Message) lossy.Fate { return oneIn(20, lossy.Delayed) }, run: noneLost,
		},
		{
			name: "lossy", what: "one frame in 1000 is lost, comes twice or is overtaken", size: 3000, short: 300,
			fate: func(*lossy.Message) lossy.Fate {
				return oneIn(1000, []lossy.Fate{lossy.Lost, lossy.Doubled, lossy.Swapped}[rand.IntN(3)])
			},
			run: someWhole,
		},
		{
			name: "cut", what: "connections are cut, and held up for 1 s and 5 s", size: 32,
			run: cutConnections,
		},
		{
			name: "killed", what: "SIGKILL of the server, which is replaced", size: 32,
			run: killStreamer,
		},
		{
			name: "vanish", what: "SIGKILL of a client with 10,000 open streams", size: 10_000, short: 1000,
			run: killReader,
		},
		{
			name: "slow", what: "a reader of one item a second for 60 s, others beside it", size: 60,
			run: readSlowly,
		},
	}
}

func oneIn(n int, fate lossy.Fate) lossy.Fate {
	if rand.IntN(n) > 0 {
		return lossy.Passed
	}
	return fate
}

const (
	lag = 5 * time.Millisecond
	// Usual streams: as many at once, and items in each.
	streamsAtOnce = 32
	streamItems   = 200
	// longItems keep a stream busy until something happens to it.
	longItems = 20_000
	// streamsWithin bounds one order to a reader.
	streamsWithin = 5 * time.Minute
)

// runStreams runs all cases and saves what there is after each.
func (r *runner) runStreams(ctx context.Context, o *options, report *report) error {
	for _, c := range streamCases() {
		if o.short {
			c.size = c.short
		}
		if c.size == 0 {
			continue
		}
		for range max(1, o.rounds) {
			res := r.runCase(ctx, c)
			if ctx.Err() != nil {
				return errors.Join(report.save(o.out), errors.New("interrupted; what was finished is in "+o.out))
			}
			res.print(os.Stdout)
			report.Streams = append(report.Streams, res)
			if err := report.save(o.out); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) runCase(ctx context.Context, c streamCase) streamResult {
	res := streamResult{Scenario: c.name, What: c.what, Ended: make(map[string]uint64)}
	w, err := newStreamWorld(ctx, &c, &res, r.log)
	if err != nil {
		res.Failures = append(res.Failures, err.Error())
		return res
	}
	defer w.close()
	if err := w.measured(ctx); err != nil {
		res.Failures = append(res.Failures, err.Error())
	}
	if res.bad() || r.all {
		r.preserve(w.world, streamScenario+"-"+c.name)
	}
	return res
}

// streamWorld is a NATS server, a server of streams and a client of them, both
// behind something that does them harm.
type streamWorld struct {
	*world
	of      *streamCase
	res     *streamResult
	server  *child
	reader  *child
	readers []*child // with others that there were
	links   []*lossy.Link
	proxies []*proxy.Held // the server's, and the reader's
	started int
	harmful atomic.Bool // messages meet with their fate
}

func newStreamWorld(ctx context.Context, c *streamCase, res *streamResult, log *slog.Logger) (*streamWorld, error) {
	s := single()
	s.candidates, s.callers = 0, 0
	inner, err := newWorld(ctx, s, log)
	if err != nil {
		return nil, err
	}
	w := &streamWorld{world: inner, of: c, res: res}
	if err := w.startBoth(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *streamWorld) startBoth(ctx context.Context) (err error) {
	if w.server, err = w.startStreamer(ctx); err != nil {
		return err
	}
	w.reader, err = w.startReader(ctx)
	return err
}

func (w *streamWorld) startStreamer(ctx context.Context) (*child, error) {
	url, err := w.behind()
	if err != nil {
		return nil, err
	}
	w.started++
	name := fmt.Sprint("streamer", w.started)
	return w.startReady(ctx, name, "streamer", roles.StreamerOrder{URL: url, Instance: name})
}

func (w *streamWorld) startReader(ctx context.Context) (*child, error) {
	url, err := w.behind()
	if err != nil {
		return nil, err
	}
	w.started++
	name := fmt.Sprint("reader", w.started)
	c, err := w.startReady(ctx, name, "reader", roles.ReaderOrder{URL: url, Name: name})
	w.readers = append(w.readers, c)
	return c, err
}

func (w *streamWorld) startReady(ctx context.Context, name, role string, order any) (*child, error) {
	c, err := w.spawn.start(name, role, order)
	if err != nil {
		return nil, err
	}
	w.callers = append(w.callers, c) // it is ended with them
	return c, w.awaitReady(ctx, c)
}

// behind puts what does harm in front of the NATS server, for one process.
func (w *streamWorld) behind() (url string, err error) {
	target := w.servers[0].address()
	if w.of.fate != nil {
		l, err := lossy.New(target, lag, func(m *lossy.Message) lossy.Fate {
			if !w.harmful.Load() || !m.OfStream() {
				return lossy.Passed
			}
			return w.of.fate(m)
		})
		if err != nil {
			return "", err
		}
		w.links = append(w.links, l)
		return l.URL(), nil
	}
	p, err := proxy.NewHeld(target)
	if err != nil {
		return "", err
	}
	w.proxies = append(w.proxies, p)
	return "nats://" + p.Addr(), nil
}

func (w *streamWorld) close() {
	w.world.close()
	for _, l := range w.links {
		l.Close()
	}
	for _, p := range w.proxies {
		p.Close()
	}
}

// told is what the children have said last, by event.
type told map[*child]map[string]uint64

func (t told) hear(e event) {
	if t[e.from] == nil {
		t[e.from] = make(map[string]uint64)
	}
	if e.name == roles.EventDone {
		t[e.from][roles.EventDone]++
	} else {
		t[e.from][e.name] = e.number
	}
}

// heard returns a copy of what a child has said last.
func (w *streamWorld) heard(c *child) map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.told[c])
}

// order has a child do something, and returns what waits until it is done.
func (w *streamWorld) order(c *child, command string, args ...int) (done func(context.Context) error, err error) {
	before := w.heard(c)[roles.EventDone]
	words := []string{command}
	for _, a := range args {
		words = append(words, strconv.Itoa(a))
	}
	line := strings.Join(words, " ")
	if err := c.command(line); err != nil {
		return nil, fmt.Errorf("tell %s to %s: %w", c.name, line, err)
	}
	return func(ctx context.Context) error {
		err := w.await(ctx, c.name+" to be done with "+line, streamsWithin, func() bool { return w.told[c][roles.EventDone] > before || !c.alive() })
		if err == nil && !c.alive() {
			err = fmt.Errorf("%s ended: %w", c.name, errOf(c))
		}
		return err
	}, nil
}

func (w *streamWorld) do(ctx context.Context, c *child, command string, args ...int) error {
	done, err := w.order(c, command, args...)
	if err != nil {
		return err
	}
	return done(ctx)
}

// remarkf notes that something is not as it should be.
func (w *streamWorld) remarkf(format string, args ...any) {
	w.res.Failures = append(w.res.Failures, fmt.Sprintf(format, args...))
}
