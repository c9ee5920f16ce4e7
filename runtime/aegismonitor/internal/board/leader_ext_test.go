package board_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
)

// led returns a board with two instances, of which order-1 leads.
func led(t testing.TB) *board.Board {
	t.Helper()
	b := connected(t)
	b.Instances(at(0), []aegis.Instance{running(orders, "order-1", good()), running(orders, "order-2", good())})
	b.Led(at(0), orders, "default", leader("order-1", 1))
	b.Tick(at(0))
	return b
}

func only(t testing.TB, b *board.Board, now time.Time) monitorapi.Leadership {
	t.Helper()
	list := b.Leaders(now).Leaders
	require.Len(t, list, 1)
	return list[0]
}

func TestAKilledLeaderIsShownAtOnceWithItsGap(t *testing.T) {
	t.Parallel()
	urgent := 0
	b := board.New(board.Config{Urgent: func() { urgent++ }}, start)
	b.Connected(at(0), board.Server{JetStream: true})
	b.Instances(at(0), []aegis.Instance{running(orders, "order-1", good()), running(orders, "order-2", good())})
	b.Led(at(0), orders, "default", leader("order-1", 1))
	urgent = 0
	b.Gone(at(10), "process of order-1")
	require.Equal(t, 1, urgent)
	l := only(t, b, at(10.1))
	require.Equal(t, monitorapi.LeaderGone, l.State)
	require.Empty(t, l.Instance)
	require.Nil(t, l.Since)
	require.Equal(t, at(10), l.StateSince)
	require.InDelta(t, 0.1, l.LeaderlessSeconds, 1e-9)
	b.Source(at(10), monitorapi.SourceInstances, monitorapi.SourceReady, "")
	require.Equal(t, "One thing needs attention", b.Header(at(10.1)).Verdict.Text, "without a Tick")
	b.Led(at(10.25), orders, "default", reigns.Leader{Instance: "order-2", Term: 2})
	require.Equal(t, 2, urgent)
	l = only(t, b, at(20))
	require.Equal(t, "order-2", l.Instance)
	require.Equal(t, "process of order-2", l.Process, "that of the instance of this name")
	require.Equal(t, at(10.25), *l.Since)
	require.Len(t, l.Gaps, 1)
	require.Equal(t, "lost", l.Gaps[0].Cause)
	require.InDelta(t, 0.25, l.Gaps[0].Seconds, 1e-9)
	require.True(t, l.Gaps[0].Exact)
	require.Len(t, l.Reigns, 2)
	b.Tick(at(21))
	require.Equal(t, []monitorapi.EventKind{
		monitorapi.EventFindingOver, monitorapi.EventLeader, monitorapi.EventFinding, monitorapi.EventLeaderless, monitorapi.EventConnection,
	}, kindsOf(b.Activity(at(21)).Events))
	require.Equal(t, "order-2 leads OrderService/default, after 250 ms without a leader", b.Activity(at(21)).Events[1].Text)
	totals := b.Overview(at(21)).Totals
	require.InDelta(t, 0.25, totals.LeaderlessSeconds, 1e-9)
	require.Equal(t, 1, totals.Gaps)
	require.Equal(t, 1, totals.Leaders)
}

func TestTheRegistryDoesNotBringAKilledLeaderBack(t *testing.T) {
	t.Parallel()
	b := connected(t)
	one, two := running(orders, "order-1", good()), running(orders, "order-2", good())
	one.Leading = []aegis.Term{{Group: "default", Token: 5, Since: start.Add(-time.Minute)}}
	b.Instances(at(0), []aegis.Instance{one, two})
	l := only(t, b, at(0))
	require.Equal(t, "order-1", l.Instance)
	require.Equal(t, start.Add(-time.Minute), *l.Since, "the term began before the monitor")
	record := aegisadmin.Leadership{Service: orders, Group: "default", Instance: "order-1", Process: one.Process, Term: 5, Lease: 3 * time.Second}
	b.LeaderRecords(at(1), []aegisadmin.Leadership{record})
	b.Gone(at(10), one.Process)
	b.Instances(at(10.5), []aegis.Instance{one, two})
	b.LeaderRecords(at(10.5), []aegisadmin.Leadership{record})
	b.Tick(at(11))
	require.Equal(t, monitorapi.LeaderGone, only(t, b, at(11)).State)
	two.Leading = []aegis.Term{{Group: "default", Token: 6, Since: at(11).Add(-time.Hour)}}
	b.Instances(at(12), []aegis.Instance{one, two})
	l = only(t, b, at(12))
	require.Equal(t, "order-2", l.Instance)
	require.Equal(t, at(12), *l.Since, "the board has seen it begin")
	b.Led(at(13), orders, "default", leader("order-1", 5))
	require.Equal(t, "order-2", only(t, b, at(13)).Instance, "a heartbeat of an old term")
}

func TestAReleasedGroupIsWithoutALeader(t *testing.T) {
	t.Parallel()
	b := led(t)
	b.Released(at(5), orders, "default", 1)
	b.Released(at(5), orders, "none", 1)
	b.Released(at(5), "none", "default", 1)
	require.Equal(t, monitorapi.LeaderNone, only(t, b, at(5)).State)
	b.Led(at(5.03), orders, "default", leader("order-2", 2))
	gap := only(t, b, at(6)).Gaps[0]
	require.Equal(t, "stopped", gap.Cause)
	require.Equal(t, "order-1", gap.Before)
	require.Equal(t, "order-2", gap.After)
}

func TestALeaderThatDoesNotAnswerIsSilent(t *testing.T) {
	t.Parallel()
	b := led(t)
	b.Answered(at(4), "process of order-1")
	b.Missed(at(6), at(4.5), "process of order-1")
	b.Missed(at(6), at(4.5), "process of order-2")
	b.Tick(at(6))
	l := only(t, b, at(6))
	require.Equal(t, monitorapi.LeaderSilent, l.State)
	require.Equal(t, "order-1", l.Instance, "it holds the lease")
	require.Equal(t, at(4.5), l.StateSince)
	require.Equal(t, []string{"order-1, the leader of OrderService/default, does not answer"}, findingWhats(b.Overview(at(6)).Findings))
	require.Equal(t, monitorapi.LevelAttention, b.Overview(at(6)).Services[0].Level)
	b.Tick(at(15))
	require.Equal(t, monitorapi.LevelCritical, b.Overview(at(15)).Findings[0].Level, "the longer the worse")
	b.Answered(at(16), "process of order-1")
	b.Tick(at(16))
	require.Equal(t, monitorapi.LeaderLeads, only(t, b, at(16)).State)
	require.Empty(t, b.Overview(at(16)).Findings)
}

func TestALeaderWhoseHeartbeatsEndIsSilentAndHasNotStopped(t *testing.T) {
	t.Parallel()
	b := led(t)
	one := running(orders, "order-1", nil)
	b.InstanceChanged(at(6), aegis.InstanceChange{Kind: aegis.InstanceStoppedLeading, Instance: one, Term: aegis.Term{Group: "default", Token: 1}})
	b.InstanceChanged(at(6), change(aegis.InstanceExpired, one))
	b.Tick(at(7))
	require.Equal(t, monitorapi.LeaderSilent, only(t, b, at(7)).State)
	b.Led(at(8), orders, "default", leader("order-2", 2))
	require.Equal(t, "silent", only(t, b, at(8)).Gaps[0].Cause)
	two := running(orders, "order-2", nil)
	b.InstanceChanged(at(9), aegis.InstanceChange{Kind: aegis.InstanceStoppedLeading, Instance: two, Term: aegis.Term{Group: "default", Token: 2}})
	b.Tick(at(10))
	require.Equal(t, monitorapi.LeaderNone, only(t, b, at(10)).State, "it is there, and leads no more")
}

func TestWhatWasMissedWithoutAConnectionIsNotExact(t *testing.T) {
	t.Parallel()
	b := led(t)
	b.Answered(at(5), "process of order-1")
	b.Disconnected(at(10))
	b.Connected(at(60), board.Server{})
	b.Led(at(61), orders, "default", leader("order-2", 9))
	gap := only(t, b, at(62)).Gaps[0]
	require.False(t, gap.Exact)
	require.Equal(t, at(5), gap.From)
	require.Equal(t, "unknown", gap.Cause)
}

func TestRecordsHaveLeaseAndCandidates(t *testing.T) {
	t.Parallel()
	b := led(t)
	b.LeaderRecords(at(1), []aegisadmin.Leadership{
		{
			Service: orders, Group: "default", Instance: "order-1", Process: "process of order-1", Term: 1, Lease: 3 * time.Second,
			Candidates: []aegisadmin.Candidate{{Instance: "order-2", Stands: true}, {Instance: "order-1", Leads: true}},
		},
		{Service: orders, Group: "new", Instance: "order-2", Process: "process of order-2", Term: 4, Since: at(-100)},
		{Service: orders, Group: "of another clock", Instance: "order-2", Process: "process of order-2", Term: 4, Since: at(100)},
		{Service: orders, Group: "void"},
	})
	list := b.Leaders(at(2)).Leaders
	require.Len(t, list, 4)
	require.EqualValues(t, 3000, *list[0].LeaseMs)
	require.Equal(t, []monitorapi.Candidate{{Instance: "order-1", Leads: true}, {Instance: "order-2", Stands: true}}, list[0].Candidates)
	require.Equal(t, at(-100), *list[1].Since)
	require.Equal(t, at(-100), list[1].Reigns[0].From)
	require.Equal(t, at(1), *list[2].Since, "a time to come cannot be")
	require.Nil(t, list[1].LeaseMs)
	require.Equal(t, monitorapi.LeaderNone, list[3].State)
	require.Equal(t, at(1), list[3].StateSince)
	require.Equal(t, start, list[0].From)
	require.Equal(t, at(2), list[0].To)
	require.Equal(t, []board.ToProbe{
		{Service: orders, Instance: "order-1", Process: "process of order-1"},
		{Service: orders, Instance: "order-2", Process: "process of order-2"},
	}, b.ToProbe())
}

func TestThatNobodyLeadsTwoRecordsHaveToSay(t *testing.T) {
	t.Parallel()
	b := led(t)
	void := []aegisadmin.Leadership{{Service: orders, Group: "default"}}
	b.LeaderRecords(at(1), void)
	require.Equal(t, monitorapi.LeaderLeads, only(t, b, at(1)).State)
	b.LeaderRecords(at(2), void)
	require.Equal(t, monitorapi.LeaderNone, only(t, b, at(2)).State)
	require.Empty(t, b.ToProbe())
}

func TestAGroupOfAServiceThatNobodyRunsIsNoFinding(t *testing.T) {
	t.Parallel()
	b := connected(t)
	for s := range 20 {
		b.LeaderRecords(at(float64(s)), []aegisadmin.Leadership{{Service: "old.v1.Gone", Group: "default"}})
		b.Tick(at(float64(s)))
	}
	require.Empty(t, b.Overview(at(20)).Findings)
	require.Len(t, b.Leaders(at(20)).Leaders, 1)
}

func TestTheStripIsTheLastHour(t *testing.T) {
	t.Parallel()
	b := led(t)
	b.Gone(at(100), "process of order-1")
	b.Led(at(200), orders, "default", leader("order-2", 2))
	now := at(150).Add(time.Hour)
	l := only(t, b, now)
	require.Equal(t, now.Add(-time.Hour), l.From)
	require.Equal(t, at(150), l.Gaps[0].From, "clipped to the strip")
	require.InDelta(t, 50, l.LeaderlessSeconds, 1e-9)
	require.Len(t, l.Reigns, 1, "the other one was over before")
	b.Tick(now.Add(time.Hour))
	l = only(t, b, now.Add(time.Hour))
	require.Empty(t, l.Gaps)
	require.Zero(t, l.LeaderlessSeconds)
	require.Len(t, l.Reigns, 1)
}

func TestALeaderOfAnUnknownProcessIsKnownLater(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.Led(at(0), orders, "default", reigns.Leader{Instance: "order-1", Term: 3})
	one := running(orders, "order-1", good())
	one.Leading = []aegis.Term{{Group: "default", Token: 3}}
	b.Instances(at(1), []aegis.Instance{one})
	require.Equal(t, one.Process, only(t, b, at(1)).Process)
	b.Gone(at(2), one.Process)
	require.Equal(t, monitorapi.LeaderGone, only(t, b, at(2)).State)
}
