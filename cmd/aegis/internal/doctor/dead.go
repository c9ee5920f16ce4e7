package doctor

import (
	"context"
	"time"
)

// freshLetter is how young the last dead letter is while the letters count as growing.
const freshLetter = time.Hour

func checkDead() Check {
	return Check{
		Name: "dead", Looks: "dead letters: commands and events that have failed for good, and whether there are more and more",
		Reads: "the streams of dead letters",
		IDs:   words("none letters growing unread"),
		run: func(ctx context.Context, l *look) []Finding {
			streams, err := l.streams(ctx)
			if err != nil {
				return []Finding{unread("dead.unread", "", "the dead letters", err)}
			}
			var found []Finding
			for _, s := range streams {
				if s.kind == kindDead && s.State.Msgs > 0 {
					found = append(found, judgeDead(s.service, s.State.Msgs, natsNow(s.TimeStamp).Sub(s.State.LastTime)))
				}
			}
			if len(found) == 0 {
				found = append(found, ok("dead.none", "", "there are no dead letters"))
			}
			return found
		},
	}
}

// judgeDead judges the dead letters of a service: how many there are, and how long ago the
// last one was written.
func judgeDead(service string, letters uint64, last time.Duration) Finding {
	text := "%s, the last of them %s ago"
	f := info("dead.letters", service, text, count(letters, "dead letter", "dead letters"), shortDuration(last))
	if last < freshLetter {
		f = warning("dead.growing", service, text+": something fails for good now", count(letters, "dead letter", "dead letters"), shortDuration(last))
	}
	return f.so("read them with aegis deadletters %s, mend the cause, then put them back or delete them", service)
}
