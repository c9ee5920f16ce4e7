package selection

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world simulates clients that call servers by a strategy: Poisson arrivals,
// exponential service times, one queue per server, heartbeats every 2 s that
// clients only hear of then. Every client has a set of its own.
type world struct {
	rng     *rand.Rand
	now     time.Duration
	events  events
	order   int
	servers []*simServer
	clients []*simClient
	gap     time.Duration // mean, between the calls of one client
	counts  map[string]int
	waits   []time.Duration
	record  bool
}

type simServer struct {
	id    string
	slots int
	mean  time.Duration
	extra time.Duration
	busy  int
	queue []func()
	ended int
	took  time.Duration
}

type simClient struct {
	set    *Set
	picker *Picker
}

type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e *events) Len() int { return len(*e) }

func (e *events) Less(i, j int) bool {
	a, b := (*e)[i], (*e)[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (e *events) Swap(i, j int) { (*e)[i], (*e)[j] = (*e)[j], (*e)[i] }

func (e *events) Push(x any) { *e = append(*e, x.(event)) }

func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

func newWorld(seed uint64, clients int, strategy Strategy, callsPerSecond float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 2)), now: time.Hour, counts: map[string]int{}}
	w.gap = time.Duration(float64(clients) / callsPerSecond * float64(time.Second))
	for range clients {
		set := NewSet(Config{Now: func() time.Duration { return w.now }, Rand: w.rng.Uint64})
		w.clients = append(w.clients, &simClient{set: set, picker: set.Picker(strategy)})
	}
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{at: w.now + d, order: w.order, do: do})
}

func (w *world) exponential(mean time.Duration) time.Duration {
	return time.Duration(w.rng.ExpFloat64() * float64(mean))
}

func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) serve(id string, slots int, mean time.Duration) {
	s := &simServer{id: id, slots: slots, mean: mean}
	w.servers = append(w.servers, s)
	for _, c := range w.clients {
		c.set.Put(Info{ID: id, Process: "p", State: StateRunning})
	}
	w.after(time.Duration(w.rng.Int64N(int64(2*time.Second))), func() { w.beat(s) })
}

func (w *world) beat(s *simServer) {
	load := Load{InFlight: s.busy + len(s.queue)}
	if s.ended > 0 {
		load.Latency = s.took / time.Duration(s.ended)
	}
	s.ended, s.took = 0, 0
	for _, c := range w.clients {
		c.set.Beat(s.id, Beat{Process: "p", Load: load})
	}
	w.after(2*time.Second, func() { w.beat(s) })
}

func (w *world) start() {
	for _, c := range w.clients {
		w.after(w.exponential(w.gap), func() { w.arrive(c) })
	}
}

func (w *world) arrive(c *simClient) {
	w.after(w.exponential(w.gap), func() { w.arrive(c) })
	i, err := c.picker.Pick(Call{})
	if err != nil {
		panic(err)
	}
	at, _ := strconv.Atoi(i.ID()[len(i.ID())-3:])
	s := w.servers[at]
	begun := w.now
	if w.record {
		w.counts[s.id]++
	}
	job := func() {
		w.after(w.exponential(s.mean)+s.extra, func() {
			took := w.now - begun
			s.busy--
			s.ended++
			s.took += took
			if w.record {
				w.waits = append(w.waits, took)
			}
			c.picker.Finish(i, Outcome{Latency: took})
			if len(s.queue) > 0 {
				next := s.queue[0]
				s.queue = s.queue[1:]
				s.busy++
				next()
			}
		})
	}
	if s.busy == s.slots {
		s.queue = append(s.queue, job)
		return
	}
	s.busy++
	job()
}

// measure runs for d and returns the greatest share of one server, relative to
// the mean.
func (w *world) measure(d time.Duration) float64 {
	w.counts, w.waits, w.record = map[string]int{}, nil, true
	w.run(d)
	w.record = false
	total, most := 0, 0
	for _, s := range w.servers {
		total += w.counts[s.id]
		most = max(most, w.counts[s.id])
	}
	return float64(most*len(w.servers)) / float64(total)
}

func (w *world) percentile(p float64) time.Duration {
	slices.Sort(w.waits)
	return w.waits[int(p*float64(len(w.waits)-1))]
}

// TestLeastLoadedIsFairAmongEquals looks at every second by itself, with few and
// many clients, at low and high load, fast and slow handlers; then one joins.
func TestLeastLoadedIsFairAmongEquals(t *testing.T) {
	cases := []struct {
		clients, slots int
		mean           time.Duration
		rate           float64 // calls per second
	}{
		{1, 1, time.Millisecond, 1600},
		{1, 1, time.Millisecond, 4000},
		{1, 64, 100 * time.Microsecond, 5000},
		{10, 1, time.Millisecond, 13000},
		{10, 8, 20 * time.Millisecond, 4000},
		{100, 1, time.Millisecond, 4000},
		{100, 16, 50 * time.Millisecond, 4000},
	}
	if raceEnabled {
		cases = cases[:2] // it takes a minute, and runs in one goroutine
	}
	for _, c := range cases {
		w := newWorld(1, c.clients, LeastLoaded(), c.rate)
		for n := range 16 {
			w.serve(name(n), c.slots, c.mean)
		}
		w.start()
		first := w.measure(time.Second)
		w.run(5 * time.Second)
		equal := 0.0
		for range 6 {
			equal = max(equal, w.measure(time.Second))
		}
		w.serve(name(16), c.slots, c.mean)
		joined, newcomer := 0.0, 0
		for range 12 {
			joined = max(joined, w.measure(time.Second))
			newcomer = max(newcomer, w.counts[name(16)])
		}
		t.Logf("%3d clients, %2d slots, %v, %.0f/s: first second %.2f, equals %.2f, after a join %.2f, newcomer %.2f",
			c.clients, c.slots, c.mean, c.rate, first, equal, joined, float64(newcomer)/c.rate*17)
		require.LessOrEqual(t, first, 1.5)
		require.LessOrEqual(t, equal, 1.5)
		require.LessOrEqual(t, joined, 1.5)
	}
}

// TestLeastLoadedAvoidsTheSlowOne is the case of issue 5: one of four answers
// 20 ms late, at half the load.
func TestLeastLoadedAvoidsTheSlowOne(t *testing.T) {
	for _, clients := range []int{1, 8, 64} {
		p99 := map[string]time.Duration{}
		for title, s := range map[string]Strategy{"least loaded": LeastLoaded(), "random": Random()} {
			w := newWorld(1, clients, s, 4000)
			for n := range 4 {
				w.serve(name(n), 64, 200*time.Microsecond)
			}
			w.servers[2].extra = 20 * time.Millisecond
			w.start()
			w.run(3 * time.Second)
			w.measure(10 * time.Second)
			p99[title] = w.percentile(0.99)
			t.Logf("%d clients, %s: p50 %v, p99 %v, p99.9 %v, slow one's share %.4f", clients, title, w.percentile(0.5), p99[title],
				w.percentile(0.999), float64(w.counts[name(2)])/float64(len(w.waits)))
		}
		require.Less(t, p99["least loaded"], 3*time.Millisecond)
		require.Greater(t, p99["random"], 20*time.Millisecond)
	}
}

// TestLeastLoadedComesBack: one that was slow and is not any more is an equal
// again after some time, without anybody's help.
func TestLeastLoadedComesBack(t *testing.T) {
	w := newWorld(1, 4, LeastLoaded(), 4000)
	for n := range 4 {
		w.serve(name(n), 64, 200*time.Microsecond)
	}
	w.start()
	w.run(5 * time.Second)
	w.servers[2].extra = 20 * time.Millisecond
	w.run(time.Second)
	w.measure(4 * time.Second)
	require.Less(t, w.counts[name(2)]*50, 4*4000, "it is noticed within a second")
	w.servers[2].extra = 0
	w.run(time.Minute)
	w.measure(10 * time.Second)
	require.InDelta(t, 10_000, w.counts[name(2)], 1500)
}

func TestLeastLoadedNeverStampedes(t *testing.T) {
	f := newFixture(1)
	f.fill(16)
	for n := range 16 {
		f.Beat(name(n), Beat{Load: Load{InFlight: 500, Latency: 50 * time.Millisecond}})
	}
	f.Beat(name(3), Beat{Load: Load{InFlight: 0, Latency: time.Millisecond}})
	p := f.Picker(LeastLoaded())
	counts := map[string]int{}
	for range 32_000 {
		i, err := p.Pick(Call{})
		require.NoError(t, err)
		counts[i.ID()]++
		p.Finish(i, Outcome{Failure: FailureCanceled}) // says nothing
	}
	require.InDelta(t, 4000, counts[name(3)], 400, "the one idle instance of all gets two shares, not all")
}

// TestANewClientDoesNotStampedeANewInstance: for a client that starts now there
// is no telling who joined, but one without any latency has done nothing yet.
func TestANewClientDoesNotStampedeANewInstance(t *testing.T) {
	f := newFixture(1)
	f.fill(16)
	for n := range 15 {
		f.Beat(name(n), Beat{Load: Load{InFlight: 500, Latency: 50 * time.Millisecond}})
	}
	p := f.Picker(LeastLoaded())
	counts := map[string]int{}
	for range 16_000 {
		i, err := p.Pick(Call{})
		require.NoError(t, err)
		counts[i.ID()]++
		p.Finish(i, Outcome{Failure: FailureCanceled})
	}
	require.InDelta(t, 1000, counts[name(15)], 150)
}

// Up to four times the cost may be chance, and then no share is over 1.5 times
// the mean: that of the cheapest of n is 2/n times its chance.
func TestChanceDecidesLittleAndClearCostsAll(t *testing.T) {
	for ratio, want := range map[float64]float64{1: 0.5, 2.5: 0.625, 4: 0.75, 6: 0.875, 8: 1, 1e6: 1} {
		require.InDelta(t, want, chanceOfCheaper(ratio), 1e-9, ratio)
	}
}

func TestCapacityCounts(t *testing.T) {
	f := newFixture(1)
	f.fill(2)
	f.Beat(name(0), Beat{Load: Load{InFlight: 20, Capacity: 100}})
	f.Beat(name(1), Beat{Load: Load{InFlight: 20, Capacity: 300}})
	list := f.Candidates()
	require.InDelta(t, 0.5-0.25*2/3, chanceOfFirst(list[0], list[1], 0), 1e-9, "three times the cost")
	f.Beat(name(1), Beat{Load: Load{InFlight: 20}})
	require.InDelta(t, 0.5, chanceOfFirst(list[0], list[1], 0), 1e-9)
	f.Beat(name(1), Beat{Load: Load{InFlight: 92}})
	require.InDelta(t, 0.5+0.25/3, chanceOfFirst(list[0], list[1], 0), 1e-9, "the root of four times as many")
	f.Beat(name(1), Beat{Load: Load{InFlight: 24*64 - 4}})
	require.InDelta(t, 1, chanceOfFirst(list[0], list[1], 0), 1e-9)
	f.Beat(name(1), Beat{Load: Load{InFlight: 20}})
	list[0].outstanding.Store(4)
	require.InDelta(t, 0.5-0.25/3, chanceOfFirst(list[0], list[1], 0), 1e-9, "its own calls count in full")
}

func TestQuickRefusalsDoNotAttract(t *testing.T) {
	f := newFixture(1)
	f.fill(2)
	p := f.Picker(LeastLoaded())
	counts := map[string]int{}
	for range 1000 {
		i, err := p.Pick(Call{})
		require.NoError(t, err)
		counts[i.ID()]++
		if i.ID() == name(0) {
			p.Finish(i, Outcome{Latency: time.Microsecond, Failure: FailureOverloaded})
		} else {
			p.Finish(i, Outcome{Latency: time.Millisecond})
		}
	}
	require.Less(t, counts[name(0)], 10)
}

func TestSlowStartRisesToAnEqualShare(t *testing.T) {
	f := newFixture(1)
	f.fill(1)
	f.Candidates()
	f.Put(running(1))
	newcomer := f.Candidates()[1]
	require.InDelta(t, 0.05, f.limit(newcomer, f.clock.read()), 1e-9)
	f.clock.move(DefaultSlowStart / 2)
	require.InDelta(t, 0.275, f.limit(newcomer, f.clock.read()), 1e-9)
	f.clock.move(DefaultSlowStart / 2)
	require.InDelta(t, 0.5, f.limit(newcomer, f.clock.read()), 1e-9, "nothing is known of its latency")
	f.Beat(name(1), Beat{Load: Load{Latency: 1}})
	require.InDelta(t, 1, f.limit(newcomer, f.clock.read()), 1e-9)

	off := NewSet(Config{SlowStart: -1})
	off.Put(running(0))
	off.Candidates()
	off.Put(running(1))
	off.Beat(name(1), Beat{Load: Load{Latency: 1}})
	require.InDelta(t, 1, off.limit(off.Candidates()[1], off.cfg.Now()), 1e-9)
}

func TestPairsAreDifferentAndUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{2, 3, 10} {
		counts := map[[2]int]int{}
		for range 1000 * n * (n - 1) {
			a, b := pair(rng.Uint64(), n)
			require.NotEqual(t, a, b)
			counts[[2]int{a, b}]++
		}
		require.Len(t, counts, n*(n-1))
		for _, c := range counts {
			require.InDelta(t, 1000, c, 170)
		}
	}
	a, b := pair(1<<64-1, 1000)
	require.Less(t, max(a, b), 1000)
}
