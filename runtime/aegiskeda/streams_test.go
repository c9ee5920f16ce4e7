package aegiskeda

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/runtime/internal/stores"
)

// A stream that was there is gone when that was said long enough, and nothing else meanwhile.
func TestAStreamThatWasThereIsMissedBeforeItIsGone(t *testing.T) {
	t.Parallel()
	s := &streams{seen: make(map[string]bool), missing: make(map[string]missing)}
	gone := &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamNotFound}
	now := time.Now()
	after := func(d time.Duration) error { now = now.Add(d); return s.judge("S", gone, now) }
	require.NoError(t, after(0), "it was never there")
	s.found("S")
	require.ErrorIs(t, after(0), stores.ErrUnavailable)
	require.ErrorIs(t, after(missedFor-1), stores.ErrUnavailable)
	s.found("S")
	require.ErrorIs(t, after(1), stores.ErrUnavailable)
	require.ErrorIs(t, after(missedAnew+1), stores.ErrUnavailable, "nobody has asked meanwhile")
	require.NoError(t, after(missedFor))
	require.NoError(t, after(1))
	other := &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamNotFound + 1}
	require.Equal(t, other, s.judge("S", other, now))
}
