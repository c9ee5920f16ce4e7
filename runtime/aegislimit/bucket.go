package aegislimit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// buckets are the buckets of a number of keys. A bucket is kept as long as it is not full
// again; a full one is as good as a new one, and makes room for another key. If none is full,
// the keys for which there is no room share one bucket: forgetting one that is in use would
// give its key a fresh one.
type buckets struct {
	limit rate.Limit
	burst int
	most  int // buckets

	mu     sync.Mutex // guards the rest
	byKey  map[string]*list.Element
	used   *list.List // of *bucket, the one that was used last at the front
	shared *rate.Limiter
}

type bucket struct {
	key     string
	limiter *rate.Limiter
}

func newBuckets(limit rate.Limit, burst, most int) *buckets {
	return &buckets{
		limit: limit, burst: burst, most: most,
		byKey: make(map[string]*list.Element), used: list.New(), shared: rate.NewLimiter(limit, burst),
	}
}

// of returns the bucket of a key.
func (b *buckets) of(key string, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byKey[key]; e != nil {
		b.used.MoveToFront(e)
		return e.Value.(*bucket).limiter //nolint:forcetypeassert // nothing else is in the list
	}
	if b.used.Len() >= b.most && !b.forgetOldest(now) {
		return b.shared
	}
	fresh := &bucket{key, rate.NewLimiter(b.limit, b.burst)}
	b.byKey[key] = b.used.PushFront(fresh)
	return fresh.limiter
}

// forgetOldest makes room by forgetting the bucket that was used longest ago, if it is full.
func (b *buckets) forgetOldest(now time.Time) bool {
	oldest := b.used.Back()
	old := oldest.Value.(*bucket) //nolint:forcetypeassert // see of
	if old.limiter.TokensAt(now) < float64(b.burst) {
		return false
	}
	b.used.Remove(oldest)
	delete(b.byKey, old.key)
	return true
}
