package check

import "github.com/aegisrpc/aegis/internal/fault/history"

// tally is how many attempts of a command or an event count in any case. A handler
// that fails counts. One whose worker is lost counts if that was the last attempt,
// or if the next one's is lost as well: that one has run alone.
type tally struct {
	limit    int
	attempts int
	lost     int // in a row
}

func (t *tally) failed() { t.attempts, t.lost = t.attempts+1, 0 }

func (t *tally) losesWorker() {
	switch t.lost++; {
	case t.lost == 2:
		t.attempts += 2
	case t.lost > 2 || t.attempts+1 >= t.limit:
		t.attempts++
	}
}

// count adds an attempt that another one has followed. If it is unknown whether NATS
// has stored an end, the attempt counts as little as possible.
func (j *durableJudge) count(t *tally, a, next *attempt) {
	killed, dead := j.h.Killed[a.process]
	dead = dead && killed < next.Begin
	switch {
	case j.away(a, next) || j.stalled(a, next): // what was counted may be gone
		*t = tally{limit: t.limit}
	case !a.ended() && dead, a.ended() && a.Outcome == history.Accepted: // else nothing would have followed
		t.losesWorker()
	case a.ended() && a.Outcome == history.Refused && (!dead || j.acknowledged(a)):
		t.failed()
	default:
		t.lost = 0
	}
}

// shaken tells whether NATS was away while the attempts of a dead letter were
// counted. NATS may then have stored an end that the worker believes to be lost.
func (j *durableJudge) shaken(d Dead) bool {
	from := int64(0)
	if of := j.attempts[d.ID]; len(of) > 0 {
		from = of[0].Begin
	}
	for _, o := range j.h.Outages {
		if o.From-soon <= d.At && from <= o.To+soon {
			return true
		}
	}
	return false
}
