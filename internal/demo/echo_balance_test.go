package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	aegis "github.com/aegisrpc/aegis/runtime"
)

func TestEchoBalanceFindsWhatMustNotBe(t *testing.T) {
	gone := time.Now()
	inside := failedCall{Began: gone.Add(-time.Millisecond), Took: echoDeadline, Code: aegis.CodeDeadlineExceeded, Text: "DEADLINE_EXCEEDED: late"}
	for name, c := range map[string]struct {
		change func(*echoBalance)
		want   string
	}{
		"Good":     {func(*echoBalance) {}, ""},
		"NoneDied": {func(b *echoBalance) { b.report.Failed, b.report.Answered["echo-1"] = nil, 5 }, ""},
		"Lost":     {func(b *echoBalance) { b.report.Failed = nil }, "- 10 calls were to be made, and 9 have ended"},
		"RanTwice": {func(b *echoBalance) { b.handled["echo-2"]++ }, "- echo-2 handled 4 calls, and the client has 3 answers of it"},
		"Idle": {
			func(b *echoBalance) {
				b.report.Answered["echo-1"] = 6
				b.report.Answered["echo-3"] = 0
				b.handled["echo-3"] = 0
			},
			"- echo-3 answered no call",
		},
		"Stranger": {
			func(b *echoBalance) { b.report.Answered["echo-1"]--; b.report.Answered["echo-9"] = 1 },
			"- echo-9 answered 1 calls, and did not say how many it handled",
		},
		"TooMany": {func(b *echoBalance) { b.load.inFlight = 0 }, "- 1 calls failed, and only 0 were in flight when echo-1 was killed"},
		"Late": {
			func(b *echoBalance) { b.report.Failed[0].Began = gone.Add(time.Millisecond) },
			"- 1 failed that were not inside echo-1: began after echo-1 was gone, DEADLINE_EXCEEDED: late",
		},
		"ServerSaidSo": {
			func(b *echoBalance) { b.report.Failed[0].FromServer = true },
			"- 1 failed that were not inside echo-1: DEADLINE_EXCEEDED: late",
		},
		"OtherCode": {
			func(b *echoBalance) {
				b.report.Failed[0] = failedCall{Code: aegis.CodeUnavailable, Text: "UNAVAILABLE: nobody"}
			},
			"- 1 failed that were not inside echo-1: UNAVAILABLE: nobody",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &echoBalance{
				load:   echoLoad{load: load{count: 10, inFlight: 2}},
				report: &echoReport{Answered: map[string]int{"echo-1": 4, "echo-2": 3, "echo-3": 2}, Failed: []failedCall{inside}},
				killed: "echo-1", gone: gone,
				handled: map[string]int{"echo-2": 3, "echo-3": 2},
			}
			c.change(b)
			if c.want == "" {
				require.NoError(t, b.check())
				return
			}
			require.EqualError(t, b.check(), c.want)
		})
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567"} {
		require.Equal(t, want, thousands(n))
	}
}
