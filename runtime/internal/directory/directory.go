// Package directory watches which instances of services there are. All users of a
// connection share one view per service.
package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/internal/link"
	"github.com/aegisrpc/aegis/runtime/internal/regstore"
	"github.com/aegisrpc/aegis/runtime/internal/stores"
	"github.com/aegisrpc/aegis/runtime/registry"
)

const (
	// readyTimeout bounds the wait until a view is true, beside the caller's context.
	readyTimeout = 5 * time.Second
	// lingerTime is for how long a view without users is kept.
	lingerTime = 30 * time.Second
	// listenTime is after which time a view is true without the bucket: by then it has
	// heard every instance whose heartbeats come at the default interval.
	listenTime = registry.DefaultHeartbeat + registry.Grace
)

// ErrNotReady is wrapped by the errors for a view that is not true in time.
var ErrNotReady = errors.New("the instances are not known")

// ErrPermission is wrapped beside [ErrNotReady] where this user may not hear heartbeats,
// without which no instance is known for long.
var ErrPermission = errors.New("NATS does not allow this user to subscribe to the heartbeats of instances")

// Options are those of New.
type Options struct {
	NATS      *nats.Conn
	Link      *link.Link // of that connection
	JetStream *stores.Stores
	Namespace string
	Logger    *slog.Logger
}

// Directory has the views of a connection. It is safe for concurrent use.
type Directory struct {
	o        Options
	nc       *nats.Conn
	subjects wire.Subjects
	bucket   *regstore.Bucket
	epoch    time.Time

	ctx    context.Context //nolint:containedctx // the directory's life, from New to Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu       sync.Mutex       // guards the rest, and the users of views
	views    map[string]*View // by service; "" is all services
	degraded bool             // the log says that the bucket cannot be read
}

// New makes a directory without views. It sends nothing before the first view is wanted.
func New(o Options) *Directory {
	bucket := regstore.New(regstore.Options{NATS: o.NATS, JetStream: o.JetStream, Namespace: o.Namespace, Reader: true})
	d := &Directory{
		o: o, nc: o.NATS, subjects: wire.NewSubjects(o.Namespace), bucket: bucket,
		epoch: time.Now(), views: make(map[string]*View),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Close ends all views, and returns when they have ended.
func (d *Directory) Close() {
	d.mu.Lock()
	d.cancel()
	d.mu.Unlock()
	d.tasks.Wait()
}

// now reads the clock of the views.
func (d *Directory) now() time.Duration { return time.Since(d.epoch) }

// Time returns the time of a reading of that clock.
func (d *Directory) Time(reading time.Duration) time.Time { return d.epoch.Add(reading) }

// View returns the view of a service, or of all services for "", once the view is true.
// The caller releases it. The error wraps [ErrNotReady], or is that of ctx.
func (d *Directory) View(ctx context.Context, service string) (*View, error) {
	v, err := d.acquire(service)
	if err != nil {
		return nil, err
	}
	if err := v.Await(ctx); err != nil {
		v.Release()
		return nil, err
	}
	return v, nil
}

// acquire returns the view of a service, true or not, with one more user.
func (d *Directory) acquire(service string) (*View, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return nil, nats.ErrConnectionClosed
	}
	v := d.views[service]
	if v == nil {
		var err error
		if v, err = d.open(service); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		d.views[service] = v
	}
	v.users++
	if v.linger != nil {
		v.linger.Stop()
	}
	return v, nil
}

// Follower is told in order what a view hears. Its methods are called with the view
// locked: they must be quick, and must not call the view.
type Follower interface {
	// Changed is called with each change of an instance, and Heard with each heartbeat.
	Changed(c registry.Change)
	Heard(b *registry.Beat)
}

// Follow returns the view of a service, true or not. It tells f which instances there are
// and then what changes, for as long as the view lives. The caller releases the view.
func (d *Directory) Follow(service string, f Follower) (*View, error) {
	v, err := d.acquire(service)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.Instances(func(i registry.Instance) bool {
		f.Changed(registry.Change{Kind: registry.Joined, Record: i.Record})
		f.Heard(&registry.Beat{Record: i.Record, Metrics: i.Metrics, Load: i.Load})
		return true
	})
	v.followers = append(v.followers, f)
	return v, nil
}

// Release gives a view back. A view that nobody uses is closed after a while.
func (v *View) Release() {
	d := v.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	v.users--
	if v.users > 0 {
		return
	}
	if v.linger == nil {
		v.linger = time.AfterFunc(lingerTime, func() { d.drop(v) })
	} else {
		v.linger.Reset(lingerTime)
	}
}

// drop closes a view, unless it has users again.
func (d *Directory) drop(v *View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v.users == 0 && d.views[v.service] == v {
		delete(d.views, v.service)
		v.cancel()
	}
}

// noteListing notes whether the bucket can be read, and logs when that changes. While NATS
// is away that says nothing of the bucket.
func (d *Directory) noteListing(err error) {
	if err != nil && !d.nc.IsConnected() {
		return
	}
	d.mu.Lock()
	was := d.degraded
	d.degraded = err != nil
	d.mu.Unlock()
	switch {
	case errors.Is(err, regstore.ErrNotYet) && !was:
		d.o.Logger.Info("aegis: there is no registry yet; the first server that starts makes it, and until then instances are known by their heartbeats alone")
	case err != nil && !was:
		d.o.Logger.Warn("aegis: the registry cannot be read; instances are known by their heartbeats alone until it can", "err", err)
	case err == nil && was:
		d.o.Logger.Info("aegis: the registry can be read")
	}
}
