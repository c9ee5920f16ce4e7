package denials

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*Denial{
		`Permissions Violation for Publish to "a.b"`:                      {Subject: "a.b"},
		`Permissions Violation for Publish with Reply of "r"`:             nil,
		`Permissions Violation for Subscription to "a.>"`:                 {Subject: "a.>", Subscribe: true},
		`Permissions Violation for Subscription to "a.>" using queue "q"`: {Subject: "a.>", Subscribe: true},
		`permissions violation for publish to "a.b"`:                      {Subject: "a.b"},
		`Something else`: nil,
	} {
		err := fmt.Errorf("%w: %s", nats.ErrPermissionViolation, text)
		got := Parse(err)
		if want == nil {
			require.Nil(t, got, text)
			continue
		}
		want.Err = err
		require.Equal(t, want, got, text)
		require.ErrorIs(t, got.Err, nats.ErrPermissionViolation)
	}
	require.Nil(t, Parse(nil))
	require.Nil(t, Parse(errors.New(`Permissions Violation for Publish to "a.b"`)), "of somebody else")
}

func TestWhatADenialConcerns(t *testing.T) {
	t.Parallel()
	d := &Denial{Subject: "a.b.c"}
	require.True(t, d.Publishing("a.b.c"))
	require.False(t, d.Publishing("a.b"))
	require.True(t, d.Below("a.b.c"))
	require.True(t, d.Below("a.b"))
	require.False(t, d.Below("a.b.cd"))
	require.False(t, (&Denial{Subject: "a.bc"}).Below("a.b"))
	require.False(t, (&Denial{Subject: "a.b.c", Subscribe: true}).Below("a.b"))
}

func TestDenialEndsTheContextsThatItConcerns(t *testing.T) {
	t.Parallel()
	d := New(nil, true)
	concerned, end := d.Context(t.Context(), func(n *Denial) bool { return n.Publishing("a") })
	other, endOther := d.Context(t.Context(), func(n *Denial) bool { return n.Publishing("b") })
	violation := func(subject string) error {
		return fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, subject)
	}
	require.False(t, d.Heard(violation("c")), "nobody waits")
	require.False(t, d.Heard(nats.ErrSlowConsumer))
	require.True(t, d.Heard(violation("a")))
	<-concerned.Done()
	require.Equal(t, "a", end().Subject)
	require.NoError(t, other.Err())
	require.Nil(t, endOther())
	require.True(t, d.Heard(violation("a")), "of the same question, asked twice at once")
	require.False(t, d.Heard(violation("b")))
	require.EqualValues(t, 4, d.Count())
}
