package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	half := 50.0
	for body, p := range map[string]Progress{
		`{"attempt":1}`:                            {Attempt: 1},
		`{"send":"S","attempt":2}`:                 {Send: "S", Attempt: 2},
		`{"attempt":3,"percent":0}`:                {Attempt: 3, Percent: new(float64)},
		`{"attempt":1,"percent":50,"message":"x"}`: {Attempt: 1, Percent: &half, Message: "x"},
	} {
		require.Equal(t, body, string(p.Encode()))
		got, ok := ParseProgress([]byte(body))
		require.True(t, ok, body)
		require.Equal(t, p, got)
	}
	for _, body := range []string{"", "{}", `{"attempt":0}`, `{"attempt":"1"}`, "over"} {
		_, ok := ParseProgress([]byte(body))
		require.False(t, ok, body)
	}
}
