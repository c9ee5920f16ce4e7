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
// subscription that covers everything (`nats sub '>'`), a stream that stores what
// is sent to a kind of subject, or an optimistic gateway of a super-cluster takes
// that away: calls to nobody then run into
// their deadline in place of failing at once. Everything stays correct, so all
// that follows is a warning that names the cause.
type voidProbe struct {
	conn  *Conn
	added chan struct{}

	mu     sync.Mutex
	kinds  []string
	hidden map[string]string // why, by kind; "" where NATS says it
	denied map[string]bool   // kinds that this user may not probe
}

func (v *voidProbe) init(c *Conn) {
	v.conn = c
	v.added = make(chan struct{}, 1)
	v.hidden, v.denied = make(map[string]string), make(map[string]bool)
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
	for _, why := range v.hidden {
		if why != "" {
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
	v.conn.transit.ask()
	slot := v.conn.mux.acquire()
	defer v.conn.mux.release(slot)
	err := v.conn.exchangeThrough(ctx, slot, subject, time.Now().Add(voidTimeout))
	switch {
	case ctx.Err() != nil || !v.conn.link.Up(), err != nil && err.Code() == CodeDeadlineExceeded && v.conn.transit.lags():
		return // it says nothing: the answer may be behind something else
	case err != nil && err.Code() == CodePermissionDenied:
		v.conn.logger.Debug("aegis: not allowed to probe for hidden no-responders", "subject", subject)
		v.mu.Lock()
		v.denied[kind] = true // asking again would be an error in the log every minute
		v.mu.Unlock()
		return
	}
	why := ""
	if err == nil || err.Reason() != ReasonNoResponders {
		why = v.explain(kind, slot.auditor())
	}
	v.mu.Lock()
	was := v.hidden[kind]
	v.hidden[kind] = why
	v.mu.Unlock()
	if why != "" && why != was {
		v.conn.logger.Warn("aegis: "+why, "subject", v.conn.subjects.Void(kind, "*"))
	}
}

// explain says why NATS does not say when nobody listens; stream has stored the
// probe, "" if none has.
func (v *voidProbe) explain(kind, stream string) string {
	const slow = "calls to services that are not there take their whole timeout"
	if stream != "" {
		return "the stream " + stream + " stores what is sent to " + v.conn.subjects.Kind(kind) +
			"; NATS does not say there when nobody listens, and " + slow
	}
	return "NATS does not say when nobody listens: somebody subscribes to everything " +
		"(such as nats sub '>'), or a gateway is optimistic; " + slow
}

// isNoRespondersMsg reports whether a reply is NATS's own word that nobody
// listens on the subject of the request.
func isNoRespondersMsg(msg *nats.Msg) bool {
	return len(msg.Data) == 0 && msg.Header != nil && msg.Header.Get("Status") == "503"
}
