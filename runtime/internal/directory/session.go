package directory

import (
	"context"
	"errors"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

// errStillListing is why a view is not true whose first session has not ended yet.
var errStillListing = errors.New("the registry has not been read to its end yet")

// session is one watch of the bucket: the handler of what the watch reads. It hands on
// nothing once another session has begun.
type session struct {
	view   *View
	number uint64
}

// locked calls f with the view locked, if this session is the current one and runs.
func (s *session) locked(f func(v *View)) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if s.view.listing.session == s.number && s.view.listing.running {
		f(s.view)
	}
}

// Begin says which bucket is read, see [regstore.Handler].
func (s *session) Begin(bucket int64) {
	s.locked(func(v *View) {
		v.listing.bucket = max(v.listing.bucket, bucket)
		v.state.SyncBegin(v.directory.now(), bucket)
	})
}

// Record takes the value of a key.
func (s *session) Record(key string, revision uint64, data []byte) {
	service, instance, _ := wire.ParseRegistryKey(key)
	record, err := registry.Decode(service, instance, data)
	s.locked(func(v *View) {
		if err != nil {
			v.complain(key, err)
			return
		}
		v.state.Record(v.directory.now(), revision, record)
	})
}

// Removed takes a key that was deleted.
func (s *session) Removed(key string, revision uint64) {
	service, instance, ok := wire.ParseRegistryKey(key)
	if !ok {
		return
	}
	s.locked(func(v *View) {
		v.state.Removed(v.directory.now(), revision, registry.Key{Service: service, Instance: instance})
	})
}

// End follows the last of the keys that there were when the session began.
func (s *session) End() {
	s.locked(func(v *View) {
		v.state.SyncEnd(v.directory.now())
		v.listing.problem, v.listing.pause = nil, listAgain
		v.becomeReady()
		v.turnSoon()
	})
	s.view.directory.noteListing(nil)
}

// lost follows the end of the watch. No instance is gone for that: heartbeats keep the
// view true until the bucket can be listed again.
func (s *session) lost(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	current := false
	s.locked(func(v *View) {
		current = true
		l := &v.listing
		l.running, l.problem, l.next = false, err, v.directory.now()+l.pause
		l.pause = min(2*l.pause, listAtLeast)
		v.state.BucketLost(v.directory.now())
		v.turnSoon()
	})
	if current {
		s.view.directory.noteListing(err)
	}
}
