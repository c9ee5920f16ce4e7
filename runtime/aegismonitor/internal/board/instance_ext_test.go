package board_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

func TestInstancesThatWereThereBeforeHaveNotJoined(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one, two := running(orders, "order-1", good()), running(orders, "order-2", good())
	b.InstanceChanged(at(0), change(aegis.InstanceJoined, one))
	b.Instances(at(1), []aegis.Instance{one, two})
	b.InstanceChanged(at(1), change(aegis.InstanceJoined, two))
	tickUntil(b, 1, 10)
	require.NotContains(t, kindsOf(b.Activity(at(10)).Events), monitorapi.EventJoined)
}

func TestEachStepOfAnInstanceIsToldOnce(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one, two := running(orders, "order-1", good()), running(orders, "order-2", good())
	b.Instances(at(0), []aegis.Instance{one})
	b.Instances(at(1), []aegis.Instance{one, two}) // the list comes before the change
	b.InstanceChanged(at(1), change(aegis.InstanceJoined, two))
	tickUntil(b, 1, 5)
	b.Instances(at(6), []aegis.Instance{one})
	b.InstanceChanged(at(6.5), change(aegis.InstanceExpired, two))
	b.InstanceChanged(at(7), change(aegis.InstanceLeft, one))
	b.Instances(at(7), nil)
	tickUntil(b, 7, 8)
	var steps []monitorapi.EventKind
	for _, e := range b.Activity(at(8)).Events {
		if e.Kind != monitorapi.EventConnection && e.Kind != monitorapi.EventFinding {
			steps = append(steps, e.Kind)
		}
	}
	require.Equal(t, []monitorapi.EventKind{monitorapi.EventLeft, monitorapi.EventExpired, monitorapi.EventJoined}, steps)
}

func TestAListThatIsTooOldMakesNobodyJoinAgain(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one := running(orders, "order-1", good())
	b.Instances(at(0), nil)
	b.InstanceChanged(at(1), change(aegis.InstanceJoined, one))
	b.Instances(at(1), nil)
	b.Instances(at(2), []aegis.Instance{one})
	tickUntil(b, 2, 10)
	require.Equal(t, []monitorapi.EventKind{monitorapi.EventJoined, monitorapi.EventConnection}, kindsOf(b.Activity(at(10)).Events))
}

func TestChangesThatOnlyTheListShowsAreToldAfterAMoment(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one, two := running(orders, "order-1", good()), running(orders, "order-2", good())
	b.Instances(at(0), []aegis.Instance{one})
	b.Instances(at(1), []aegis.Instance{one, two})
	b.Tick(at(1))
	require.NotContains(t, kindsOf(b.Activity(at(1)).Events), monitorapi.EventJoined)
	b.Tick(at(3))
	require.Equal(t, "order-2 has joined, version 1.0", b.Activity(at(3)).Events[0].Text)
	b.Instances(at(4), []aegis.Instance{one})
	b.Tick(at(6))
	require.Equal(t, "order-2 has stopped", b.Activity(at(6)).Events[0].Text)
}

func TestTheRowOfAnInstanceIsThatOfItsReport(t *testing.T) {
	t.Parallel()
	b := connected(t)
	i := running(orders, "order-1", good())
	i.Leading = []aegis.Term{{Group: "default", Token: 3}}
	b.Instances(at(1), []aegis.Instance{i})
	b.Tick(at(1))
	row := b.Service(at(1), orders).Instances[0]
	require.Equal(t, "RUNNING", row.State)
	require.Equal(t, monitorapi.LevelOK, row.Level)
	require.Equal(t, "A+", row.Grade)
	require.InDelta(t, 10, *row.PerSecond, 1e-9)
	require.InDelta(t, 1, *row.ErrorPercent, 1e-9)
	require.InDelta(t, 4, *row.P99Ms, 1e-9)
	require.EqualValues(t, 2, *row.InFlight)
	require.Equal(t, map[string]uint64{"OVERLOADED": 3}, row.Refused)
	require.Equal(t, []string{"default"}, row.Leads)
	require.InDelta(t, 12.5, *row.CPUPercent, 1e-9)
	require.Equal(t, at(1), *row.Heard)
	require.Empty(t, row.Why)
}

func TestAnInstanceThatWasNotHeardIsUnknown(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", nil)})
	b.Tick(at(1))
	d := b.Service(at(1), orders)
	require.Equal(t, monitorapi.LevelUnknown, d.Instances[0].Level)
	require.Nil(t, d.Instances[0].Heard)
	require.Nil(t, d.Instances[0].Score)
	require.Nil(t, d.Instances[0].PerSecond)
	require.Equal(t, monitorapi.LevelUnknown, d.Service.Level)
	require.Equal(t, "1 running", d.Service.Why)
}

func TestWhySaysWhatLowersTheScore(t *testing.T) {
	t.Parallel()
	r := slow()
	cpu := 91.0
	r.Usage.CPUPercent, r.Usage.MemoryBytes = &cpu, 700_000_000
	r.Errors = map[health.Code]uint64{13: 60}
	r.Findings = []health.Finding{{Check: "db", Penalty: 5, Reason: "slow disk"}}
	r.Assessment = health.Assess(r.Stats, r.Usage, r.Findings, health.Limits{})
	b := connected(t)
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", r)})
	require.Equal(t, "check db takes 5 points: slow disk; 10 % of its requests fail; its requests take 300 ms on average; "+
		"it uses 91 % of its CPUs; it uses 700 MB of memory", b.Service(at(1), orders).Instances[0].Why)
	r.Assessment = health.Assess(r.Stats, r.Usage, r.Findings, health.Limits{Memory: 1 << 40})
	b.Instances(at(2), []aegis.Instance{running(orders, "order-1", r)})
	require.NotContains(t, b.Service(at(2), orders).Instances[0].Why, "memory", "its limit is higher")
}

func TestAGradeOfFewRequestsSaysNothing(t *testing.T) {
	t.Parallel()
	b := connected(t)
	r := slow()
	r.Requests = 3
	b.Instances(at(1), []aegis.Instance{running(orders, "order-1", r)})
	require.Equal(t, monitorapi.LevelOK, b.Service(at(1), orders).Instances[0].Level)
}

func TestASubscriberMayHaveTheNameOfAServer(t *testing.T) {
	t.Parallel()
	b := connected(t)
	server, subscriber := running(orders, "order-1", good()), running(orders, "order-1", good())
	subscriber.Subscriber = true
	b.Instances(at(1), []aegis.Instance{subscriber, server})
	b.Tick(at(1))
	d := b.Service(at(1), orders)
	require.Len(t, d.Instances, 2)
	require.False(t, d.Instances[0].Subscriber)
	require.Equal(t, 1, d.Service.Instances)
	require.InDelta(t, 10, *d.Service.PerSecond, 1e-9, "events are no calls of the service")
	b.Instances(at(2), []aegis.Instance{subscriber})
	require.Equal(t, "1 subscriber only", b.Service(at(2), orders).Service.Why)
}

func TestWhatThereIsTooMuchOfIsLeftOutAndSaid(t *testing.T) {
	t.Parallel()
	b := connected(t)
	var list []aegis.Instance
	for i := range 10_007 {
		list = append(list, running(orders, fmt.Sprint("i", i), nil))
	}
	b.Instances(at(1), list)
	b.Tick(at(1))
	require.Len(t, b.Service(at(1), orders).Instances, 10_000)
	require.Equal(t, "7 more than this monitor can show are left out", b.Header(at(1)).Sources[0].Problem)
	for k := range list {
		list[k].Service = fmt.Sprint("s", k)
	}
	for s := range 3 {
		b.Instances(at(float64(2+s)), list)
		b.Tick(at(float64(2 + s)))
	}
	require.LessOrEqual(t, len(b.Overview(at(4)).Services), 2_000)
	require.NotEmpty(t, b.Header(at(4)).Sources[0].Problem)
}

func TestHostileNamesChangeNothing(t *testing.T) {
	t.Parallel()
	b := connected(t)
	name := "<script>alert(1)</script>/../\u202e\xff\x00 " + string(make([]byte, 300))
	i := running(name, name, good())
	i.Started = time.Date(100_000, 1, 1, 0, 0, 0, 0, time.UTC)
	b.Instances(at(1), []aegis.Instance{i})
	b.InstanceChanged(at(2), change(aegis.InstanceExpired, i))
	b.Led(at(2), name, name, leader(name, 1))
	tickUntil(b, 2, 6)
	encoded(t, b, at(6))
	require.True(t, b.Service(at(6), name).Found)
}
