package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aegisrpc/aegis/cmd/aegis/internal/clitest"
	echov1 "github.com/aegisrpc/aegis/examples/echo/gen/echo/v1"
	"github.com/aegisrpc/aegis/examples/echo/gen/echo/v1/echov1aegis"
	aegis "github.com/aegisrpc/aegis/runtime"
	"github.com/aegisrpc/aegis/runtime/aegistest"
)

// handWritten calls as a program would that somebody writes for this one method: the
// generated client, and callers that count. It returns calls a second.
func handWritten(tb testing.TB, url, text string, callers int, length time.Duration) float64 {
	tb.Helper()
	conn, err := aegis.Connect(tb.Context(), url)
	require.NoError(tb, err)
	defer conn.Close(context.WithoutCancel(tb.Context()))
	client, err := echov1aegis.NewEchoServiceClient(conn)
	require.NoError(tb, err)
	run := func(length time.Duration) float64 {
		var over atomic.Bool
		var calls atomic.Int64
		var running sync.WaitGroup
		begun := time.Now()
		for range callers {
			running.Go(func() {
				req := &echov1.EchoRequest{Text: text}
				n := int64(0)
				for !over.Load() {
					if _, err := client.Echo(context.Background(), req); err != nil {
						tb.Error(err)
						return
					}
					n++
				}
				calls.Add(n)
			})
		}
		time.Sleep(length)
		over.Store(true)
		running.Wait()
		return float64(calls.Load()) / time.Since(begun).Seconds()
	}
	run(length / 5) // warm-up, as the command has it
	return run(length)
}

// asProgram is handWritten in a process of its own, which a run of the command is too.
const asProgram = "AEGIS_BENCH_HAND_WRITTEN"

// TestHandWritten is the program that BenchmarkGenerator starts.
func TestHandWritten(t *testing.T) {
	order := strings.Fields(os.Getenv(asProgram))
	if len(order) == 0 {
		t.Skip("started by BenchmarkGenerator")
	}
	var callers int
	_, err := fmt.Sscan(order[1], &callers)
	require.NoError(t, err)
	length, err := time.ParseDuration(order[2])
	require.NoError(t, err)
	rate := handWritten(t, order[0], strings.Repeat("x", 128), callers, length)
	require.NoError(t, os.WriteFile(order[3], fmt.Append(nil, rate), 0o600))
}

// BenchmarkGenerator compares the rates that aegis bench and a hand-written loop reach at the
// same service: each in a process of its own, in turns, two seconds each, 15 rounds. The ratio
// is the median of the ratios of the rounds, beside the lowest and the highest. The processor
// time of a call tells the same where others use the machine too.
//
//	go test -run NONE -bench Generator -benchtime 15x ./cmd/aegis/internal/bench
func BenchmarkGenerator(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) { compareGenerators(b, callers) })
	}
}

func compareGenerators(b *testing.B, callers int) {
	b.Helper()
	const length = "2s"
	nats := aegistest.StartNATS(b)
	aegistest.Serve(b, nats.Connect(b), func(srv *aegis.Server) error {
		return echov1aegis.RegisterEchoServiceServer(srv, echo{})
	})
	self, err := os.Executable()
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "rate")
	hand := func() measured {
		cmd := exec.CommandContext(b.Context(), self, "-test.run", "^TestHandWritten$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s %s", asProgram, nats.URL(), callers, length, file))
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, string(out))
		text, err := os.ReadFile(file)
		require.NoError(b, err)
		var rate float64
		_, err = fmt.Sscan(string(text), &rate)
		require.NoError(b, err)
		return measure(cmd, rate)
	}
	data := `{"text": "` + strings.Repeat("x", 128) + `"}`
	command := func() measured {
		cmd := exec.CommandContext(b.Context(), clitest.Binary(b), "bench", "echo.v1.EchoService/Echo", data, "--server", nats.URL(),
			"--callers", strconv.Itoa(callers), "--duration", length, "--warm-up", "200ms", "-o", "json")
		out, err := cmd.Output()
		require.NoError(b, err)
		var report struct {
			Totals struct {
				Rate   float64 `json:"rate"`
				Errors int64   `json:"errors"`
			} `json:"totals"`
		}
		require.NoError(b, json.Unmarshal(out, &report))
		require.Zero(b, report.Totals.Errors)
		return measure(cmd, report.Totals.Rate)
	}
	var rates, cpus, hands, commands []float64
	for round := 0; b.Loop(); round++ {
		var h, c measured
		if round%2 == 0 {
			h, c = hand(), command()
		} else {
			c, h = command(), hand()
		}
		rates, cpus = append(rates, c.rate/h.rate), append(cpus, c.cpu/h.cpu)
		hands, commands = append(hands, h.rate), append(commands, c.rate)
	}
	median := func(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }
	b.ReportMetric(median(rates), "ratio")
	b.ReportMetric(slices.Min(rates), "lowest-ratio")
	b.ReportMetric(slices.Max(rates), "highest-ratio")
	b.ReportMetric(median(cpus), "cpu-ratio")
	b.ReportMetric(slices.Min(cpus), "lowest-cpu-ratio")
	b.ReportMetric(slices.Max(cpus), "highest-cpu-ratio")
	b.ReportMetric(median(commands), "command-calls/s")
	b.ReportMetric(median(hands), "hand-written-calls/s")
	b.ReportMetric(0, "ns/op") // of no interest
}

// measured is one run of a process: its calls a second, and its processor time for a call,
// in which its start and its warm-up are.
type measured struct{ rate, cpu float64 }

func measure(cmd *exec.Cmd, rate float64) measured {
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return measured{rate: rate, cpu: used.Seconds() / rate}
}
