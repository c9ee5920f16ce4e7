package board_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/health"
)

// several are instances of a service with these reports.
func several(reports ...*health.Report) []aegis.Instance {
	var list []aegis.Instance
	for i, r := range reports {
		list = append(list, running(orders, fmt.Sprint("order-", i+1), r))
	}
	return list
}

func sick() *health.Report {
	r := good()
	r.Unhealthy = true
	r.Findings = []health.Finding{{Check: "db", Unhealthy: true, Reason: "no connection"}}
	return r
}

// lasting returns the overview after instances were as they are for some seconds.
func lasting(t *testing.T, list []aegis.Instance) *monitorapi.Overview {
	t.Helper()
	b := connected(t)
	for s := range 6 {
		b.Instances(at(float64(s)), list)
		b.Tick(at(float64(s)))
	}
	return b.Overview(at(5))
}

func TestASlowInstanceIsComparedWithItsPeers(t *testing.T) {
	t.Parallel()
	o := lasting(t, several(good(), good(), slow()))
	require.Equal(t, "One thing needs attention", o.Verdict.Text)
	f := o.Findings[0]
	require.Equal(t, "order-3 is slow", f.What)
	require.Equal(t, "grade D, p99 900 ms where its peers have 4 ms", f.Detail)
	require.Equal(t, []string{orders, "order-3"}, []string{f.Service, f.Instance})
	require.Equal(t, at(0), f.Since)
	require.Equal(t, "2 of 3 well", o.Services[0].Why)
	require.Equal(t, "D", o.Services[0].Grade)
	require.InDelta(t, 80, *o.Services[0].Score, 1e-9)
	require.Equal(t, monitorapi.LevelAttention, o.Services[0].Level)
}

func TestAnInstanceThatFailsSaysHowMuch(t *testing.T) {
	t.Parallel()
	r := good()
	r.Errors, r.Grade = map[health.Code]uint64{13: 90}, health.GradeD
	require.Equal(t, []string{"order-1 fails 15 % of its requests"}, findingWhats(lasting(t, several(r, good())).Findings))
}

func TestUnhealthyInstancesAreCriticalIfNoOtherIsLeft(t *testing.T) {
	t.Parallel()
	o := lasting(t, several(sick(), good()))
	require.Equal(t, []string{"order-1 is unhealthy"}, findingWhats(o.Findings))
	require.Equal(t, "check db says that it is unhealthy: no connection", o.Findings[0].Detail)
	require.Equal(t, monitorapi.LevelAttention, o.Findings[0].Level)
	require.Equal(t, 1, o.Services[0].Unhealthy)
	o = lasting(t, several(sick(), sick()))
	require.Equal(t, monitorapi.LevelCritical, o.Findings[0].Level)
	require.Equal(t, "2 things need attention", o.Verdict.Text)
	require.Equal(t, monitorapi.LevelCritical, o.Verdict.Level)
}

func TestManyInstancesWithTheSameTroubleAreOneFinding(t *testing.T) {
	t.Parallel()
	o := lasting(t, several(slow(), slow(), slow(), slow(), slow(), good(), sick()))
	require.Equal(t, []string{"5 of 7 instances of OrderService are slow or fail", "order-7 is unhealthy"}, findingWhats(o.Findings))
	require.Equal(t, "order-1, order-2, order-3 and 2 more", o.Findings[0].Detail)
}

func TestAServiceWithoutARunningInstance(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		kind   aegis.InstanceChangeKind
		level  monitorapi.Level
		detail string
	}{
		"stopped": {aegis.InstanceLeft, monitorapi.LevelAttention, "The last one, order-1, has stopped"},
		"lost":    {aegis.InstanceExpired, monitorapi.LevelCritical, "The last one, order-1, was lost"},
	} {
		b := connected(t)
		list := several(good())
		b.Instances(at(0), list)
		b.InstanceChanged(at(10), change(one.kind, list[0]))
		b.Instances(at(10), nil)
		tickUntil(b, 10, 14)
		o := b.Overview(at(14))
		require.Equal(t, []string{"No instance of OrderService runs"}, findingWhats(o.Findings), name)
		require.Equal(t, one.level, o.Findings[0].Level, name)
		require.Equal(t, one.detail, o.Findings[0].Detail, name)
		require.Equal(t, at(10), o.Findings[0].Since, name)
		require.Equal(t, "none running", o.Services[0].Why, name)
		tickUntil(b, 4000, 4004)
		require.Empty(t, b.Overview(at(4004)).Findings, "it is forgotten")
	}
}

func TestALostInstanceIsAFindingUntilItIsBack(t *testing.T) {
	t.Parallel()
	b := connected(t)
	list := several(good(), good())
	b.Instances(at(0), list)
	b.InstanceChanged(at(10), change(aegis.InstanceExpired, list[1]))
	tickUntil(b, 10, 14)
	require.Equal(t, []string{"order-2 is lost"}, findingWhats(b.Overview(at(14)).Findings))
	list[1].Process = "another"
	b.Instances(at(15), list)
	tickUntil(b, 15, 20)
	require.Empty(t, b.Overview(at(20)).Findings)
	b.InstanceChanged(at(30), change(aegis.InstanceExpired, list[1]))
	tickUntil(b, 30, 34)
	require.NotEmpty(t, b.Overview(at(34)).Findings)
	tickUntil(b, 634, 638)
	require.Empty(t, b.Overview(at(638)).Findings, "it does not come back")
}

func TestHiddenNoRespondersAreOneFinding(t *testing.T) {
	t.Parallel()
	list := several(good(), good())
	list[0].NoRespondersHidden, list[1].NoRespondersHidden = true, true
	require.Equal(t, []string{"NATS hides that nobody listens"}, findingWhats(lasting(t, list).Findings))
}

func TestFindingsDoNotFlap(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for s := range 60 {
		r := good()
		if s < 5 || s%2 == 0 {
			r = slow()
		}
		b.Instances(at(float64(s)), several(r, good()))
		b.Tick(at(float64(s)))
	}
	findings := 0
	for _, e := range b.Activity(at(60)).Events {
		if e.Kind == monitorapi.EventFinding || e.Kind == monitorapi.EventFindingOver {
			findings++
		}
	}
	require.Equal(t, 1, findings, "it has begun once")
	b = connected(t)
	for s := range 60 {
		r := good()
		if s%10 < 3 {
			r = slow()
		}
		b.Instances(at(float64(s)), several(r, good()))
		b.Tick(at(float64(s)))
		require.Empty(t, b.Overview(at(float64(s))).Findings, "it does not last")
	}
}

func TestAFindingKeepsItsIDAndBeginning(t *testing.T) {
	t.Parallel()
	b := connected(t)
	var id string
	for s := range 20 {
		b.Instances(at(float64(s)), several(slow(), good()))
		b.Tick(at(float64(s)))
		for _, f := range b.Overview(at(float64(s))).Findings {
			require.Equal(t, at(0), f.Since)
			if id != "" {
				require.Equal(t, id, f.ID)
			}
			id = f.ID
		}
	}
	require.NotEmpty(t, id)
	b.Instances(at(20), several(good(), good()))
	tickUntil(b, 20, 24)
	require.Equal(t, "Over after 22 s: order-1 is slow", b.Activity(at(24)).Events[0].Text)
}

func TestWithoutAConnectionFindingsStayAsTheyWere(t *testing.T) {
	t.Parallel()
	b := connected(t)
	list := several(slow(), good())
	for s := range 6 {
		b.Instances(at(float64(s)), list)
		b.Tick(at(float64(s)))
	}
	b.Disconnected(at(6))
	b.Instances(at(7), nil)
	tickUntil(b, 7, 60)
	o := b.Overview(at(60))
	require.Equal(t, []string{"order-1 is slow"}, findingWhats(o.Findings))
	require.Equal(t, monitorapi.Verdict{Level: monitorapi.LevelCritical, Text: "Not connected to NATS"}, o.Verdict)
	require.Equal(t, at(6), o.NATS.Since)
	require.False(t, o.NATS.Connected)
}

func TestTheWorstServicesComeFirst(t *testing.T) {
	t.Parallel()
	list := []aegis.Instance{running("a.A", "a", good()), running("z.Z", "z", slow()), running("m.M", "m", sick())}
	o := lasting(t, list)
	var names []string
	for _, s := range o.Services {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"m.M", "z.Z", "a.A"}, names)
	require.Equal(t, []string{"m is unhealthy", "z is slow"}, findingWhats(o.Findings))
}
