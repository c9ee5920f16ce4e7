package board_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
)

func command(method string, waiting, underWay int) aegisadmin.CommandMethod {
	return aegisadmin.CommandMethod{Service: orders, Method: method, Waiting: waiting, UnderWay: underWay, Workers: true}
}

func worker(method string, deliveries uint64, underWay, requests int) aegisadmin.Work {
	return aegisadmin.Work{Service: orders, Method: method, Consumers: []aegisadmin.Consumer{
		{Deliveries: deliveries, UnderWay: underWay, Requests: requests},
	}}
}

func TestAQueueHasItsNumbersAndRates(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for s := range 120 {
		n := uint64(s)
		c := command("Reconcile", 100+10*s, 5)
		c.Redelivered, c.Oldest, c.Levels = 2, at(-4), []aegisadmin.CommandLevel{{Priority: "high", Waiting: 3, UnderWay: 1}}
		b.ServiceWork(at(float64(s)), orders, &board.ServiceWork{
			Commands: []aegisadmin.CommandMethod{c}, Work: []aegisadmin.Work{worker("Reconcile", 20*n, 5, 1)},
			Streams: []aegisadmin.Stream{{Service: orders, Kind: "commands", Name: "c", LastSequence: 30 * n}},
		})
	}
	q := b.Work(at(119)).Queues[0]
	require.Equal(t, 3, q.Running)
	require.Equal(t, 2, q.Retrying)
	require.Equal(t, at(-4), *q.Oldest)
	require.InDelta(t, 30, *q.AddedPerSecond, 1e-9)
	require.InDelta(t, 20, *q.DonePerSecond, 1e-9)
	require.Equal(t, []monitorapi.QueuePriority{{Priority: "high", Waiting: 3, UnderWay: 1}}, q.Priorities)
	require.InDelta(t, 1290, *q.Hour[59], 1e-9)
	require.InDelta(t, 690, *q.Hour[58], 1e-9)
	require.Nil(t, q.Hour[57])
}

func TestWhatIsAddedToOneOfSeveralQueuesIsNotKnown(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for s := range 60 {
		n := uint64(s)
		b.ServiceWork(at(float64(s)), orders, &board.ServiceWork{
			Commands: []aegisadmin.CommandMethod{command("A", 3, 5), command("B", 9, 0)},
			Work:     []aegisadmin.Work{worker("A", 20*n, 5, 1), worker("B", 7*n, 0, 1)},
			Streams:  []aegisadmin.Stream{{Service: orders, Kind: "commands", Name: "c", LastSequence: 27 * n}},
		})
	}
	queues := b.Work(at(59)).Queues
	require.Equal(t, "B", queues[0].Method, "the longest first")
	require.Nil(t, queues[0].AddedPerSecond)
	require.InDelta(t, 7, *queues[0].DonePerSecond, 1e-9)
	require.InDelta(t, 20, *queues[1].DonePerSecond, 1e-9)
	b.ServiceWork(at(60), orders, &board.ServiceWork{Commands: []aegisadmin.CommandMethod{command("A", 3, 5)}, Work: []aegisadmin.Work{worker("A", 2, 5, 1)}})
	require.Len(t, b.Work(at(60)).Queues, 1)
	require.Nil(t, b.Work(at(60)).Queues[0].DonePerSecond, "the consumer was made anew")
	b.ServiceWork(at(61), orders, nil)
	encoded(t, b, at(61))
	require.Empty(t, b.Work(at(61)).Queues)
}

func TestASubscriptionHasLagAndPace(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for s := range 30 {
		b.ServiceWork(at(float64(s)), orders, &board.ServiceWork{Work: []aegisadmin.Work{
			{Service: orders, Method: "Placed", Group: "risk", Consumers: []aegisadmin.Consumer{
				{Pending: 10, UnderWay: 1, Redelivered: 1, Deliveries: uint64(5 * s), Requests: 1, LastAck: at(float64(s)), LastDelivery: at(1)},
				{Pending: 7, UnderWay: 2, Deliveries: uint64(6 * s), LastDelivery: at(float64(s))},
			}},
			{Service: orders, Method: "Placed", Instance: "book-1"},
		}})
	}
	list := b.Work(at(29)).Subscriptions
	require.Len(t, list, 2)
	x := list[0]
	require.Equal(t, "risk", x.Group)
	require.EqualValues(t, 17, x.Lag)
	require.Equal(t, []int{3, 1, 1}, []int{x.Pending, x.Redelivered, x.Waiting})
	require.InDelta(t, 11, *x.DonePerSecond, 1e-9)
	require.Equal(t, at(29), *x.LastAck)
	require.Equal(t, at(29), *x.LastDelivery)
	require.Nil(t, list[1].LastAck)
	require.Nil(t, list[1].DonePerSecond)
}

// workFindings returns the findings of work that stays as it is for some seconds.
func workFindings(t *testing.T, seconds int, w *board.ServiceWork) []monitorapi.Finding {
	t.Helper()
	b := connected(t)
	for s := range seconds + 1 {
		b.ServiceWork(at(float64(s)), orders, w)
		b.Tick(at(float64(s)))
	}
	list := b.Overview(at(float64(seconds))).Findings
	for _, q := range b.Work(at(float64(seconds))).Queues {
		require.Equal(t, len(list) > 0, q.Level != monitorapi.LevelOK)
	}
	return list
}

func TestQueuesThatNeedAttention(t *testing.T) {
	t.Parallel()
	never, paused, old, idle := command("M", 5, 0), command("M", 0, 0), command("M", 5, 1), command("M", 0, 0)
	never.Workers = false
	paused.PausedUntil = at(600)
	old.Oldest = at(-400)
	for name, one := range map[string]struct {
		c    aegisadmin.CommandMethod
		work []aegisadmin.Work
		want []string
	}{
		"idle":       {idle, []aegisadmin.Work{worker("M", 1, 0, 0)}, []string{}},
		"worked":     {command("M", 5, 1), []aegisadmin.Work{worker("M", 1, 1, 0)}, []string{}},
		"asked for":  {command("M", 5, 0), []aegisadmin.Work{worker("M", 1, 0, 1)}, []string{}},
		"not asked":  {command("M", 5, 0), []aegisadmin.Work{worker("M", 1, 0, 0)}, []string{"Commands of OrderService.M wait, and no worker asks for them"}},
		"no workers": {never, nil, []string{"Commands of OrderService.M wait, and no worker was ever there"}},
		"paused":     {paused, nil, []string{"OrderService.M is paused"}},
		"old":        {old, []aegisadmin.Work{worker("M", 1, 1, 1)}, []string{"Commands of OrderService.M wait for long"}},
	} {
		list := workFindings(t, 20, &board.ServiceWork{Commands: []aegisadmin.CommandMethod{one.c}, Work: one.work})
		require.Equal(t, one.want, findingWhats(list), name)
	}
}

func TestAQueueThatGrowsFromMinuteToMinuteNeedsAttention(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for minute := range 8 {
		now := at(float64(60 * minute))
		b.ServiceWork(now, orders, &board.ServiceWork{
			Commands: []aegisadmin.CommandMethod{command("M", 100*minute, 1)}, Work: []aegisadmin.Work{worker("M", 1, 1, 1)},
		})
		b.Tick(now)
		b.Tick(now.Add(4 * time.Second))
		if minute < 5 {
			require.Empty(t, b.Overview(now).Findings)
		}
	}
	require.Equal(t, []string{"The queue of OrderService.M grows"}, findingWhats(b.Overview(at(424)).Findings))
}

func TestStreamsThatNeedAttention(t *testing.T) {
	t.Parallel()
	stream := func(bytes uint64, refuses bool, behind ...string) *board.ServiceWork {
		return &board.ServiceWork{Streams: []aegisadmin.Stream{{
			Service: orders, Kind: "events", Name: "s", Bytes: bytes, MaxBytes: 1000, Refuses: refuses, Replicas: 3, Behind: behind,
		}}}
	}
	require.Empty(t, workFindings(t, 10, stream(799, true)))
	require.Empty(t, workFindings(t, 10, stream(1000, false)), "it drops the oldest")
	list := workFindings(t, 10, stream(800, true))
	require.Equal(t, []string{"The stream of events of OrderService is nearly full"}, findingWhats(list))
	require.Equal(t, monitorapi.LevelAttention, list[0].Level)
	require.Equal(t, monitorapi.LevelCritical, workFindings(t, 10, stream(950, true))[0].Level)
	require.Equal(t, []string{"The stream of events of OrderService has 1 replica behind"}, findingWhats(workFindings(t, 10, stream(0, true, "n3"))))
}

func TestSubscriptionsThatNeedAttention(t *testing.T) {
	t.Parallel()
	of := func(c aegisadmin.Consumer, paused time.Time) *board.ServiceWork {
		return &board.ServiceWork{Work: []aegisadmin.Work{{
			Service: orders, Method: "Placed", Group: "risk", Consumers: []aegisadmin.Consumer{c}, PausedUntil: paused,
		}}}
	}
	require.Empty(t, workFindings(t, 20, of(aegisadmin.Consumer{}, time.Time{})))
	require.Empty(t, workFindings(t, 20, of(aegisadmin.Consumer{Pending: 5, UnderWay: 1}, time.Time{})))
	require.Equal(t, []string{"risk does not ask for the events of OrderService.Placed"}, findingWhats(workFindings(t, 20, of(aegisadmin.Consumer{Pending: 5}, time.Time{}))))
	require.Equal(t, []string{"risk is paused at OrderService.Placed"}, findingWhats(workFindings(t, 20, of(aegisadmin.Consumer{}, at(100)))))
	require.Empty(t, workFindings(t, 20, of(aegisadmin.Consumer{}, at(10))), "the pause is over")
}

func TestDeadLettersAreToldWhenTheyGrow(t *testing.T) {
	t.Parallel()
	b := connected(t)
	group := aegisadmin.LetterGroup{
		Service: orders, Method: "M", Reason: "book # is closed", Example: "book 7 is closed", Count: 3, First: at(-7200), Last: at(-7000), LastSequence: 12,
	}
	fresh := board.New(board.Config{}, start)
	fresh.Connected(start, board.Server{})
	fresh.DeadLetters(at(1), orders, []aegisadmin.LetterGroup{group})
	require.NotContains(t, kindsOf(fresh.Activity(at(1)).Events), monitorapi.EventDeadLetters, "they were there before")
	b.DeadLetters(at(1), orders, []aegisadmin.LetterGroup{group})
	b.Tick(at(1))
	o := b.Overview(at(1))
	require.Equal(t, 3, *o.Totals.DeadLetters)
	require.Equal(t, []string{"3 dead letters of OrderService.M"}, findingWhats(o.Findings))
	require.Equal(t, monitorapi.LevelOK, o.Findings[0].Level, "none came within the hour")
	require.EqualValues(t, 12, o.DeadLetters[0].UpTo)
	group.Count, group.Last = 41, at(2)
	other := aegisadmin.LetterGroup{Service: orders, Method: "M", Consumer: "g-risk", Reason: "other", Count: 50, First: at(-9), Last: at(-8)}
	b.DeadLetters(at(2), orders, []aegisadmin.LetterGroup{group, other})
	b.Tick(at(2))
	o = b.Overview(at(2))
	require.Equal(t, "91 dead letters of OrderService.M", o.Findings[0].What)
	require.Equal(t, monitorapi.LevelAttention, o.Findings[0].Level)
	require.Equal(t, "One thing needs attention", o.Verdict.Text)
	require.Equal(t, 50, o.DeadLetters[0].Count, "the greatest first")
	require.Equal(t, "88 more dead letters of OrderService.M: book 7 is closed", b.Activity(at(2)).Events[0].Text)
	b.DeadLetters(at(3), orders, nil)
	b.Tick(at(3))
	require.Empty(t, b.Overview(at(3)).Findings)
	require.Zero(t, *b.Overview(at(3)).Totals.DeadLetters)
}

func TestAServiceWhoseInstancesAreWellSaysWhatElseNeedsAttention(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Instances(at(1), several(good()))
	b.DeadLetters(at(1), orders, []aegisadmin.LetterGroup{{Service: orders, Method: "M", Reason: "other", Count: 5, First: at(0), Last: at(1)}})
	b.Tick(at(1))
	service := b.Overview(at(1)).Services[0]
	require.Equal(t, monitorapi.LevelAttention, service.Level)
	require.Equal(t, "5 dead letters of OrderService.M", service.Why)
}
