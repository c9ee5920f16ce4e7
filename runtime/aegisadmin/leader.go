package aegisadmin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aegisrpc/aegis/internal/wire"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/election"
	"github.com/aegisrpc/aegis/runtime/internal/bucket"
)

// Leadership is what the record of a single active group says, and its candidates.
type Leadership struct {
	Service, Group string
	// Instance leads in the term Term since Since, by its own clock, and Process
	// identifies its process. "" and 0 if nobody leads: the last leader has released the
	// group, or the lease of a leader whose record was removed is being waited out.
	Instance, Process string
	Term              uint64
	Since             time.Time
	// Lease is how long the others wait for a leader that is lost, but for a margin, and
	// ActWindow how long after its last contact with NATS it acts at most.
	Lease, ActWindow time.Duration
	// Answers: the leader has answered just now. One that does not is frozen, overloaded,
	// or of a version that does not answer.
	Answers bool
	// Candidates are the instances that have answered, in order of their names.
	Candidates []Candidate
}

// Candidate is an instance that takes part in the election of a group.
type Candidate struct {
	Instance, Process string
	// Leads: it holds the lease. Stands: it would lead if the leader let go now; an
	// instance that does not has just handed over, cannot reach the bucket of leaders, or
	// does not hear itself.
	Leads, Stands bool
}

// candidatesWithin is how long candidates are waited for. All of them get the question, and
// how many there are nobody knows.
const candidatesWithin = 250 * time.Millisecond

// Leaders returns the single active groups of a service that ever had a leader, in order of
// their names; of all services for aegis.AllServices. It asks the candidates of each group,
// and waits a quarter of a second for their answers, of all groups at once.
func (a *Admin) Leaders(ctx context.Context, service string) ([]Leadership, error) {
	if service != aegis.AllServices {
		if err := a.check(service); err != nil {
			return nil, err
		}
	}
	list, err := a.leaderRecords(ctx, service)
	if err != nil || len(list) == 0 {
		return list, err
	}
	if err := a.askCandidates(ctx, list); err != nil {
		return nil, err
	}
	return list, nil
}

// leaderRecords reads the bucket of leaders.
func (a *Admin) leaderRecords(ctx context.Context, service string) ([]Leadership, error) {
	name := wire.LeaderBucket(a.in.Layout.Namespace)
	prefix := bucket.SubjectPrefix(name)
	filter := prefix + ">"
	if service != aegis.AllServices {
		filter = prefix + service + ".*.*"
	}
	found := make(map[string]Leadership)
	for next := uint64(1); ; {
		msg, why := a.in.Stores.From(ctx, bucket.StreamName(name), filter, next)
		if why != nil {
			return nil, a.refused(why)
		}
		if msg == nil {
			break
		}
		next = msg.Sequence + 1
		entry := bucket.EntryOf(msg.Sequence, msg.Header, msg.Data)
		service, group, _, ok := wire.ParseLeaderKey(strings.TrimPrefix(msg.Subject, prefix))
		if !ok || entry.Absent {
			continue
		}
		l := Leadership{Service: service, Group: group}
		record, err := election.DecodeRecord(entry.Data)
		if err != nil {
			return nil, aegis.Errorf(aegis.CodeInternal, "the record of %s, group %s, in the bucket %s: %w", l.Service, l.Group, name, err)
		}
		l.Lease, l.ActWindow = record.Lease, record.Window
		if !record.Released && record.ServerID != "" {
			l.Instance, l.Process, l.Term, l.Since = record.Instance, record.Process, uint64(record.Term), record.Since
		}
		found[l.Service+" "+l.Group] = l // a bucket that was made anew may have an older key as well
	}
	list := make([]Leadership, 0, len(found))
	for _, l := range found {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Leadership) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Group, b.Group))
	})
	return list, nil
}

// askCandidates asks the candidates of all groups who they are, and adds their answers.
func (a *Admin) askCandidates(ctx context.Context, list []Leadership) error {
	nc := a.in.Bus.NATS
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox + ".*")
	if err != nil {
		return a.failed(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if it is gone already
	for i := range list {
		subject := a.in.Layout.Subjects.AskAll(list[i].Service, list[i].Group)
		if err := nc.PublishRequest(subject, fmt.Sprintf("%s.%d", inbox, i), wire.Heir{}.Encode()); err != nil {
			return a.failed(err)
		}
	}
	waiting, cancel := context.WithTimeout(ctx, candidatesWithin)
	defer cancel()
	silent := 0 // groups of which NATS says that nobody listens
	for silent < len(list) {
		msg, err := sub.NextMsgWithContext(waiting)
		if err != nil && !errors.Is(err, nats.ErrNoResponders) {
			break
		}
		var i int
		if msg == nil {
			silent++
			continue
		}
		if _, err := fmt.Sscanf(msg.Subject[len(inbox):], ".%d", &i); err != nil || i < 0 || i >= len(list) {
			continue
		}
		if msg.Header.Get("Status") == "503" {
			silent++
		} else if c, ok := wire.DecodeCandidacy(msg.Data); ok {
			list[i].heard(c)
		}
	}
	for i := range list {
		slices.SortFunc(list[i].Candidates, func(a, b Candidate) int { return cmp.Compare(a.Instance, b.Instance) })
	}
	if ctx.Err() != nil {
		return a.failed(ctx.Err())
	}
	return nil
}

// heard takes a candidate's answer.
func (l *Leadership) heard(c wire.Candidacy) {
	l.Candidates = append(l.Candidates, Candidate{Instance: c.Instance, Process: c.Process, Leads: c.Term != 0, Stands: c.Stands})
	if c.Term != 0 && c.Process == l.Process {
		l.Answers = true
	}
}

// HandOver says how a leadership is handed over.
type HandOver struct {
	// To is the instance that shall lead; "" for any other that stands.
	To string
	// Force ends the term also if nobody else stands: then nobody leads until the instance
	// leads again itself, a lease later, or another one is there.
	Force bool
}

// HandedOver is a leadership that was handed over.
type HandedOver struct {
	// From has led in the term Term.
	From string
	Term uint64
	// To leads now, in NextTerm; "" if nobody did within two leases. OnLeading of To may
	// still run.
	To       string
	NextTerm uint64
}

// HandOver asks the leader of a group to let another candidate lead. The leader lets no
// handler begin any more, finishes those that run (its server's grace period bounds that),
// releases the group, and does not stand for a lease; another one leads some milliseconds
// later. Calls wait for that one as they do for any new leader. Candidates of the same
// version hold back for the instance that is named; if it is lost just then, another one
// leads after a lease.
//
// The code of the error is CodeUnavailable if nobody leads, or the leader does not hear
// the request, CodeFailedPrecondition if nobody else stands and Force is not set, if To
// does not stand or leads already, or if the leader is handing over, and CodeAborted if the
// term has ended otherwise. After CodeDeadlineExceeded it is unknown what the leader has
// done: look at Leaders. Without a deadline of ctx it waits for a minute.
func (a *Admin) HandOver(ctx context.Context, service, group string, h HandOver) (HandedOver, error) {
	if err := a.check(service); err != nil {
		return HandedOver{}, err
	}
	if err := checkToken("a group", group); err != nil {
		return HandedOver{}, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Minute)
		defer cancel()
	}
	subject := a.in.Layout.Subjects.AskLeader(service, group)
	asking, why := a.in.Stores.AllowedTo(ctx, subject)
	msg, err := a.in.Bus.NATS.RequestWithContext(asking, subject, wire.HandOver{To: h.To, Force: h.Force}.Encode())
	switch err = why(err); {
	case errors.Is(err, nats.ErrNoResponders):
		return HandedOver{}, aegis.Errorf(aegis.CodeUnavailable,
			"nobody leads %s, group %s, or its leader has not loaded its state yet or is of a version that cannot be asked to hand over", service, group)
	case errors.Is(err, context.DeadlineExceeded):
		return HandedOver{}, aegis.Errorf(aegis.CodeDeadlineExceeded,
			"the leader of %s, group %s, has not answered in time: whether it hands over is unknown, as it may be waiting for its handlers", service, group)
	case err != nil:
		return HandedOver{}, a.failed(err)
	}
	answer, ok := wire.DecodeHandedOver(msg.Data)
	if !ok {
		return HandedOver{}, aegis.Errorf(aegis.CodeInternal, "what answered for the leader of %s, group %s, is none: %q", service, group, msg.Data)
	}
	if answer.Refused != "" {
		return HandedOver{}, refusalOf(service, group, &h, &answer)
	}
	return HandedOver{From: answer.Instance, Term: answer.Term, To: answer.Next.Instance, NextTerm: answer.Next.Term}, nil
}

// refusalOf returns the error for a leader that does not hand over.
func refusalOf(service, group string, h *HandOver, answer *wire.HandedOver) error {
	what := fmt.Sprintf("%s leads %s, group %s, in the term %d", answer.Instance, service, group, answer.Term)
	switch answer.Refused {
	case wire.RefusedAlone:
		return aegis.Errorf(aegis.CodeFailedPrecondition, "%s, and nobody else stands: start another instance, or force it", what)
	case wire.RefusedUnknown:
		if len(answer.Standing) > 0 {
			return aegis.Errorf(aegis.CodeFailedPrecondition, "%s, and %s does not stand; these do: %s", what, h.To, strings.Join(answer.Standing, ", "))
		}
		return aegis.Errorf(aegis.CodeFailedPrecondition, "%s, and neither %s nor anybody else stands", what, h.To)
	case wire.RefusedSelf:
		return aegis.Errorf(aegis.CodeFailedPrecondition, "%s already", what)
	case wire.RefusedBusy:
		return aegis.Errorf(aegis.CodeFailedPrecondition, "%s, and is handing over already", what)
	case wire.RefusedOver:
		return aegis.Errorf(aegis.CodeAborted, "%s no more: the term has ended otherwise; see who leads now", what)
	default:
		return aegis.Errorf(aegis.CodeInternal, "%s, and does not hand over: %s", what, answer.Refused)
	}
}
