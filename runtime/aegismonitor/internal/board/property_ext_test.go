package board_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/internal/monitorapi"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegisadmin"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/reigns"
	"github.com/aegisrpc/aegis/runtime/health"
)

// chaos tells a board anything.
type chaos struct {
	*rand.Rand

	now time.Time
}

func (c *chaos) pick(names ...string) string { return names[c.IntN(len(names))] }

func (c *chaos) service() string {
	return c.pick(orders, "a.A", "\u202e<b>", "", "order.v1.OrderService-events")
}
func (c *chaos) name() string { return c.pick("order-1", "order-2", "order-3", "", "\xff", "x") }

func (c *chaos) number() uint64 {
	switch c.IntN(4) {
	case 0:
		return 0
	case 1:
		return c.Uint64()
	default:
		return uint64(c.IntN(1000))
	}
}

func (c *chaos) small() int { return c.IntN(2000) - 100 }

func (c *chaos) time() time.Time {
	switch c.IntN(5) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(c.Int64()-c.Int64(), 0)
	default:
		return c.now.Add(time.Duration(c.IntN(10_000)-9000) * time.Second)
	}
}

func (c *chaos) report() *health.Report {
	if c.IntN(4) == 0 {
		return nil
	}
	cpu := []float64{0, 50, -1, 1e308}[c.IntN(4)]
	l := time.Duration(c.number() >> 2)
	return &health.Report{
		Snapshot: health.Snapshot{Stats: health.Stats{
			Requests: c.number(), PerMinute: []float64{0, 60, 1e308, 0.1}[c.IntN(4)], InFlight: int64(c.number() >> 1),
			Errors: map[health.Code]uint64{health.Code(c.IntN(30)): c.number()}, Latency: &health.Latency{Min: l, P50: l, P90: l, P99: l, Max: l, Mean: l},
		}},
		Assessment: health.Assessment{
			Score: float64(c.IntN(101)), Grade: health.Grade(c.pick("A+", "D", "C", "Z", "")), Unhealthy: c.IntN(5) == 0,
			Usage:    health.Usage{CPUPercent: &cpu, MemoryBytes: c.number()},
			Findings: []health.Finding{{Check: c.name(), Penalty: []float64{-1, 5, 1e308}[c.IntN(3)], Reason: c.name()}},
		},
	}
}

func (c *chaos) instance() aegis.Instance {
	i := aegis.Instance{
		Service: c.service(), Name: c.name(), Process: c.name(), State: aegis.State(c.IntN(7)), Started: c.time(),
		Unhealthy: c.IntN(5) == 0, NoRespondersHidden: c.IntN(5) == 0, Subscriber: c.IntN(4) == 0,
		Leading: []aegis.Term{{Group: c.name(), Token: uint64(c.IntN(9)), Since: c.time()}},
	}
	heard(&i, c.report())
	return i
}

func (c *chaos) stats() *board.Stats {
	s := &board.Stats{Service: c.service(), Instance: c.name(), Process: c.pick("p", "q")}
	for range c.IntN(4) {
		s.Methods = append(s.Methods, board.MethodStats{Method: c.pick("Place", "Watch", ""), Codes: map[health.Code]uint64{health.Code(c.IntN(20)): c.number()}, Counts: figures.Counts{
			Requests: c.number(), Errors: c.number(), InFlight: int64(c.number()), Spread: health.Spread{health.Step(c.IntN(70_000)): c.number(), 9: c.number()},
		}})
	}
	return s
}

func (c *chaos) consumer() aegisadmin.Consumer {
	return aegisadmin.Consumer{
		Pending: c.number(), UnderWay: c.small(), Redelivered: c.small(), Deliveries: c.number(), Requests: c.small(), LastAck: c.time(), LastDelivery: c.time(),
	}
}

func (c *chaos) work() *board.ServiceWork {
	w := &board.ServiceWork{}
	for range c.IntN(3) {
		w.Commands = append(w.Commands, aegisadmin.CommandMethod{
			Method: c.name(), Scheduled: c.small(), Waiting: c.small(), UnderWay: c.small(), Redelivered: c.small(),
			Levels: []aegisadmin.CommandLevel{{Priority: c.name(), Waiting: c.small()}}, Oldest: c.time(), Workers: c.IntN(2) == 0, PausedUntil: c.time(),
		})
		w.Work = append(w.Work, aegisadmin.Work{
			Method: c.name(), Group: c.name(), Instance: c.name(), Consumers: []aegisadmin.Consumer{c.consumer()}, PausedUntil: c.time(),
		})
		w.Streams = append(w.Streams, aegisadmin.Stream{
			Kind: c.pick("commands", "events"), Name: c.name(), Messages: c.number(), Bytes: c.number(), MaxBytes: int64(c.number()),
			MaxMessages: int64(c.number()), Refuses: c.IntN(2) == 0, LastSequence: c.number(), First: c.time(), Last: c.time(), Behind: []string{c.name()}[:c.IntN(2)],
		})
	}
	return w
}

// tell tells the board one thing.
func (c *chaos) tell(b *board.Board) {
	now := c.now
	switch c.IntN(18) {
	case 0:
		b.Connected(now, board.Server{Name: c.name()})
	case 1:
		if c.IntN(4) == 0 {
			b.Disconnected(now)
		}
	case 2:
		b.Source(now, sources[c.IntN(len(sources))], monitorapi.SourceState(c.pick("loading", "ready", "denied", "absent", "failed")), c.name())
	case 3:
		b.InstanceChanged(now, aegis.InstanceChange{
			Kind: aegis.InstanceChangeKind(c.IntN(9)), Instance: c.instance(), Term: aegis.Term{Group: c.name(), Token: uint64(c.IntN(9)), Since: c.time()},
		})
	case 4, 5:
		var list []aegis.Instance
		for range c.IntN(8) {
			list = append(list, c.instance())
		}
		b.Instances(now, list)
	case 6, 7, 8:
		b.Stats(now, c.stats())
	case 9:
		b.Led(now, c.service(), c.name(), reigns.Leader{Instance: c.name(), Process: c.name(), Term: uint64(c.IntN(9))})
	case 10:
		b.Released(now, c.service(), c.name(), uint64(c.IntN(9)))
	case 11:
		b.Gone(now, c.name())
	case 12:
		b.Answered(now, c.name())
	case 13:
		b.Missed(now, c.time(), c.name())
	case 14:
		b.LeaderRecords(now, []aegisadmin.Leadership{{
			Service: c.service(), Group: c.name(), Instance: c.name(), Process: c.name(), Term: uint64(c.IntN(9)), Since: c.time(),
			Lease: time.Duration(c.Int64() - c.Int64()), Answers: c.IntN(2) == 0, Candidates: []aegisadmin.Candidate{{Instance: c.name()}},
		}})
	case 15:
		b.ServiceWork(now, c.service(), c.work())
	case 16:
		b.DeadLetters(now, c.service(), []aegisadmin.LetterGroup{{Method: c.name(), Count: c.small(), First: c.time(), Last: c.time(), Example: c.name()}})
	default:
		b.Described(c.service(), &board.Description{Methods: []board.MethodDescription{{Name: c.name()}}})
	}
}

// Whatever is told, in whatever order, each document can be encoded, has no list that is null,
// no figure below 0, and gaps within its strip that add up.
func TestNothingThatIsToldSpoilsADocument(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		c := &chaos{Rand: rand.New(rand.NewPCG(seed, 3)), now: start}
		b := board.New(board.Config{}, start)
		b.Connected(start, board.Server{})
		for step := range 150 {
			c.now = c.now.Add(time.Duration(c.IntN(3000)) * time.Millisecond)
			if c.IntN(100) == 0 {
				c.now = c.now.Add(time.Duration(c.IntN(4000)) * time.Second)
			}
			c.tell(b)
			if step%3 == 0 {
				b.Tick(c.now)
			}
			if step%25 == 24 {
				where := fmt.Sprintf("seed %d, step %d", seed, step)
				encoded(t, b, c.now)
				checkLeaders(t, b, c.now, where)
				checkFigures(t, b, c.now, where)
			}
		}
	}
}

func checkLeaders(t *testing.T, b *board.Board, now time.Time, where string) {
	t.Helper()
	for _, l := range b.Leaders(now).Leaders {
		sum, end := 0.0, l.From
		for i, gap := range l.Gaps {
			require.False(t, gap.From.Before(end), where)
			end = now
			if gap.To != nil {
				end = *gap.To
			} else {
				require.Equal(t, len(l.Gaps)-1, i, where)
			}
			require.InDelta(t, end.Sub(gap.From).Seconds(), gap.Seconds, 1e-6, where)
			sum += gap.Seconds
		}
		require.InDelta(t, sum, l.LeaderlessSeconds, 1e-6, where)
		require.LessOrEqual(t, sum, l.To.Sub(l.From).Seconds()+1e-6, where)
		leads := l.State == monitorapi.LeaderLeads || l.State == monitorapi.LeaderSilent
		require.Equal(t, leads, l.Since != nil, where)
	}
}

func checkFigures(t *testing.T, b *board.Board, now time.Time, where string) {
	t.Helper()
	fine := func(list ...*float64) {
		t.Helper()
		for _, x := range list {
			if x != nil {
				require.False(t, math.IsNaN(*x) || math.IsInf(*x, 0) || *x < 0, where)
			}
		}
	}
	check := func(f monitorapi.Figures) {
		t.Helper()
		fine(f.PerSecond, f.ErrorPercent, f.P50Ms, f.P90Ms, f.P99Ms)
		if f.ErrorPercent != nil {
			require.LessOrEqual(t, *f.ErrorPercent, 100.0, where)
		}
		if f.InFlight != nil {
			require.GreaterOrEqual(t, *f.InFlight, int64(0), where)
		}
	}
	o := b.Overview(now)
	check(o.Totals.Figures)
	for _, s := range o.Services {
		check(s.Figures)
		fine(s.Hour...)
		d := b.Service(now, s.Name)
		for _, i := range d.Instances {
			check(i.Figures)
			fine(i.Score, i.CPUPercent)
		}
		for _, m := range d.Methods {
			check(m.Figures)
			if h, ok := b.History(now, start, s.Name, m.Name, ""); ok {
				fine(h.PerSecond...)
				fine(h.P99Ms...)
			}
		}
	}
	for _, q := range b.Work(now).Queues {
		fine(q.AddedPerSecond, q.DonePerSecond)
		fine(q.Hour...)
		require.GreaterOrEqual(t, min(q.Waiting, q.Running, q.Retrying, q.Scheduled), 0, where)
	}
}
