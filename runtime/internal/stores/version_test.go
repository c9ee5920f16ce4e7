package stores

import (
	"testing"
)

func TestOverlaps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a.b", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.*.c", "a.b.>", true},
		{">", "a", true},
		{"a.b", "a.c", false},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"a.*", "a.b.c", false},
		{"a.b.>", "a.b", false},
	} {
		if got := overlaps(c.a, c.b); got != c.want {
			t.Errorf("%s overlaps %s: %v", c.a, c.b, got)
		}
	}
}
