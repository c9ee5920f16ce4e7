package pull

import (
	"testing"
	"time"
)

func TestMetaIsReadFromBothFormsOfSubjects(t *testing.T) {
	t.Parallel()
	want := Meta{Delivered: 2, Sequence: 7, Time: time.Unix(0, 1700000000000000000), Pending: 5}
	for _, subject := range []string{
		"$JS.ACK.stream.consumer.2.7.9.1700000000000000000.5",
		"$JS.ACK.hub.acc.stream.consumer.2.7.9.1700000000000000000.5",
		"$JS.ACK._.acc.stream.consumer.2.7.9.1700000000000000000.5.token",
	} {
		if got, ok := ParseMeta(subject); !ok || got != want {
			t.Errorf("%s: %+v, %v", subject, got, ok)
		}
	}
	for _, subject := range []string{
		"", "_INBOX.x", "$JS.ACK.", "$JS.ACK.stream.consumer.x.7.9.1.5", "$JS.ACK.stream.consumer.2.7.9.1.-5", "$JS.ACK.s.c.1.2.3.4",
	} {
		if got, ok := ParseMeta(subject); ok {
			t.Errorf("%s: %+v", subject, got)
		}
	}
}

// Slow handlers hold nothing ahead, quick ones about a tenth of a second's work.
func TestPaceFollowsTheHandlers(t *testing.T) {
	t.Parallel()
	var p Pace
	now := time.Unix(0, 0)
	for range 5 {
		now = now.Add(time.Second)
		if n := p.Done(now); n != 0 {
			t.Errorf("%d ahead, one a second", n)
		}
	}
	ahead := 0
	for range 1000 {
		now = now.Add(time.Millisecond)
		ahead = p.Done(now)
	}
	if ahead < 80 || ahead > 120 {
		t.Errorf("%d ahead, one a millisecond", ahead)
	}
	for range 1_000_000 {
		now = now.Add(time.Microsecond)
		ahead = p.Done(now)
	}
	if ahead != maxAhead {
		t.Errorf("%d ahead, one a microsecond", ahead)
	}
}
