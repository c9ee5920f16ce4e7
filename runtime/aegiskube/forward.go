package aegiskube

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"k8s.io/client-go/rest"

	"github.com/aegisrpc/aegis/runtime/aegisenv"
)

// Forward is a way to the NATS of a cluster. It is safe for concurrent use.
type Forward struct {
	settings Settings
	ctx      context.Context //nolint:containedctx // the way's life, from Open to Close
	end      context.CancelFunc
	tasks    sync.WaitGroup
	service  service
	user     aegisenv.Settings // the credentials of the Secret

	mu      sync.Mutex // guards the rest
	cluster *cluster   // made anew when its credentials have expired
	tunnels map[*tunnel]struct{}
	last    string // the pod that was dialed last
	found   bool   // NATS was reached once
	lost    bool   // the log says that the cluster cannot be reached
}

// Open finds the service of NATS, and reads the Secret if one is named. Nothing is
// connected yet but to the API server. The context bounds Open alone; Close ends the way.
//
// The error wraps [ErrNoCluster] if there is no kubeconfig or no such context, [ErrDenied]
// if the user may not do what is needed, [ErrUnauthorized] if the cluster does not know
// the user any more, [ErrNoService] if there is no service of NATS, or several.
func Open(ctx context.Context, s Settings) (*Forward, error) {
	s = s.withDefaults()
	c, err := s.loadCluster()
	if err != nil {
		return nil, err
	}
	f := &Forward{settings: s, cluster: c, tunnels: make(map[*tunnel]struct{})}
	if f.service, err = c.findService(ctx, s.Service); err != nil {
		return nil, err
	}
	if s.Secret != "" {
		if f.user, err = c.readSecret(ctx, s.Secret); err != nil {
			return nil, err
		}
	}
	f.ctx, f.end = context.WithCancel(context.Background())
	f.tasks.Go(f.leaveLostPods)
	return f, nil
}

// Close ends all connections over the way.
func (f *Forward) Close() {
	f.mu.Lock() // so that no connection begins meanwhile
	f.end()
	f.mu.Unlock()
	f.tasks.Wait()
}

// closeTunnels closes the connections that are meant.
func (f *Forward) closeTunnels(meant func(*tunnel) bool) {
	f.mu.Lock()
	tunnels := slices.Collect(maps.Keys(f.tunnels))
	f.mu.Unlock()
	for _, t := range tunnels {
		if meant(t) {
			t.close("the pod " + t.pod.name + " is gone from the service of NATS")
		}
	}
}

// URL returns the URL of NATS as it is known within the cluster, so that certificates of
// the server are checked against the name that they have.
func (f *Forward) URL() string {
	return "nats://" + net.JoinHostPort(f.service.host(), f.service.portText())
}

// String says where the way leads.
func (f *Forward) String() string {
	return "the service " + f.service.namespace + "/" + f.service.name + " of " + f.clusterNow().String()
}

// Options returns the options of nats.go that lead over the way.
func (f *Forward) Options() []nats.Option {
	return []nats.Option{nats.SetCustomDialer(f), nats.SkipHostLookup()}
}

// Dial connects to a ready pod of the service: to the one that an address names by its IP
// address, as those do that NATS tells its clients, else to any. It implements
// nats.CustomDialer; the network does not matter.
func (f *Forward) Dial(_, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.settings.Timeout)
	defer cancel()
	c := f.clusterNow()
	conn, err := f.dial(ctx, c, address)
	if isUnauthorized(err) { // the kubeconfig may have newer credentials meanwhile
		if c, err = f.settings.loadCluster(); err == nil {
			conn, err = f.dial(ctx, c, address)
		}
	}
	f.note(c, err)
	return conn, err
}

// note keeps a cluster that answers, and logs when the way is lost and found again. That it
// is not found at first is the error of who connects.
func (f *Forward) note(c *cluster, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.cluster, f.found = c, true
		if f.lost {
			f.lost = false
			f.settings.Logger.Info("aegis kube: NATS in the cluster is reached again", "pod", f.last)
		}
	case f.found && !f.lost && f.ctx.Err() == nil:
		f.lost = true
		f.settings.Logger.Warn("aegis kube: NATS in the cluster cannot be reached; it is tried again", "err", err)
	}
}

func (f *Forward) clusterNow() *cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cluster
}

// dial connects to a pod of the service, and keeps the connection until it is closed.
func (f *Forward) dial(ctx context.Context, c *cluster, address string) (net.Conn, error) {
	pods, err := c.readyPods(ctx, f.service)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	to, err := choose(pods, address, last, f.service)
	if err != nil {
		return nil, err
	}
	t, err := c.openTunnel(ctx, to)
	f.mu.Lock()
	f.last = to.name
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return t, f.keep(t)
}

// keep has a connection closed with the way. It is forgotten when it is closed.
func (f *Forward) keep(t *tunnel) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		t.close("")
		return net.ErrClosed
	}
	f.tunnels[t] = struct{}{}
	f.tasks.Go(func() {
		select {
		case <-t.closed:
		case <-f.ctx.Done():
			t.close("")
		}
		f.mu.Lock()
		delete(f.tunnels, t)
		f.mu.Unlock()
	})
	return nil
}

// cluster is a cluster as its API server is asked.
type cluster struct {
	config    *rest.Config
	core      rest.Interface // of the API group ""
	discovery rest.Interface // of discovery.k8s.io
	context   string         // of the kubeconfig
	user      string         // of the kubeconfig
	namespace string
	settings  Settings
}

// String names the cluster as its user does.
func (c *cluster) String() string { return "the context " + c.context + " (" + c.config.Host + ")" }
