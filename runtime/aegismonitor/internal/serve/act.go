package serve

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

const (
	// actTimeout bounds an action on a group of dead letters. What is done until then stays
	// done, and the action can be repeated.
	actTimeout = 2 * time.Minute
	// maxSequences bounds single letters, and maxProblems those of which the outcome says why
	// they stay.
	maxSequences = 1000
	maxProblems  = 100
)

// treatment is what can be done to dead letters.
type treatment struct {
	name string // of the action
	past string // in the text of its event
	one  func(*aegis.Conn, context.Context, *aegis.DeadLetter) error
	many func(*aegisadmin.Admin, context.Context, string, aegisadmin.LetterFilter, func(aegisadmin.Treated)) (aegisadmin.Treated, error)
}

// putBack puts dead letters back to where they were published.
func (s *Server) putBack(w http.ResponseWriter, r *http.Request) error {
	return s.treat(w, r, &treatment{
		name: "put back", past: "put back %s",
		one: (*aegis.Conn).PutBack, many: (*aegisadmin.Admin).PutBack,
	})
}

// discard deletes dead letters.
func (s *Server) discard(w http.ResponseWriter, r *http.Request) error {
	return s.treat(w, r, &treatment{
		name: "delete", past: "deleted %s",
		one: (*aegis.Conn).DiscardDeadLetter, many: (*aegisadmin.Admin).Discard,
	})
}

func (s *Server) treat(w http.ResponseWriter, r *http.Request, t *treatment) error {
	service, err := serviceOf(r)
	if err != nil {
		return err
	}
	if _, err := queryOf(r); err != nil {
		return err
	}
	if !s.config.May.Act {
		return s.forbidden(r, "put dead letters back or delete them", "WithChanges", "--allow-changes")
	}
	var want monitorapi.LetterAction
	if err := readBody(w, r, &want); err != nil {
		return err
	}
	if err := checkAction(&want); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(actTimeout + readTimeout)) // not every connection can do that
	ctx, cancel := context.WithTimeout(r.Context(), actTimeout)
	defer cancel()
	var done aegisadmin.Treated
	if len(want.Sequences) > 0 {
		done, err = s.treatSome(ctx, service, want.Sequences, t)
	} else {
		done, err = s.treatGroup(ctx, service, &want, t)
	}
	s.audit(r, &action{name: t.name, service: service, method: want.Method, done: done.Done, failed: done.Failed}, err, fmt.Sprintf(t.past, lettersIn(done.Done)))
	if err != nil {
		return afterSome(done.Done, err)
	}
	return reply(w, r, outcomeOf(done))
}

// checkAction refuses an action that does not say exactly what it is about.
func checkAction(a *monitorapi.LetterAction) error {
	single, group := len(a.Sequences) > 0, a.Method != "" || a.Consumer != "" || a.Reason != "" || a.UpTo != 0 || a.Count != 0
	switch {
	case single && group:
		return badRequest("give sequences of single dead letters, or a group by method, consumer, reason, upTo and count, and not both")
	case len(a.Sequences) > maxSequences:
		return badRequest(fmt.Sprintf("more than %d sequences", maxSequences))
	case single:
		return nil
	case !validMethod(a.Method):
		return badRequest("a group of dead letters needs the name of its method")
	case a.UpTo == 0 || a.Count <= 0:
		return badRequest("a group of dead letters needs upTo, the sequence of its last letter, and count, how many letters the user was told of")
	}
	return nil
}

// treatSome treats letters by their sequences.
func (s *Server) treatSome(ctx context.Context, service string, sequences []uint64, t *treatment) (aegisadmin.Treated, error) {
	var done aegisadmin.Treated
	for _, n := range sequences {
		d, err := s.config.Conn.DeadLetter(ctx, service, n)
		if err == nil {
			err = t.one(s.config.Conn, ctx, d)
		}
		switch {
		case err == nil:
			done.Done++
		case ctx.Err() != nil || aegis.CodeOf(err) == aegis.CodePermissionDenied:
			return done, err
		default:
			done.Failed++
			if len(done.Left) < maxProblems {
				done.Left = append(done.Left, aegisadmin.LetterFailure{Sequence: n, Err: err})
			}
		}
	}
	return done, nil
}

// treatGroup treats the letters of a group, unless there are more of them than the user was
// told of.
func (s *Server) treatGroup(ctx context.Context, service string, want *monitorapi.LetterAction, t *treatment) (aegisadmin.Treated, error) {
	f := aegisadmin.LetterFilter{Method: want.Method, Consumer: want.Consumer, Reason: want.Reason, UpTo: want.UpTo}
	n, err := s.admin.CountDeadLetters(ctx, service, f)
	if err != nil {
		return aegisadmin.Treated{}, err
	}
	if n.Count > want.Count {
		return aegisadmin.Treated{}, aegis.Errorf(aegis.CodeFailedPrecondition,
			"the group has %s and not %d, so nothing was done: look at it again", lettersIn(n.Count), want.Count)
	}
	if n.Count == 0 {
		return aegisadmin.Treated{}, nil
	}
	return t.many(s.admin, ctx, service, f, nil)
}

// afterSome says in a problem how much was done before it.
func afterSome(done int, err error) error {
	if done == 0 {
		return err
	}
	p := problemOf(err)
	return &problem{status: p.status, code: p.code, detail: fmt.Sprintf("%s were treated before this: %s", lettersIn(done), p.detail), header: p.header}
}

func outcomeOf(t aegisadmin.Treated) *monitorapi.LetterOutcome {
	o := &monitorapi.LetterOutcome{Done: t.Done, Failed: t.Failed, Left: []monitorapi.LetterProblem{}}
	for _, l := range t.Left {
		o.Left = append(o.Left, monitorapi.LetterProblem{Sequence: l.Sequence, Code: aegis.CodeOf(l.Err).String(), Problem: l.Err.Error()})
	}
	return o
}

// lettersIn says a number of dead letters in words.
func lettersIn(n int) string {
	if n == 1 {
		return "1 dead letter"
	}
	return fmt.Sprintf("%d dead letters", n)
}
