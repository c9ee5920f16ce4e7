package natsversion_test

import (
	"testing"

	"github.com/aegisrpc/aegis/internal/natsversion"
)

func TestVersionsAreReadAndCompared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]natsversion.Version{
		"2.9.25": {2, 9, 25}, "2.12.0-RC.1": {2, 12, 0}, "v2.15.2": {2, 15, 2}, "2.13.0-beta.2.dev": {2, 13, 0},
	} {
		if got, ok := natsversion.Parse(text); !ok || got != want {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "2", "2.x.1", "main", "1.2.3.4", "2.-1.0", "2.+1.0"} {
		if got, ok := natsversion.Parse(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
	release := natsversion.Version{2, 12, 0}
	for _, c := range []struct {
		a, b   natsversion.Version
		before bool
	}{
		{natsversion.Version{2, 9, 25}, release, true},
		{natsversion.Version{2, 11, 99}, release, true},
		{release, release, false},
		{natsversion.Version{3, 0, 0}, release, false},
	} {
		if got := c.a.Before(c.b); got != c.before {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}
