package directory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/denials"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// listAgain is the pause before the bucket is listed again after a session has failed.
	// It doubles with each failure, up to listAtLeast.
	listAgain   = 250 * time.Millisecond
	listAtLeast = 30 * time.Second
	// maxComplaints bounds the log lines about values that are no records, and the memory
	// for the keys of those values.
	maxComplaints = 64
)

// View knows the instances of one service, or of all services. It is safe for concurrent
// use.
type View struct {
	directory *Directory
	service   string
	ctx       context.Context //nolint:containedctx // the view's life, until drop or Directory.Close
	cancel    context.CancelFunc

	users  int         // guarded by Directory.mu
	linger *time.Timer // guarded by Directory.mu

	ready chan struct{} // closed by becomeReady: the view is true
	wake  chan struct{} // of one: the loop has to turn; filled by turnSoon, never closed

	mu         sync.Mutex // guards the rest
	state      *registry.View
	isReady    bool
	connected  bool   // the link was up at the last turn
	returns    uint64 // of the link at the last turn
	heartbeats heartbeats
	listing    listing
	watchers   map[*Watcher]struct{}
	followers  []Follower
	complaints map[string]struct{} // keys with values that are no records
}

// heartbeats are how a view hears the instances.
type heartbeats struct {
	sub      *nats.Subscription
	unwatch  func()        // ends the watch for NATS's refusal of the subscription
	denied   error         // the refusal, until the next reconnect
	deniedAt uint64        // which connection was refused, by the number of its returns
	refused  chan struct{} // closed by deny; replaced after a reconnect
}

// listing is how a view lists the bucket: by one session after another, each of which is
// one watch of the bucket.
type listing struct {
	bucket   int64              // the latest bucket that a heartbeat named or a session listed
	session  uint64             // the number of the current session
	running  bool               // the current session runs
	stop     context.CancelFunc // ends the current session; nil before the first one
	sessions sync.WaitGroup
	problem  error         // of the last session; nil after one that has listed all keys
	pause    time.Duration // before the next session, if the current one fails
	next     time.Duration // when the next session begins if none runs, by Directory.now
}

// open makes the view of a service, and runs it; Directory.mu is held.
func (d *Directory) open(service string) (*View, error) {
	v := &View{
		directory: d, service: service,
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
		watchers: make(map[*Watcher]struct{}), complaints: make(map[string]struct{}),
		connected: true, returns: d.o.Link.Returns(),
	}
	v.heartbeats.refused, v.listing.pause = make(chan struct{}), listAgain
	v.state = registry.NewView(d.now(), v.changed)
	v.ctx, v.cancel = context.WithCancel(d.ctx)
	subject := d.subjects.Beats(service)
	v.heartbeats.unwatch = d.o.JetStream.Denials().Watch(func(n *denials.Denial) bool { return n.Subscribe && n.Subject == subject }, v.deny)
	sub, err := d.nc.Subscribe(subject, v.heard)
	if err != nil {
		v.heartbeats.unwatch()
		v.cancel()
		return nil, err
	}
	v.heartbeats.sub = sub
	d.tasks.Go(v.run)
	return v, nil
}

// Await waits until the view is true. The error wraps [ErrNotReady], or is
// [nats.ErrConnectionClosed].
func (v *View) Await(ctx context.Context) error {
	refused, err := v.refusal()
	if err != nil {
		return err
	}
	select {
	case <-v.ready:
		return nil
	default:
	}
	timer := time.NewTimer(readyTimeout)
	defer timer.Stop()
	select {
	case <-v.ready:
		return nil
	case <-refused:
		if _, err := v.refusal(); err != nil {
			return err
		}
		return v.Await(ctx) // the connection was made anew since then
	case <-v.ctx.Done():
		return nats.ErrConnectionClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", ErrNotReady, ctx.Err(), v.why())
	case <-timer.C:
		return fmt.Errorf("%w after %v: %w", ErrNotReady, readyTimeout, v.why())
	}
}

// refusal returns the error for a view that hears no heartbeats as NATS refuses them, else
// the channel that is closed when NATS does.
func (v *View) refusal() (<-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.heartbeats.denied != nil {
		return nil, fmt.Errorf("%w: %w; see the least permissions in docs/registry.md: %w", ErrNotReady, ErrPermission, v.heartbeats.denied)
	}
	return v.heartbeats.refused, nil
}

// deny notes that NATS has refused the subscription to heartbeats.
func (v *View) deny(n *denials.Denial) {
	v.directory.o.Link.Look() // at which connection this is, as the denial may be of a new one
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &v.heartbeats
	if h.denied == nil {
		close(h.refused)
	}
	h.denied, h.deniedAt = n.Err, v.directory.o.Link.Returns()
}

// why returns what keeps the view from being true.
func (v *View) why() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.connected || !v.directory.o.Link.Up():
		return nats.ErrDisconnected
	case v.listing.problem != nil:
		return v.listing.problem
	}
	return errStillListing
}

// run turns the loop until the view is closed.
func (v *View) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for v.ctx.Err() == nil {
		state := v.directory.o.Link.State()
		if state.Closed {
			break
		}
		timer.Reset(v.turn(state))
		select {
		case <-v.ctx.Done():
		case <-state.Changed():
		case <-v.wake:
		case <-timer.C:
		}
	}
	v.close()
}

// close ends the view: first what feeds it, heartbeats and sessions, and then its
// watchers, so that they have all changes.
func (v *View) close() {
	v.cancel() // ends the session, and the waits of users
	v.heartbeats.unwatch()
	_ = v.heartbeats.sub.Unsubscribe() // fails only if it is gone already
	v.listing.sessions.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for w := range v.watchers {
		w.wake()
	}
}

// turn does what the clock and the connection make due, and returns the time until the
// next turn.
func (v *View) turn(state *link.State) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.directory.now()
	v.followLink(now, state)
	v.state.Tick(now)
	if !v.isReady && v.state.Listened() >= listenTime {
		v.becomeReady()
	}
	if v.connected && !v.listing.running && now >= v.listing.next {
		v.list()
	}
	next := v.state.Next()
	if !v.isReady {
		next = min(next, max(listenTime-v.state.Listened(), time.Millisecond))
	}
	if v.connected && !v.listing.running {
		next = min(next, max(v.listing.next-now, time.Millisecond))
	}
	return next
}

// followLink notices that the connection is down, or was. Listing the bucket anew tells
// what has changed meanwhile.
func (v *View) followLink(now time.Duration, state *link.State) {
	if state.Up == v.connected && state.Returns == v.returns {
		return
	}
	v.state.Connection(now, false)
	if state.Up {
		v.state.Connection(now, true)
	}
	// nats.go has subscribed again, so that NATS has to say again whether it refuses that.
	if h := &v.heartbeats; h.denied != nil && h.deniedAt != state.Returns {
		h.denied, h.refused = nil, make(chan struct{})
	}
	v.connected, v.returns = state.Up, state.Returns
	v.listAnew(now)
}

// list begins a session.
func (v *View) list() {
	ctx, stop := context.WithCancel(v.ctx)
	l := &v.listing
	l.session++
	l.stop, l.running = stop, true
	s := &session{view: v, number: l.session}
	l.sessions.Go(func() {
		defer stop()
		keys := ">"
		if v.service != "" {
			keys = wire.RegistryKey(v.service, "*")
		}
		s.lost(v.directory.bucket.Watch(ctx, keys, s))
	})
}

// heard takes a heartbeat. The one goroutine of the subscription calls it.
func (v *View) heard(msg *nats.Msg) {
	service, instance, ok := v.directory.subjects.ParseBeat(msg.Subject)
	if !ok {
		return
	}
	b, err := registry.DecodeBeat(service, instance, msg.Data)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.complain(msg.Subject, err)
		return
	}
	v.state.Heard(v.directory.now(), b)
	for _, f := range v.followers {
		f.Heard(b)
	}
	// A heartbeat names the bucket that has the record of its instance. One that was made
	// later than the bucket that is watched has taken its place.
	if b.Bucket > v.listing.bucket {
		v.listing.bucket = b.Bucket
		v.listAnew(v.directory.now())
		v.turnSoon()
	}
}

// listAnew ends the session, and has another one begin at the given time.
func (v *View) listAnew(at time.Duration) {
	l := &v.listing
	if l.stop != nil {
		l.stop()
	}
	l.running, l.next, l.pause = false, at, listAgain
}

// turnSoon makes the loop turn.
func (v *View) turnSoon() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// complain logs that the value of a key is no record, once for each key.
func (v *View) complain(key string, err error) {
	if _, ok := v.complaints[key]; ok || len(v.complaints) >= maxComplaints {
		return
	}
	v.complaints[key] = struct{}{}
	v.directory.o.Logger.Warn("aegis: something in the registry is no record, and is skipped", "key", key, "err", err)
}

// becomeReady says that the view is true from now on.
func (v *View) becomeReady() {
	if !v.isReady {
		v.isReady = true
		close(v.ready)
	}
}

// changed takes each change of the state, with the view locked.
func (v *View) changed(c registry.Change) {
	for w := range v.watchers {
		w.feed.Add(c)
		w.wake()
	}
	for _, f := range v.followers {
		f.Changed(c)
	}
}

// Instances returns the instances that there are now, in no order.
func (v *View) Instances() []registry.Instance {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]registry.Instance, 0, v.state.Len())
	v.state.Instances(func(i registry.Instance) bool {
		list = append(list, i)
		return true
	})
	return list
}
