package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aegisrpc/aegis/internal/wire"
)

// manyRedelivered is from how many messages that were delivered before on a queue is worth
// a warning.
const manyRedelivered = 100

// mostSubjects bounds how many subjects of a queue are read.
const mostSubjects = 20_000

func checkQueues() Check {
	return Check{
		Name: "queues", Looks: "commands and durable events that wait: for how long, and whether anybody will take them",
		Reads: "the streams, their consumers, `$JS.API.STREAM.MSG.GET` of the first message that waits; the registry",
		IDs:   words("empty stuck held blocked behind redelivered unread"),
		run: func(ctx context.Context, l *look) []Finding {
			waits, err := l.readQueues(ctx)
			if err != nil {
				return []Finding{unread("queues.unread", "", "what waits", err)}
			}
			served := l.servedServices(ctx)
			var found []Finding
			for i := range waits {
				found = append(found, judgeQueue(&waits[i], served, l.scope.StuckAfter)...)
			}
			if len(found) == 0 {
				found = append(found, ok("queues.empty", "", "nothing waits for longer than %s", shortDuration(l.scope.StuckAfter)))
			}
			return found
		},
	}
}

// queue is what waits for one consumer, or for none.
type queue struct {
	stream, service string
	consumer        string // "" for messages that no consumer takes
	filter          string
	what            string // the messages, for people: "commands of Reconcile"
	subscriber      bool   // the consumer is of a subscriber to events

	pending     uint64 // neither delivered nor handled
	held        int    // delivered, and not acknowledged
	waiting     int    // requests for messages that NATS has
	redelivered int
	maxPending  int
	ackWait     time.Duration
	paused      bool

	age       time.Duration // of the first that is pending; 0 if there is none or it is not known
	ageErr    error         // why the age is not known
	delivered time.Duration // since the last delivery; a very long time if there was none
}

const never = 100 * 365 * 24 * time.Hour

// servedServices returns the services of which an instance is registered, and those with
// subscribers under their name in the registry; nil if that is not known.
func (l *look) servedServices(ctx context.Context) map[string]bool {
	entries, err := l.records(ctx)
	if err != nil {
		return nil
	}
	served := make(map[string]bool)
	for _, e := range entries {
		if service, _, ok := wire.ParseRegistryKey(e.key); ok {
			served[service] = true
		}
	}
	return served
}

func (l *look) readQueues(ctx context.Context) ([]queue, error) {
	consumers, err := l.consumers(ctx)
	if err != nil {
		return nil, err
	}
	var waits []queue
	for _, c := range consumers {
		if c.NumPending > 0 || c.NumAckPending > 0 {
			waits = append(waits, queueOf(l.subjects, c))
		}
	}
	orphans, err := l.readOrphans(ctx, consumers)
	if err != nil {
		return nil, err
	}
	waits = append(waits, orphans...)
	l.readAges(ctx, waits, consumers)
	return waits, nil
}

func queueOf(subjects wire.Subjects, c *consumer) queue {
	q := queue{
		stream: c.Stream, service: c.of.service, consumer: c.Name, pending: c.NumPending, held: c.NumAckPending, waiting: c.NumWaiting,
		redelivered: c.NumRedelivered, maxPending: c.Config.MaxAckPending, ackWait: c.Config.AckWait, paused: c.Paused,
		subscriber: c.of.kind == kindEvents, delivered: never, what: "messages",
	}
	if f := filters(&c.Config); len(f) == 1 {
		q.filter = f[0]
	}
	if role, known := roleOf(subjects, c); known {
		q.what = "commands of " + role.method
		if q.subscriber {
			q.what = "events of " + role.method
		}
	}
	if last := c.Delivered.Last; last != nil {
		q.delivered = natsNow(c.TimeStamp).Sub(*last)
	}
	return q
}

// natsNow returns the time of NATS when it answered; servers before 2.10 do not say it.
func natsNow(stamp time.Time) time.Time {
	if stamp.IsZero() {
		return time.Now()
	}
	return stamp
}

// readOrphans returns the commands that no consumer takes, by method and level.
func (l *look) readOrphans(ctx context.Context, consumers []*consumer) ([]queue, error) {
	claimed := make(map[string]uint64)
	taken := make(map[string][]string)
	for _, c := range consumers {
		claimed[c.Stream] += c.NumPending + uint64(max(c.NumAckPending, 0))
		taken[c.Stream] = append(taken[c.Stream], filters(&c.Config)...)
	}
	streams, err := l.streams(ctx)
	if err != nil {
		return nil, err
	}
	var found []queue
	for _, s := range streams {
		name := s.Config.Name
		if s.kind != kindCommands || s.State.Msgs <= claimed[name] {
			continue
		}
		due := strings.TrimSuffix(l.subjects.Commands(s.service)[0], ".>")
		if s.State.NumSubjects > mostSubjects {
			found = append(found, orphansOfMany(s, due+".>", len(taken[name]) == 0))
			continue
		}
		full, err := l.readStream(ctx, name, due+".>")
		if isCode(err, codeStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, orphansOf(full, due+".", taken[name])...)
	}
	return found, nil
}

// orphansOfMany returns a queue with too many subjects to be read as one. Which of its
// commands no consumer takes is known only if it has no consumer.
func orphansOfMany(s *stream, filter string, nobody bool) queue {
	q := queue{stream: s.Config.Name, service: s.service, filter: filter, what: commands, pending: s.State.Msgs, delivered: never}
	if !nobody {
		q.ageErr = fmt.Errorf("there are more than %d", mostSubjects)
	}
	return q
}

// orphansOf groups the subjects of a queue that no filter covers.
func orphansOf(s *stream, prefix string, taken []string) []queue {
	groups := make(map[string]uint64)
	for subject, n := range s.State.Subjects {
		if slices.ContainsFunc(taken, func(filter string) bool { return wire.Covers(filter, subject) }) {
			continue
		}
		method, rest, _ := strings.Cut(strings.TrimPrefix(subject, prefix), ".")
		level, _, _ := strings.Cut(rest, ".")
		groups[prefix+method+"."+level+".*.*"] += n
	}
	var found []queue
	for _, filter := range slices.Sorted(maps.Keys(groups)) {
		method, _, _ := strings.Cut(strings.TrimPrefix(filter, prefix), ".")
		found = append(found, queue{
			stream: s.Config.Name, service: s.service, filter: filter, what: "commands of " + method, pending: groups[filter], delivered: never,
		})
	}
	return found
}

// readAges reads how old the first message is that waits in each queue.
func (l *look) readAges(ctx context.Context, waits []queue, consumers []*consumer) {
	after := make(map[string]uint64)
	stamp := make(map[string]time.Time)
	for _, c := range consumers {
		after[c.Stream+" "+c.Name] = c.Delivered.Stream + 1
		stamp[c.Stream+" "+c.Name] = c.TimeStamp
	}
	turns := make(chan struct{}, many)
	var wait sync.WaitGroup
	for i := range waits {
		q := &waits[i]
		if q.pending == 0 || q.filter == "" || q.ageErr != nil {
			continue
		}
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			name := q.stream + " " + q.consumer
			first, err := l.firstMessage(ctx, q.stream, after[name], q.filter)
			switch {
			case err != nil:
				q.ageErr = err
			case first != nil:
				q.age = max(natsNow(stamp[name]).Sub(first.Time), 0)
			}
		})
	}
	wait.Wait()
}

// judgeQueue judges what waits for one consumer. Served has the services that have
// instances, nil if that is not known.
func judgeQueue(q *queue, served map[string]bool, stuckAfter time.Duration) []Finding {
	var found []Finding
	subject := strings.TrimSpace(q.stream + " " + cmp.Or(q.consumer, q.filter))
	if q.redelivered > 0 {
		f := info("queues.redelivered", subject, "%s of %s were delivered more than once: their handlers have failed, or were lost",
			count(uint64(q.redelivered), "message", "messages"), cmp.Or(q.consumer, q.filter))
		if q.redelivered >= manyRedelivered {
			f.Severity = Warning
		}
		found = append(found, f.so("read the log of the handlers, and aegis deadletters for what has failed for good"))
	}
	switch {
	case q.ageErr != nil:
		found = append(found, unread("queues.unread", subject, "for how long "+q.what+" wait", q.ageErr))
	case q.pending > 0 && q.age > stuckAfter:
		found = append(found, judgeOld(q, subject, stuckAfter))
	case q.held > 0 && q.waiting == 0 && q.delivered > stuckAfter+q.ackWait:
		found = append(found, judgeHeld(q, subject, served))
	}
	return found
}

// judgeOld judges a queue whose first message is old.
func judgeOld(q *queue, subject string, stuckAfter time.Duration) Finding {
	stuck := func(why string) Finding {
		return failure("queues.stuck", subject, "%d %s wait, the first for %s: %s", q.pending, q.what, shortDuration(q.age), why)
	}
	start := "start a server of " + q.service + " that has the method (aegis ls " + q.service + " shows those that run)"
	if q.subscriber {
		start = "start a subscriber to the events of " + q.service + ", or remove the consumer if nobody needs it: nats consumer rm " + subject
	}
	switch {
	case q.consumer == "":
		return stuck("no consumer takes them, as no server has worked them yet").so("%s", start)
	case q.paused:
		return stuck("the consumer is paused").so("nats consumer resume %s", subject)
	case q.maxPending > 1 && q.held >= q.maxPending:
		return warning("queues.blocked", subject, "%d %s wait, the first for %s, as %d are under way, and no more may be (max_ack_pending)",
			q.pending, q.what, shortDuration(q.age), q.held).
			so("see why so many fail or take so long; messages that wait for their next attempt count as well")
	case q.held > 0 || q.delivered <= stuckAfter:
		return info("queues.behind", subject, "%d %s wait, the first for %s; they are being worked", q.pending, q.what, shortDuration(q.age)).
			so("start more instances, or raise aegis.WithMaxConcurrency, if that grows")
	case q.waiting == 0:
		return stuck("nobody asks for them").so("%s", start)
	}
	return stuck("they are asked for, and NATS delivers none").so("see the state of the consumer: nats consumer info %s", subject)
}

// judgeHeld judges messages that were delivered long ago while nobody asks for more.
func judgeHeld(q *queue, subject string, served map[string]bool) Finding {
	service := q.service
	if q.subscriber {
		service = wire.SubscribersOf(service)
	}
	held := count(uint64(max(q.held, 0)), "message", "messages")
	if served != nil && !served[service] {
		return failure("queues.stuck", subject,
			"%s of %s were delivered %s ago to a process that is gone, and nobody asks for them", held, q.what, shortDuration(q.delivered)).
			so("start an instance of %s that has the method", q.service)
	}
	return warning("queues.held", subject,
		"%s of %s were delivered %s ago, and nobody asks for more: their handlers take long, or their process is gone",
		held, q.what, shortDuration(q.delivered)).so("see whether it runs: aegis ls %s", q.service)
}
