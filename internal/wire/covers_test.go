package wire

import "testing"

func TestCovers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true},
		{"a.>", "a.b.>", true},
		{"a.>", "a.>", true},
		{">", "a.b", true},
		{"a.*", "a.b", true},
		{"a.*", "a.>", false},
		{"a.*", "a.b.c", false},
		{"a.b", "a.*", false},
		{"a.b.>", "a.b", false},
		{"a.b", "a.b.c", false},
		{"x.>", "a.>", false},
	} {
		if got := Covers(c.filter, c.subject); got != c.want {
			t.Errorf("%s covers %s: %v", c.filter, c.subject, got)
		}
	}
}
