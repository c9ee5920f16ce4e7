package board

import (
	"cmp"
	"slices"
	"time"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
)

// queuesOf returns the documents of the queues of some services, the longest first.
func queuesOf(now time.Time, services []*service) []monitorapi.Queue {
	list := []monitorapi.Queue{}
	for _, s := range services {
		for _, q := range s.work.queues {
			list = append(list, q.document(now, s))
		}
	}
	slices.SortFunc(list, func(a, b monitorapi.Queue) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method))
	})
	return list
}

func (q *queue) document(now time.Time, s *service) monitorapi.Queue {
	c := &q.counts
	d := monitorapi.Queue{
		Service: s.name, Method: c.Method, Level: levelOf(q.findings(now, s)),
		Scheduled: c.Scheduled, Waiting: c.Waiting, Running: max(c.UnderWay-c.Redelivered, 0), Retrying: min(c.Redelivered, c.UnderWay),
		Oldest: moment(c.Oldest), Priorities: []monitorapi.QueuePriority{}, Workers: c.Workers,
		PausedUntil: pausedAt(now, c.PausedUntil), Hour: q.waiting.Hour(now),
	}
	d.AddedPerSecond, d.DonePerSecond = q.pace.rates()
	for _, l := range c.Levels {
		d.Priorities = append(d.Priorities, monitorapi.QueuePriority{
			Priority: l.Priority, Waiting: max(l.Waiting, 0), UnderWay: max(l.UnderWay, 0),
		})
	}
	return d
}

// pausedAt returns the end of a pause; nil if it is over.
func pausedAt(now, until time.Time) *time.Time {
	if !until.After(now) {
		return nil
	}
	return moment(until)
}

// subscriptionsOf returns the documents of the subscriptions of some services, the greatest
// lag first.
func subscriptionsOf(now time.Time, services []*service) []monitorapi.Subscription {
	list := []monitorapi.Subscription{}
	for _, s := range services {
		for _, one := range s.work.subscriptions {
			list = append(list, one.document(now, s))
		}
	}
	slices.SortFunc(list, func(a, b monitorapi.Subscription) int {
		return cmp.Or(cmp.Compare(b.Lag, a.Lag), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Group, b.Group), cmp.Compare(a.Instance, b.Instance))
	})
	return list
}

func (x *subscription) document(now time.Time, s *service) monitorapi.Subscription {
	w := &x.work
	lag, underWay := w.Pending()
	d := monitorapi.Subscription{
		Service: s.name, Method: w.Method, Group: w.Group, Instance: w.Instance, Level: levelOf(x.findings(now, s)),
		Lag: lag, Pending: max(underWay, 0), PausedUntil: pausedAt(now, w.PausedUntil), Hour: x.lag.Hour(now),
	}
	_, d.DonePerSecond = x.pace.rates()
	var delivered, acknowledged time.Time
	for _, c := range w.Consumers {
		d.Redelivered += max(c.Redelivered, 0)
		d.Waiting += max(c.Requests, 0)
		delivered, acknowledged = latest(delivered, c.LastDelivery), latest(acknowledged, c.LastAck)
	}
	d.LastDelivery, d.LastAck = moment(delivered), moment(acknowledged)
	return d
}

// streamsOf returns the documents of the streams of some services, in order of service and
// kind.
func streamsOf(services []*service) []monitorapi.Stream {
	list := []monitorapi.Stream{}
	for _, s := range services {
		for i := range s.work.streams {
			list = append(list, streamDocument(s, &s.work.streams[i]))
		}
	}
	slices.SortStableFunc(list, func(a, b monitorapi.Stream) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list
}

func streamDocument(s *service, x *aegisadmin.Stream) monitorapi.Stream {
	d := monitorapi.Stream{
		Service: s.name, Kind: x.Kind, Name: x.Name, Level: levelOf(streamFindings(s, x)),
		Messages: x.Messages, Bytes: x.Bytes, Refuses: x.Refuses, Replicas: x.Replicas, Leader: x.Leader,
		Behind: append([]string{}, x.Behind...), First: moment(x.First), Last: moment(x.Last),
	}
	if x.MaxBytes > 0 {
		limit := x.MaxBytes
		d.MaxBytes = &limit
	}
	return d
}

// levelOf returns the worst level of findings.
func levelOf(list []finding) monitorapi.Level {
	level := monitorapi.LevelOK
	for i := range list {
		level = worse(level, list[i].Level)
	}
	return level
}

// worse returns the worse one of two levels; "" is as good as LevelOK.
func worse(a, b monitorapi.Level) monitorapi.Level {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(l monitorapi.Level) int {
	switch l {
	case monitorapi.LevelOK, "":
		return 0
	case monitorapi.LevelUnknown:
		return 1
	case monitorapi.LevelAttention:
		return 2
	default:
		return 3
	}
}
