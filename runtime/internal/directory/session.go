package directory

import (
	"context"
	"errors"

	"github.com/aegisrpc/aegis/internal/wire"
	"github.com/aegisrpc/aegis/runtime/registry"
)

var errStillListing = errors.New("the registry has not been read to its end yet")

// session hands on what one watch of the bucket tells, as long as it is the
// current one.
type session struct {
	view   *View
	number uint64
}

// locked calls f with the view locked, unless another session has begun.
func (s *session) locked(f func(v *View)) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if s.view.session == s.number && s.view.listing {
		f(s.view)
	}
}

// Begin and the others make a session the handler of its watch.
func (s *session) Begin(bucket int64) {
	s.locked(func(v *View) {
		v.bucket = max(v.bucket, bucket)
		v.state.SyncBegin(v.directory.now(), bucket)
	})
}

// Record is a key's value.
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

// Removed is a key that is gone.
func (s *session) Removed(key string, revision uint64) {
	service, instance, ok := wire.ParseRegistryKey(key)
	if !ok {
		return
	}
	s.locked(func(v *View) {
		v.state.Removed(v.directory.now(), revision, registry.Key{Service: service, Instance: instance})
	})
}

// End follows when all that there was has come.
func (s *session) End() {
	s.locked(func(v *View) {
		v.state.SyncEnd(v.directory.now())
		v.problem, v.pause = nil, listAgain
		v.becomeReady()
		v.turnSoon()
	})
	s.view.directory.listed(nil)
}

// ended follows when the watch has. Nobody is gone for that: the view lives on
// by heartbeats until the bucket can be listed again.
func (s *session) ended(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	current := false
	s.locked(func(v *View) {
		current = true
		v.problem = err
		v.listing, v.listAt = false, v.directory.now()+v.pause
		v.pause = min(2*v.pause, listAtLeast)
		v.state.BucketLost(v.directory.now())
		v.turnSoon()
	})
	if current {
		s.view.directory.listed(err)
	}
}
