package board_test

import (
	"fmt"
	"runtime"
	"testing"

	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/board"
	"github.com/aegisrpc/aegis/runtime/aegismonitor/internal/figures"
	"github.com/aegisrpc/aegis/runtime/health"
)

// large is a system of 1,000 instances of 50 services with 10 methods each.
type large struct {
	board     *board.Board
	instances []aegis.Instance
	step      int
}

func newLarge(b *testing.B) *large {
	b.Helper()
	l := &large{board: connected(b)}
	for i := range 1000 {
		l.instances = append(l.instances, running(largeService(i%50), fmt.Sprint("instance-", i), good()))
	}
	l.board.Instances(start, l.instances)
	for s := range 50 {
		l.board.Led(start, largeService(s), "default", leader(fmt.Sprint("instance-", s), 1))
	}
	return l
}

func largeService(n int) string { return fmt.Sprintf("example.of.v1.Service%d", n) }

// stats returns what all instances have counted at a step.
func (l *large) stats() []*board.Stats {
	l.step++
	list := make([]*board.Stats, 0, len(l.instances))
	for i := range l.instances {
		s := &board.Stats{Service: l.instances[i].Service, Instance: l.instances[i].Name, Process: l.instances[i].Process}
		for m := range 10 {
			spread := make(health.Spread, 15)
			for step := range health.Step(15) {
				spread[30+step] = uint64(l.step * (int(step) + 1))
			}
			s.Methods = append(s.Methods, board.MethodStats{
				Method: fmt.Sprint("Method", m), Counts: figures.Counts{Requests: spread.Requests(), Spread: spread},
			})
		}
		list = append(list, s)
	}
	return list
}

// round is a round of reading.
func (l *large) round(seconds float64) {
	for _, s := range l.stats() {
		l.board.Stats(at(seconds), s)
	}
	l.board.Tick(at(seconds))
}

func BenchmarkOverview(b *testing.B) {
	l := newLarge(b)
	for s := range 20 {
		l.round(float64(s))
	}
	for b.Loop() {
		l.board.Overview(at(20))
	}
}

func BenchmarkServiceDetailsOf50(b *testing.B) {
	l := newLarge(b)
	for s := range 20 {
		l.round(float64(s))
	}
	for b.Loop() {
		for s := range 50 {
			l.board.Service(at(20), largeService(s))
		}
	}
}

func BenchmarkStatsOf1000Instances(b *testing.B) {
	l := newLarge(b)
	for b.Loop() {
		b.StopTimer()
		list := l.stats()
		b.StartTimer()
		for _, s := range list {
			l.board.Stats(at(float64(l.step)), s)
		}
	}
}

func BenchmarkInstances(b *testing.B) {
	l := newLarge(b)
	for b.Loop() {
		l.board.Instances(at(1), l.instances)
	}
}

func BenchmarkTick(b *testing.B) {
	l := newLarge(b)
	for b.Loop() {
		b.StopTimer()
		for _, s := range l.stats() {
			l.board.Stats(at(float64(l.step)), s)
		}
		b.StartTimer()
		l.board.Tick(at(float64(l.step)))
	}
}

// BenchmarkMemory reports how much memory an hour of history takes.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		l := newLarge(b)
		for s := range 365 {
			l.round(float64(10 * s))
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB")
		runtime.KeepAlive(l)
	}
}

func BenchmarkHistory(b *testing.B) {
	l := newLarge(b)
	for s := range 365 {
		l.round(float64(10 * s))
	}
	for b.Loop() {
		l.board.History(at(3640), start, largeService(0), "Method1", "")
	}
}
