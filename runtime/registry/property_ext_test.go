package registry_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/registry"
)

// world is a simple model of what a view looks at: processes, a store, and a
// network that loses, repeats, delays and reorders.
type world struct {
	t    *testing.T
	rng  *rand.Rand
	now  time.Duration
	view *registry.View
	feed *registry.Feed

	procs       map[string]*actor // by instance: the process that uses the name
	incarnation uint64
	store       map[string]stored
	revision    uint64
	bucket      int64

	connected bool
	listening bool // the store is watched
	wire      []delivery
	listened  time.Duration
	heardAt   map[string]time.Duration // by process: of listened

	folded map[registry.Key]*registry.Record // what all changes add up to
	read   map[registry.Key]*registry.Record // what the feed has told adds up to
}

type stored struct {
	revision uint64
	record   *registry.Record
}

type actor struct {
	proc
	nextBeat time.Duration
	alive    bool
	goneAt   time.Duration
}

// delivery is something under way to the view.
type delivery struct {
	at     time.Duration
	stream bool // of the store: in order, and gone with the connection
	do     func()
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), procs: make(map[string]*actor), store: make(map[string]stored),
		bucket: 1, connected: true, heardAt: make(map[string]time.Duration),
		folded: make(map[registry.Key]*registry.Record), read: make(map[registry.Key]*registry.Record),
	}
	w.view = registry.NewView(0, w.told)
	w.feed = w.view.NewFeed()
	w.list()
	return w
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// told checks each change against what was told before.
func (w *world) told(c registry.Change) {
	fold(w.t, w.folded, c)
	w.feed.Add(c)
	if c.Kind == registry.Expired || c.Kind == registry.Left {
		a := w.procs[c.Record.Instance]
		if a != nil && a.alive && a.r.Process == c.Record.Process {
			silent := w.listened - w.heardAt[c.Record.Process]
			require.GreaterOrEqual(w.t, silent, goneAfter-time.Millisecond, "%s %s though it was heard", c.Record.Process, c.Kind)
		}
	}
}

// fold applies a change, and fails if it is none.
func fold(t *testing.T, to map[registry.Key]*registry.Record, c registry.Change) {
	t.Helper()
	key := c.Record.Key()
	was := to[key]
	if c.Kind == registry.Joined {
		require.Nil(t, was, "%v joined twice", key)
		require.Empty(t, c.Record.Leads)
		to[key] = c.Record
		return
	}
	require.NotNil(t, was, "%v %s without having joined", key, c.Kind)
	require.Equal(t, was.Process, c.Record.Process)
	switch c.Kind {
	case registry.StateChanged:
		require.Equal(t, was.State, c.Previous)
		require.NotEqual(t, c.Previous, c.Record.State)
		require.Equal(t, was.Leads, c.Record.Leads)
		require.Equal(t, was.Condition, c.Record.Condition)
	case registry.ConditionChanged:
		require.NotEqual(t, was.Condition, c.Record.Condition)
		require.Equal(t, was.State, c.Record.State)
		require.Equal(t, was.Leads, c.Record.Leads)
	case registry.Leads:
		require.NotContains(t, was.Leads, c.Lead)
		require.Equal(t, registry.WithLead(was.Leads, c.Lead), c.Record.Leads)
	case registry.StoppedLeading:
		require.Contains(t, was.Leads, c.Lead)
		require.Equal(t, registry.WithoutLead(was.Leads, c.Lead.Group), c.Record.Leads)
	case registry.Left, registry.Expired:
		require.Empty(t, was.Leads)
		delete(to, key)
		return
	default:
		t.Fatalf("unknown change %v", c.Kind)
	}
	to[key] = c.Record
}

// same compares what a reader knows with what the view shows.
func (w *world) same(known map[registry.Key]*registry.Record) {
	w.t.Helper()
	require.Len(w.t, known, w.view.Len())
	w.view.Instances(func(i registry.Instance) bool {
		k := known[i.Record.Key()]
		require.NotNil(w.t, k)
		require.Equal(w.t, describe(i.Record), describe(k))
		return true
	})
}

func describe(r *registry.Record) string {
	return fmt.Sprint(r.Instance, r.Process, r.State, r.Leads, r.Condition)
}

func (w *world) send(stream bool, lateness time.Duration, do func()) {
	at := w.now + time.Duration(w.rng.Int64N(int64(lateness)))
	if stream {
		for _, d := range w.wire { // in order
			if d.stream {
				at = max(at, d.at)
			}
		}
	}
	w.wire = append(w.wire, delivery{at, stream, do})
}

// beat sends a heartbeat: perhaps not, perhaps twice.
func (w *world) beat(a *actor) {
	a.nextBeat = w.now + beatEvery
	r := a.r
	for _, p := range []float64{0.8, 0.1} {
		if w.connected && w.chance(p) {
			w.send(false, 300*time.Millisecond, func() {
				w.heardAt[r.Process] = w.listened
				w.view.Heard(w.now, &registry.Beat{Record: &r})
			})
		}
	}
}

// write puts a record into the store, or takes it out.
func (w *world) write(instance string, r *registry.Record) {
	w.revision++
	revision, key := w.revision, registry.Key{Service: "s.S", Instance: instance}
	if r == nil {
		delete(w.store, instance)
	} else {
		w.store[instance] = stored{revision, r}
	}
	if !w.listening {
		return
	}
	w.send(true, 300*time.Millisecond, func() {
		if r == nil {
			w.view.Removed(w.now, revision, key)
		} else {
			w.view.Record(w.now, revision, r)
		}
	})
}

// list is what a watcher does that begins, or comes back.
func (w *world) list() {
	w.listening = true
	w.view.SyncBegin(w.now, w.bucket)
	for _, s := range w.store {
		w.view.Record(w.now, s.revision, s.record)
	}
	w.view.SyncEnd(w.now)
}

func (w *world) dropStream() {
	var kept []delivery
	for _, d := range w.wire {
		if !d.stream {
			kept = append(kept, d)
		}
	}
	w.wire = kept
	w.listening = false
}

func (w *world) link(up bool) {
	if up == w.connected {
		return
	}
	w.connected = up
	w.view.Connection(w.now, up)
	if !up {
		w.wire, w.listening = nil, false
		return
	}
	for process := range w.heardAt {
		w.heardAt[process] = w.listened
	}
	w.list()
}

func (w *world) publish(a *actor, s registry.State, leads []registry.Lead) {
	r := a.in(s, leads...)
	w.write(r.Instance, r)
	w.beat(a)
}

// event lets one thing happen to one name.
func (w *world) event(instance string) {
	a := w.procs[instance]
	if a == nil || !a.alive {
		if a == nil || w.now-a.goneAt > time.Second {
			w.incarnation++
			a = &actor{proc: *start(instance, fmt.Sprintf("P%d", w.incarnation), w.incarnation), alive: true}
			w.procs[instance] = a
			w.publish(a, registry.Starting, nil)
		}
		return
	}
	switch n := w.rng.IntN(11); {
	case n < 3:
		w.publish(a, registry.Running, a.r.Leads)
	case n == 10:
		a.r.Unhealthy = !a.r.Unhealthy
		w.publish(a, a.r.State, a.r.Leads)
	case n < 6:
		w.incarnation++
		w.publish(a, a.r.State, registry.WithLead(a.r.Leads, registry.Lead{Group: fmt.Sprint("g", w.rng.IntN(2)), Term: w.incarnation}))
	case n < 7:
		w.publish(a, a.r.State, registry.WithoutLead(a.r.Leads, fmt.Sprint("g", w.rng.IntN(2))))
	case n < 8: // a crash
		a.alive, a.goneAt = false, w.now
	case n < 9: // a stop
		a.in(registry.Stopped)
		w.beat(a)
		if _, ok := w.store[instance]; ok {
			w.write(instance, nil)
		}
		a.alive, a.goneAt = false, w.now
	default: // the periodic write
		r := a.r
		w.write(instance, &r)
	}
}

// step lets some time pass.
func (w *world) step(d time.Duration) {
	w.now += d
	if w.connected {
		w.listened += d
	}
	for _, a := range w.procs {
		if a.alive && w.now >= a.nextBeat {
			w.beat(a)
		}
	}
	for {
		first := -1
		for i, d := range w.wire {
			if d.at <= w.now && (first < 0 || d.at < w.wire[first].at) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		do := w.wire[first].do
		w.wire = append(w.wire[:first], w.wire[first+1:]...)
		do()
	}
	w.view.Tick(w.now)
}

func (w *world) readSome() {
	for range w.rng.IntN(4) {
		if c, ok := w.feed.Next(); ok {
			fold(w.t, w.read, c)
		}
	}
}

func (w *world) readAll() {
	for c, ok := w.feed.Next(); ok; c, ok = w.feed.Next() {
		fold(w.t, w.read, c)
	}
}

func (w *world) run(steps int) {
	for range steps {
		switch p := w.rng.Float64(); {
		case p < 0.15:
			w.event(fmt.Sprint("i", w.rng.IntN(4)))
		case p < 0.16:
			w.link(!w.connected)
		case p < 0.17: // the bucket is deleted, and made anew by the next write
			w.store = make(map[string]stored)
			w.bucket++
			w.revision = 0
			w.dropStream()
			w.view.BucketLost(w.now)
		case p < 0.20 && w.connected && !w.listening:
			w.list()
		}
		w.step(time.Duration(w.rng.Int64N(int64(400 * time.Millisecond))))
		w.same(w.folded)
		w.readSome()
	}
}

// settle ends all trouble. What is shown then is what is.
func (w *world) settle() {
	w.link(true)
	for range 60 {
		w.step(200 * time.Millisecond)
		for _, a := range w.procs {
			if a.alive {
				r := a.r
				w.heardAt[r.Process] = w.listened
				w.view.Heard(w.now, &registry.Beat{Record: &r})
			}
		}
	}
	alive := make(map[registry.Key]*registry.Record)
	for _, a := range w.procs {
		if a.alive {
			alive[a.r.Key()] = &a.r
		}
	}
	w.same(alive)
	w.readAll()
	w.same(w.read)
}

// Whatever happens, the changes add up to the view, nobody who was heard is
// gone, and in the end the view is what is.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	seeds := uint64(100)
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for range 5 {
				w.run(150)
				w.settle()
			}
		})
	}
}
