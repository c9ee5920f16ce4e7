package handling

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// However many handlers block, the next message finds a worker, up to the
// pool's size; and when all are done, those that are not needed park.
func TestPoolFindsAWorkerForEachMessage(t *testing.T) {
	const handlers = 100
	release := make(chan struct{})
	var started, done sync.WaitGroup
	p := NewPool(handlers, func(*Worker, *nats.Msg) {
		started.Done()
		<-release
		done.Done()
	})
	for range 20 {
		started.Add(handlers + 2)
		done.Add(handlers + 2)
		for range handlers + 2 {
			p.queue <- &nats.Msg{}
		}
		started.Wait()
		for range handlers + 2 {
			release <- struct{}{}
		}
		done.Wait()
		require.Eventually(t, func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.parked) == handlers+2-hotWorkers && p.waiting.Load() == hotWorkers
		}, 5*time.Second, time.Millisecond)
	}
	require.Len(t, *p.workers.Load(), handlers+2)
	<-p.Close()
}

func TestPoolServesEverythingThatIsQueuedBeforeItEnds(t *testing.T) {
	var mu sync.Mutex
	served := 0
	p := NewPool(8, func(*Worker, *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		served++
	})
	for range 10_000 {
		p.queue <- &nats.Msg{}
	}
	<-p.Close()
	require.Equal(t, 10_000, served)
}
