package stores

import "testing"

func TestVersionsAreReadAndCompared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]version{
		"2.9.25": {2, 9, 25}, "2.12.0-RC.1": {2, 12, 0}, "v2.15.2": {2, 15, 2}, "2.13.0-beta.2.dev": {2, 13, 0},
	} {
		if got, ok := parseVersion(text); !ok || got != want {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "2", "2.x.1", "main", "1.2.3.4"} {
		if got, ok := parseVersion(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
	for _, c := range []struct {
		a, b   version
		before bool
	}{
		{version{2, 9, 25}, messageSchedules, true},
		{version{2, 11, 99}, messageSchedules, true},
		{messageSchedules, messageSchedules, false},
		{version{3, 0, 0}, messageSchedules, false},
	} {
		if got := c.a.before(c.b); got != c.before {
			t.Errorf("%v before %v: %v", c.a, c.b, got)
		}
	}
}

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
