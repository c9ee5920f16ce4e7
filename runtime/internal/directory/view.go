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
	// listAgain is how soon the bucket is listed again after something went
	// wrong, doubled up to listAtLeast.
	listAgain   = 250 * time.Millisecond
	listAtLeast = 30 * time.Second
	// maxComplaints bounds the log lines about values that are no records, and
	// the memory for them.
	maxComplaints = 64
)

// View is what is known of the instances of one service, or of all. It is safe
// for concurrent use.
type View struct {
	directory *Directory
	service   string
	ctx       context.Context //nolint:containedctx // the view's life
	cancel    context.CancelFunc
	beats     *nats.Subscription
	allowed   func() // ends the watch for NATS's refusal of these

	users  int         // guarded by Directory.mu
	linger *time.Timer // guarded by Directory.mu

	ready chan struct{} // closed when the view is true
	look  chan struct{} // told to turn the loop

	mu         sync.Mutex
	state      *registry.View
	isReady    bool
	denied     error         // why nobody is heard, until the next reconnect
	deniedAt   uint64        // which connection that was, by how often it had come back
	refusals   chan struct{} // closed when that becomes so
	watchers   map[*Watcher]struct{}
	followers  []Follower
	complaints map[string]struct{} // keys with values that are no records

	// How the bucket is listed. A session is one watch of the bucket.
	bucket    int64 // the latest that was heard of or listed
	session   uint64
	stop      context.CancelFunc // ends the session
	sessions  sync.WaitGroup
	listing   bool          // the session runs
	problem   error         // of the last session
	pause     time.Duration // before the next
	listAt    time.Duration // of the clock: when to begin the next, if none runs
	connected bool
	returns   uint64 // of the link
}

// open begins a view; Directory.mu is held.
func (d *Directory) open(service string) (*View, error) {
	v := &View{
		directory: d, service: service,
		ready: make(chan struct{}), look: make(chan struct{}, 1), refusals: make(chan struct{}),
		watchers: make(map[*Watcher]struct{}), complaints: make(map[string]struct{}),
		connected: true, returns: d.o.Link.Returns(), pause: listAgain,
	}
	v.state = registry.NewView(d.now(), v.changed)
	v.ctx, v.cancel = context.WithCancel(d.ctx)
	subject := d.subjects.Beats(service)
	v.allowed = d.o.JetStream.Denials().Watch(func(n *denials.Denial) bool { return n.Subscribe && n.Subject == subject }, v.deny)
	sub, err := d.nc.Subscribe(subject, v.heard)
	if err != nil {
		v.allowed()
		v.cancel()
		return nil, err
	}
	v.beats = sub
	d.tasks.Go(v.run)
	return v, nil
}

// Await waits until the view is true. The error wraps [ErrNotReady], or is
// [nats.ErrConnectionClosed].
func (v *View) Await(ctx context.Context) error {
	refusals, err := v.refusal()
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
	case <-refusals:
		if _, err := v.refusal(); err != nil {
			return err
		}
		return v.Await(ctx) // the connection was made anew since
	case <-v.ctx.Done():
		return nats.ErrConnectionClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", ErrNotReady, ctx.Err(), v.why())
	case <-timer.C:
		return fmt.Errorf("%w after %v: %w", ErrNotReady, readyTimeout, v.why())
	}
}

// refusal returns why nobody is heard, and what is closed when that becomes so.
func (v *View) refusal() (<-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.denied != nil {
		return nil, fmt.Errorf("%w: %w; see the least permissions in docs/registry.md: %w", ErrNotReady, ErrPermission, v.denied)
	}
	return v.refusals, nil
}

// deny notes that NATS has refused the subscription to heartbeats.
func (v *View) deny(n *denials.Denial) {
	v.directory.o.Link.Look() // which connection is it?
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.denied == nil {
		close(v.refusals)
	}
	v.denied, v.deniedAt = n.Err, v.directory.o.Link.Returns()
}

// why is what keeps the view from being ready.
func (v *View) why() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case !v.connected || !v.directory.o.Link.Up():
		return nats.ErrDisconnected
	case v.problem != nil:
		return v.problem
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
		case <-v.look:
		case <-timer.C:
		}
	}
	v.close()
}

// close ends the view: first what feeds it, heartbeats and sessions, and then its
// watchers, so that they have all changes.
func (v *View) close() {
	v.cancel()
	v.allowed()
	_ = v.beats.Unsubscribe() // fails only if it is gone already
	v.sessions.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for w := range v.watchers {
		w.wake()
	}
}

// turn looks at the clock and the connection, and returns when to look again.
func (v *View) turn(state *link.State) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.directory.now()
	v.followLink(now, state)
	v.state.Tick(now)
	if !v.isReady && v.state.Listened() >= listenTime {
		v.becomeReady()
	}
	if v.connected && !v.listing && now >= v.listAt {
		v.list()
	}
	next := v.state.Next()
	if !v.isReady {
		next = min(next, max(listenTime-v.state.Listened(), time.Millisecond))
	}
	if v.connected && !v.listing {
		next = min(next, max(v.listAt-now, time.Millisecond))
	}
	return next
}

// followLink notices that the connection is down, or has been. What has changed
// meanwhile is found out by listing the bucket anew.
func (v *View) followLink(now time.Duration, state *link.State) {
	if state.Up == v.connected && state.Returns == v.returns {
		return
	}
	v.state.Connection(now, false)
	if state.Up {
		v.state.Connection(now, true)
	}
	if v.denied != nil && v.deniedAt != state.Returns { // NATS is asked again, and says so again
		v.denied, v.refusals = nil, make(chan struct{})
	}
	v.connected, v.returns = state.Up, state.Returns
	v.listAnew(now)
}

// list begins a session.
func (v *View) list() {
	ctx, stop := context.WithCancel(v.ctx)
	v.session++
	v.stop, v.listing = stop, true
	s := &session{view: v, number: v.session}
	v.sessions.Go(func() {
		defer stop()
		keys := ">"
		if v.service != "" {
			keys = wire.RegistryKey(v.service, "*")
		}
		s.ended(v.directory.bucket.Watch(ctx, keys, s))
	})
}

// heard is called by the one goroutine of the subscription.
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
	// A heartbeat names the bucket that its instance is registered in. One that
	// was made later than what is watched is there by now in its place.
	if b.Bucket > v.bucket {
		v.bucket = b.Bucket
		v.listAnew(v.directory.now())
		v.turnSoon()
	}
}

// listAnew ends the session, and begins another one soon.
func (v *View) listAnew(at time.Duration) {
	if v.stop != nil {
		v.stop()
	}
	v.listing, v.listAt, v.pause = false, at, listAgain
}

func (v *View) turnSoon() {
	select {
	case v.look <- struct{}{}:
	default:
	}
}

// complain logs what is no record, once a key.
func (v *View) complain(key string, err error) {
	if _, ok := v.complaints[key]; ok || len(v.complaints) >= maxComplaints {
		return
	}
	v.complaints[key] = struct{}{}
	v.directory.o.Logger.Warn("aegis: something in the registry is no record, and is skipped", "key", key, "err", err)
}

func (v *View) becomeReady() {
	if !v.isReady {
		v.isReady = true
		close(v.ready)
	}
}

// changed is told by the state, with the lock held.
func (v *View) changed(c registry.Change) {
	for w := range v.watchers {
		w.feed.Add(c)
		w.wake()
	}
	for _, f := range v.followers {
		f.Changed(c)
	}
}

// Instances returns who is there now, in no order.
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
