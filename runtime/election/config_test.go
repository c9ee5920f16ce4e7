package election

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPresets(t *testing.T) {
	t.Parallel()
	for preset, lease := range map[Preset]time.Duration{
		Balanced: 2 * time.Second, Aggressive: time.Second, Conservative: 10 * time.Second,
	} {
		c := preset.Config()
		require.NoError(t, c.Validate())
		require.Equal(t, Config{Lease: lease, Window: 100 * time.Millisecond, Probe: 30 * time.Millisecond}, c)
	}
	require.Equal(t, Balanced.Config(), Config{}.withDefaults())
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		config Config
		want   string // "" for valid
	}{
		{"zero is balanced", Config{}, ""},
		{"shortest", Config{Lease: 500 * ms, Window: 20 * ms, Probe: 5 * ms}, ""},
		{"longest", Config{Lease: 60 * time.Second, Window: 15 * time.Second, Probe: 7500 * ms}, ""},
		{"lease too short", Config{Lease: 499 * ms}, "lease 499ms is too short: use at least 500ms"},
		{"lease too long", Config{Lease: 61 * time.Second}, "lease 1m1s is too long: use at most 1m0s"},
		{"lease negative", Config{Lease: -time.Second}, "lease -1s is too short: use at least 500ms"},
		{"lease in microseconds", Config{Lease: time.Second + time.Microsecond}, "not in whole milliseconds: use 1s"},
		{"window too short", Config{Window: 19 * ms, Probe: 5 * ms}, "window 19ms is too short: use at least 20ms"},
		{"window over a quarter", Config{Lease: 500 * ms, Window: 126 * ms}, "use a window of at most 125ms, or a lease of at least 504ms"},
		{"window in microseconds", Config{Window: 100*ms + time.Microsecond}, "not in whole milliseconds: use 100ms"},
		{"probe too short", Config{Probe: 4 * ms}, "probe interval 4ms is too short: use at least 5ms"},
		{"probe over half", Config{Probe: 51 * ms}, "use an interval of at most 50ms, or a window of at least 102ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := test.config.Validate()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrInvalidConfig)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestConfigReportsAllMistakes(t *testing.T) {
	t.Parallel()
	err := Config{Lease: time.Millisecond, Window: time.Millisecond, Probe: time.Millisecond}.Validate()
	require.ErrorContains(t, err, "lease")
	require.ErrorContains(t, err, "window")
	require.ErrorContains(t, err, "probe")
}

func TestMarginCoversTwiceTheDrift(t *testing.T) {
	t.Parallel()
	// A leader's slow clock against a standby's fast one, 5 % each.
	leader := time.Second * 100 / 95
	standby := widen(time.Second) * 100 / 105
	require.Greater(t, standby, leader)
}
