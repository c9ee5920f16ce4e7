package selection

import (
	"strconv"
	"testing"
	"time"
)

func benchSet(n int) *Set {
	set := NewSet(Config{})
	infos := make([]Info, n)
	for i := range infos {
		infos[i] = running(i)
	}
	set.Replace(infos)
	for i := range n {
		set.Beat(name(i), Beat{Load: Load{InFlight: i % 10, Latency: time.Millisecond}})
	}
	return set
}

// BenchmarkPick is a pick and its finish.
func BenchmarkPick(b *testing.B) {
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = "customer-" + strconv.Itoa(i)
	}
	for _, s := range []struct {
		title    string
		strategy Strategy
	}{
		{"RoundRobin", RoundRobin()}, {"Random", Random()}, {"LeastLoaded", LeastLoaded()}, {"Sticky", Sticky()}, {"PreferZone", PreferZone("a")},
	} {
		for _, n := range []int{4, 10_000} {
			b.Run(s.title+"/"+strconv.Itoa(n), func(b *testing.B) {
				p := benchSet(n).Picker(s.strategy)
				p.current()
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for k := 0; pb.Next(); k++ {
						i, err := p.Pick(Call{Key: keys[k%len(keys)]})
						if err != nil {
							b.Error(err)
							return
						}
						p.Finish(i, Outcome{Latency: time.Millisecond})
					}
				})
			})
		}
	}
}

// BenchmarkChange is one instance that leaves or comes, and the pick after it.
func BenchmarkChange(b *testing.B) {
	for _, s := range []struct {
		title    string
		strategy Strategy
	}{{"RoundRobin", RoundRobin()}, {"Sticky", Sticky()}} {
		b.Run(s.title+"/10000", func(b *testing.B) {
			set := benchSet(10_000)
			p := set.Picker(s.strategy)
			b.ReportAllocs()
			for k := 0; b.Loop(); k++ {
				set.Beat(name(5000), Beat{Unhealthy: k%2 == 0})
				i, err := p.Pick(Call{Key: "key"})
				if err != nil {
					b.Fatal(err)
				}
				p.Finish(i, Outcome{})
			}
		})
	}
}

func BenchmarkBeat(b *testing.B) {
	set := benchSet(10_000)
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = name(i)
	}
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		set.Beat(ids[k*7919%len(ids)], Beat{Load: Load{InFlight: k % 10}})
	}
}

// BenchmarkFill is how 10,000 instances become known, in one go or one by one.
func BenchmarkFill(b *testing.B) {
	infos := make([]Info, 10_000)
	for i := range infos {
		infos[i] = running(i * 7919 % len(infos))
	}
	b.Run("Replace/10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NewSet(Config{}).Replace(infos)
		}
	})
	b.Run("Put/10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			set := NewSet(Config{})
			for _, info := range infos {
				set.Put(info)
			}
		}
	})
}
