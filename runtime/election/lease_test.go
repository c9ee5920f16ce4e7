package election

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(mono time.Duration) Instant { return Instant{Mono: mono, Wall: mono + time.Hour} }

func TestLeaseVerdicts(t *testing.T) {
	t.Parallel()
	id := ConnID{ServerID: "S"}
	for _, test := range []struct {
		name          string
		until, sent   time.Duration
		serving       bool
		now           Instant
		mayAct        bool
		reply         Verdict
		contactClosed bool
	}{
		{"inside both", 2000 * ms, 1000 * ms, true, at(1050 * ms), true, ReplySend, false},
		{"last moment of contact", 2000 * ms, 1000 * ms, true, at(1100*ms - 1), true, ReplySend, false},
		{"contact over", 2000 * ms, 1000 * ms, true, at(1100 * ms), false, ReplyHold, false},
		{"last moment of the lease", 2000 * ms, 1950 * ms, true, at(2000*ms - 1), true, ReplySend, false},
		{"lease over", 2000 * ms, 1950 * ms, true, at(2000 * ms), false, ReplyLost, false},
		{"not serving", 2000 * ms, 1000 * ms, false, at(1050 * ms), false, ReplySend, false},
		{"wall clock ahead", 2000 * ms, 1000 * ms, true, Instant{Mono: 1050 * ms, Wall: 1050*ms + time.Hour + 51*ms}, false, ReplyHold, false},
		{"wall clock a little ahead", 2000 * ms, 1000 * ms, true, Instant{Mono: 1050 * ms, Wall: 1050*ms + time.Hour + 50*ms}, true, ReplySend, false},
		{"wall clock set back", 2000 * ms, 1000 * ms, true, Instant{Mono: 1050 * ms, Wall: 0}, true, ReplySend, false},
		{"contact taken back", 2000 * ms, 1000 * ms, true, at(1001 * ms), false, ReplyHold, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEpoch(id, at(0))
			e.sent.Store(int64(test.sent))
			l := newLease(7, 100*ms, 50*ms)
			l.serving.Store(test.serving)
			l.bind(e, test.until)
			if test.contactClosed {
				e.close()
			}
			require.Equal(t, test.mayAct, l.MayAct(test.now))
			require.Equal(t, test.reply, l.Reply(test.now))
			require.Equal(t, Term(7), l.Term())
		})
	}
}

func TestLeaseStartsAndEndsPowerless(t *testing.T) {
	t.Parallel()
	l := newLease(1, time.Second, time.Second)
	l.serving.Store(true)
	require.False(t, l.MayAct(at(-time.Hour)))
	l.bind(newEpoch(ConnID{ServerID: "S"}, at(0)), forever)
	require.False(t, l.MayAct(at(0)), "no contact yet")
	require.Equal(t, ReplyHold, l.Reply(at(0)))
	l.lose()
	require.Equal(t, ReplyLost, l.Reply(at(0)))
}

func TestLeaseIsCheapAndConcurrent(t *testing.T) {
	f := newFixture(t, Config{})
	f.lead()
	lease := f.candidate.Lease()
	now := f.now
	require.Zero(t, testing.AllocsPerRun(100, func() { lease.MayAct(now) }))
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if l := f.candidate.Lease(); l != nil {
						l.MayAct(now)
						l.Reply(now)
					}
				}
			}
		})
	}
	for range 200 {
		f.run(10 * time.Millisecond)
	}
	f.link.id = ConnID{}
	f.run(5 * time.Second)
	close(done)
	readers.Wait()
	require.Nil(t, f.candidate.Lease())
}

func BenchmarkMayAct(b *testing.B) {
	l := newLease(1, 100*time.Millisecond, 50*time.Millisecond)
	l.serving.Store(true)
	e := newEpoch(ConnID{ServerID: "S"}, at(0))
	e.sent.Store(0)
	l.bind(e, time.Second)
	now := at(time.Millisecond)
	for b.Loop() {
		if !l.MayAct(now) {
			b.Fatal("may not act")
		}
	}
}
