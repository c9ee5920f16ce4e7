package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func expiresWithin(t *testing.T, slot *Slot, d time.Duration) {
	t.Helper()
	select {
	case msg := <-slot.replies:
		require.Nil(t, msg)
		require.Same(t, expired, slot.failure)
	case <-time.After(d):
		t.Fatalf("it has not expired after %v", d)
	}
}

// The timer of a slot stays set from call to call: it must end none but the one
// whose deadline has come.
func TestExpiryEndsTheCallOfTheMomentOnly(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	expectFor(m, slot, "a")
	slot.expiry.arm(time.Now().Add(30 * time.Millisecond))
	_, ok := slot.abandon()
	require.False(t, ok)
	expectFor(m, slot, "a") // its deadline is its context's
	<-time.After(60 * time.Millisecond)
	require.Empty(t, slot.replies, "the deadline was that of the call before")
	start := time.Now()
	slot.expiry.arm(start.Add(20 * time.Millisecond))
	expiresWithin(t, slot, 5*time.Second)
	require.GreaterOrEqual(t, time.Since(start), 20*time.Millisecond)
}

func TestExpiryComesEarlierThanTheTimerWasSetFor(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	expectFor(m, slot, "a")
	slot.expiry.arm(time.Now().Add(time.Hour))
	_, _ = slot.abandon()
	expectFor(m, slot, "a")
	slot.expiry.arm(time.Now().Add(10 * time.Millisecond))
	expiresWithin(t, slot, 5*time.Second)
}

func TestExpiryComesLaterThanTheTimerWasSetFor(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	for range 3 { // the timer is left set by each
		expectFor(m, slot, "a")
		slot.expiry.arm(time.Now().Add(5 * time.Millisecond))
		_, _ = slot.abandon()
	}
	expectFor(m, slot, "a")
	start := time.Now()
	slot.expiry.arm(start.Add(50 * time.Millisecond))
	expiresWithin(t, slot, 5*time.Second)
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
}

func TestExpiryOfWhatHasPassedComesAtOnce(t *testing.T) {
	t.Parallel()
	m := newTestMux(t)
	slot := m.acquire()
	expectFor(m, slot, "a")
	slot.expiry.arm(time.Now().Add(-time.Hour))
	expiresWithin(t, slot, 5*time.Second)
}
