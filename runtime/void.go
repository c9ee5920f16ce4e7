package aegis

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	voidInterval = time.Minute
	voidTimeout  = 2 * time.Second
)

// voidProbe finds out whether NATS can still say that nobody listens. A
// subscription that covers everything (`nats sub '>'`), or an optimistic
// gateway of a super-cluster, takes that away: calls to nobody then run into
// their deadline in place of failing at once. Everything stays correct, so all
// that follows is a warning that names the cause.
type voidProbe struct {
	conn  *Conn
	added chan struct{}

	mu     sync.Mutex
	kinds  []string
	hidden map[string]bool // kinds that were warned about
	denied map[string]bool // kinds that this user may not probe
}

func (v *voidProbe) init(c *Conn) {
	v.conn = c
	v.added = make(chan struct{}, 1)
	v.hidden, v.denied = make(map[string]bool), make(map[string]bool)
}

// use adds a kind of subject that this connection sends requests to.
func (v *voidProbe) use(kind string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if slices.Contains(v.kinds, kind) {
		return
	}
	v.kinds = append(v.kinds, kind)
	select {
	case v.added <- struct{}{}:
	default:
	}
}

// found reports whether NATS hides that nobody listens, for any kind in use.
func (v *voidProbe) found() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, hidden := range v.hidden {
		if hidden {
			return true
		}
	}
	return false
}

// run probes when a kind is added, and every minute.
func (v *voidProbe) run(ctx context.Context) {
	ticker := time.NewTicker(voidInterval)
	defer ticker.Stop()
	for {
		select {
		case <-v.added:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		v.mu.Lock()
		kinds := slices.DeleteFunc(slices.Clone(v.kinds), func(kind string) bool { return v.denied[kind] })
		v.mu.Unlock()
		for _, kind := range kinds {
			v.probe(ctx, kind)
		}
	}
}

func (v *voidProbe) probe(ctx context.Context, kind string) {
	subject := v.conn.subjects.Void(kind, rand.Text())
	err := v.conn.exchange(ctx, subject, time.Now().Add(voidTimeout))
	switch {
	case ctx.Err() != nil || !v.conn.link.up.Load():
		return // it says nothing
	case err != nil && err.code == CodePermissionDenied:
		v.conn.logger.Debug("aegis: not allowed to probe for hidden no-responders", "subject", subject)
		v.mu.Lock()
		v.denied[kind] = true // asking again would be an error in the log every minute
		v.mu.Unlock()
		return
	}
	hidden := err == nil || err.reason != ReasonNoResponders
	v.mu.Lock()
	was := v.hidden[kind]
	v.hidden[kind] = hidden
	v.mu.Unlock()
	if hidden && !was {
		v.conn.logger.Warn("aegis: NATS does not say when nobody listens: somebody subscribes to everything "+
			"(such as nats sub '>'), or a gateway is optimistic; calls to services that are not there "+
			"take their whole timeout", "subject", v.conn.subjects.Void(kind, "*"))
	}
}

// isNoRespondersMsg reports whether a reply is NATS's own word that nobody
// listens on the subject of the request.
func isNoRespondersMsg(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header != nil && msg.Header.Get("Status") == "503"
}
