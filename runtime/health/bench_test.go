package health

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// BenchmarkRequest is what one request costs, with the window moving on.
func BenchmarkRequest(b *testing.B) {
	m := newRecorder(b, Config{}).Method("Get")
	b.ReportAllocs()
	now := start
	for b.Loop() {
		now = now.Add(time.Microsecond)
		m.Begin()
		m.End(now, 123*time.Microsecond, 0)
	}
}

// BenchmarkRequestParallel has all CPUs record into one method.
func BenchmarkRequestParallel(b *testing.B) {
	m := newRecorder(b, Config{}).Method("Get")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := start
		for pb.Next() {
			now = now.Add(time.Microsecond)
			m.Begin()
			m.End(now, 123*time.Microsecond, 0)
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	r := newRecorder(b, Config{})
	for n := range 10 {
		m := r.Method(fmt.Sprint("Method", n))
		for i := range 60_000 {
			m.Begin()
			m.End(start.Add(time.Duration(i)*time.Millisecond), time.Duration(i)*time.Microsecond, 0)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Snapshot(start.Add(time.Minute))
	}
}

func BenchmarkReportJSON(b *testing.B) {
	r := newRecorder(b, Config{})
	m := r.Method("Get")
	m.Begin()
	m.End(start, time.Millisecond, 0)
	s := r.Snapshot(start)
	data, err := json.Marshal(Report{Snapshot: Snapshot{Stats: s.Stats}, Assessment: Assess(s.Stats, Usage{}, nil, Limits{})})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeReport(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
