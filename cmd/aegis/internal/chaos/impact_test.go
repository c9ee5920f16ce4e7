package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/bench/load"
	aegis "github.com/aegisrpc/aegis/runtime"
)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func TestFailoverEndsWithTheFirstSuccessAfterTheLastFailure(t *testing.T) {
	t.Parallel()
	lost := aegis.NewError(aegis.CodeUnavailable, "lost")
	for name, c := range map[string]struct {
		calls        []ended
		failover     time.Duration
		firstFailure time.Duration
		failed       int64
		unknown      int64
	}{
		"nothing has ended": {failover: load.Never, firstFailure: load.Never},
		"calls before the fault do not count": {
			calls:    []ended{{ms(10), ms(20), nil}, {ms(10), ms(30), lost}},
			failover: load.Never, firstFailure: load.Never,
		},
		"a call that was in flight does not end the failover": {
			calls:    []ended{{ms(95), ms(110), nil}, {ms(101), ms(150), nil}},
			failover: ms(50), firstFailure: load.Never,
		},
		"a call that was in flight and failed does not make it longer": {
			calls:    []ended{{ms(101), ms(110), nil}, {ms(99), ms(500), lost}},
			failover: ms(10), firstFailure: ms(400), failed: 1, unknown: 1,
		},
		"it lasts as long as calls that start fail": {
			calls:    []ended{{ms(101), ms(110), nil}, {ms(200), ms(201), lost}, {ms(199), ms(300), nil}, {ms(210), ms(250), nil}},
			failover: ms(150), firstFailure: ms(101), failed: 1, unknown: 1,
		},
		"nothing succeeds": {
			calls:    []ended{{ms(101), ms(110), lost}, {ms(102), ms(120), lost}},
			failover: load.Never, firstFailure: ms(10), failed: 2, unknown: 2,
		},
	} {
		i := impactOf(c.calls, ms(100))
		require.Equal(t, c.failover, i.failover, name)
		require.Equal(t, c.firstFailure, i.firstFailure, name)
		require.Equal(t, c.failed, i.failed, name)
		require.Equal(t, c.unknown, i.unknown, name)
	}
}
